// Package strace holds the printed plan against what strace sees of the run.
//
// # Theory of operation
//
// The test runs itself under strace as the runtime: it compiles a plan, writes
// the plan's lines to a file, starts the stage, and runs the runtime's side. The
// test then reads strace's output and follows the plan's lines through it, one
// by one, for the stage and for the init that it makes: the calls in order, with
// the slots' names replaced by the results that strace saw. Which way the plan
// took where an error is tolerated follows from the results too, so every
// call that ran is compared, and none that did not.
package strace

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runVariable names the directory with the trial that this process runs.
const runVariable = "HOMERUN_TEST_STRACE_TRIAL"

// deadline is for one trial, which takes a tenth of a second.
const deadline = 30 * time.Second

func TestMain(m *testing.M) {
	if dir := os.Getenv(runVariable); dir != "" {
		if err := runTrial(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// trial is what a run under strace is told.
type trial struct {
	// Operations runs those of the table instead of a container.
	Operations bool
	// Rootless makes a container without root; OneID maps the caller's own
	// ids and no others; Full asks for everything that config.json has.
	Rootless, OneID, Full bool
	// Wait lets init wait for start.
	Wait bool
}

// printed is a plan as the run printed it.
type printed struct {
	Steps  []printedStep
	Inputs map[string]int
}

type printedStep struct{ Call, Line string }

// strace runs the trial under strace and returns the plan and strace's output.
func strace(t *testing.T, c trial) (printed, string) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs strace and namespaces")
	}
	if os.Getuid() != 0 {
		t.Skip("only root's strace reads the memory of a process that is not dumpable, and leaves newuidmap its privileges")
	}
	dir, self := place(t), ""
	write(t, filepath.Join(dir, "trial.json"), c)
	self = filepath.Join(dir, "runtime")
	text, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(self, text, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-f", "-v", "-s", "8192", "-o", filepath.Join(dir, "strace.out")}
	if c.Rootless {
		args = append(args, "-u", handOver(t, dir))
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool(t, "strace"), append(args, self)...)
	cmd.Dir = dir
	cmd.Env = []string{runVariable + "=" + dir, "PATH=" + os.Getenv("PATH")}
	// Init lives no longer than the runtime, which it waits for on a pipe.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("strace %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	var p printed
	read(t, filepath.Join(dir, "plan.json"), &p)
	out, err := os.ReadFile(filepath.Join(dir, "strace.out"))
	if err != nil {
		t.Fatal(err)
	}
	return p, string(out)
}

// place makes a directory that an unprivileged user can enter.
func place(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "homerun-strace-")
	if err == nil {
		t.Cleanup(func() { os.RemoveAll(dir) })
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// tool finds a program of the machine.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		unavailable(t, "%s is not installed", name)
	}
	return path
}

func unavailable(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("HOMERUN_TEST_MAY_SKIP") == "1" {
		t.Skipf(format, args...)
	}
	t.Fatalf(format+" (HOMERUN_TEST_MAY_SKIP=1 skips this)", args...)
}

// handOver gives the directory to a user with subordinate ids: the first in
// /etc/passwd, or where there is none one that is made for the test.
func handOver(t *testing.T, dir string) string {
	t.Helper()
	name, uid, gid := subordinateUser(t)
	if name == "" {
		made := "homerun-strace-" + strconv.Itoa(os.Getpid())
		if out, err := exec.Command("useradd", "--no-create-home", made).CombinedOutput(); err != nil {
			unavailable(t, "no user has subordinate ids, and useradd fails: %v: %s", err, out)
		}
		t.Cleanup(func() { exec.Command("userdel", made).Run() })
		name, uid, gid = subordinateUser(t)
	}
	if err := os.Chown(dir, uid, gid); err != nil || name == "" {
		t.Fatalf("user %q: %v", name, err)
	}
	return name
}

func subordinateUser(t *testing.T) (name string, uid, gid int) {
	t.Helper()
	ranges := "\n" + text(t, "/etc/subuid")
	for _, line := range strings.Split(text(t, "/etc/passwd"), "\n") {
		f := strings.Split(line, ":")
		if len(f) < 4 || f[2] == "0" || !strings.Contains(ranges, "\n"+f[0]+":") {
			continue
		}
		uid, uidErr := strconv.Atoi(f[2])
		gid, gidErr := strconv.Atoi(f[3])
		if uidErr == nil && gidErr == nil {
			return f[0], uid, gid
		}
	}
	return "", 0, 0
}

// text is that of a file, or none where there is no such file.
func text(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, name string, v any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(name, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string, v any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}
