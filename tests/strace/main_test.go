// Package strace holds the printed plan against what strace sees of the run.
//
// # Theory of operation
//
// A test has the binary print a plan, runs the same under strace, and compares
// both sides.
//
// The container's side: the plan's steps are followed through strace's output, one
// by one, for the first process and for the init that it makes: the calls in order,
// with the slots' names replaced by the results that strace saw. Which way the plan
// took where an error is tolerated follows from the results too, so every call that
// ran is compared, and none that did not.
//
// The runtime's side: a table has for the verb of each line the calls that it stands
// for (table). Those of all lines, in the lines' order, must be found in the trace of
// the runtime, on whichever of its threads; and a call there that changes anything
// outside of the process (makes or writes a file, sends a message, executes a
// program, kills, joins a namespace) must be one of them. For `run` the same holds for
// what it undoes at the end.
package strace

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	ossignal "os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/again"
)

// runVariable names the directory for the plan of the operations that this process
// runs.
const runVariable = "HOMERUN_TEST_STRACE_TRIAL"

// deadline is for one command, which takes a second at most on an idle machine.
const deadline = 60 * time.Second

func TestMain(m *testing.M) {
	if dir := os.Getenv(runVariable); dir != "" {
		if err := runOperations(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// What nohup has had ignored is not inherited by who is started from here: Go gives
	// programs the default action of a signal that it has a handler for.
	ossignal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	os.Exit(again.Alone(m.Run))
}

// printed is a plan as the run printed it.
type printed struct {
	Steps  []printedStep
	Inputs map[string]int
}

type printedStep struct{ Call, Line string }

// straceOperations runs the operations of the table under strace.
func straceOperations(t *testing.T) (printed, []call) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs strace")
	}
	if os.Getuid() != 0 {
		t.Skip("only root's strace reads the memory of a process that is not dumpable")
	}
	dir := place(t)
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool(t, "strace"), "-f", "-v", "-s", "8192", "-o", filepath.Join(dir, "strace.out"), os.Args[0])
	cmd.Env = []string{runVariable + "=" + dir, "PATH=" + os.Getenv("PATH")}
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("strace: %v\n%s", err, out)
	}
	var p printed
	read(t, filepath.Join(dir, "plan.json"), &p)
	return p, parse(text(t, filepath.Join(dir, "strace.out")))
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
