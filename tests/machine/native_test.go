// Package machine tests what hack/machine promises of the machine on the host's own
// kernel: that nothing of it is left, however it ends.
package machine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// deadline is for one machine, which is up in a second on an idle host.
const deadline = 60 * time.Second

func needRoot(t *testing.T) {
	t.Helper()
	if testing.Short() || os.Getuid() != 0 || os.Getenv("HOMERUN_TEST_MACHINE") == "1" {
		t.Skip("needs root of a host")
	}
	if unified() == "" || unix.Access("/dev/loop-control", unix.W_OK) != nil {
		t.Skip("needs cgroup v2 and loop devices")
	}
}

// unified is where the host has cgroup v2.
func unified() string {
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			return dir
		}
	}
	return ""
}

func native(args ...string) *exec.Cmd {
	cmd := exec.Command("../../hack/machine", append([]string{"run", "--native"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	return cmd
}

func TestNativeCommand(t *testing.T) {
	needRoot(t)
	for user, want := range map[string]string{"dev": "1000 running\n", "root": "0 running\n"} {
		manager := map[string]string{"dev": "--user", "root": "--system"}[user]
		cmd := native("--user", user, "--", "sh", "-c", "echo $(id -u) $(systemctl "+manager+" is-system-running --wait); echo err >&2; exit 7")
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		var status *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &status) || status.ExitCode() != 7 || stdout.String() != want || stderr.String() != "err\n" {
			t.Errorf("%s: %v, %q and %q", user, err, stdout.String(), stderr.String())
		}
	}
}

// TestNativeLeavesNothing ends a machine in every way that there is. Its cgroup can only be
// removed when no process is left in it, and mounts and loop device are its processes'.
func TestNativeLeavesNothing(t *testing.T) {
	needRoot(t)
	signalled := func(s syscall.Signal, group bool) func(int) error {
		return func(pid int) error {
			if group {
				pid = -pid
			}
			return syscall.Kill(pid, s)
		}
	}
	for name, c := range map[string]struct {
		limit  string
		end    func(pid int) error
		status int
	}{
		"the time is up":          {"3", func(int) error { return nil }, 124},
		"SIGTERM":                 {"100", signalled(syscall.SIGTERM, false), 143},
		"SIGKILL":                 {"100", signalled(syscall.SIGKILL, false), -1},
		"SIGKILL for all that is": {"100", signalled(syscall.SIGKILL, true), -1},
	} {
		t.Run(name, func(t *testing.T) {
			mark := fmt.Sprintf("MARK=%d-%s", os.Getpid(), strings.ReplaceAll(name, " ", "-"))
			// What is in the machine does not want to end, and is in namespaces of its own.
			cmd := native("--timeout", c.limit, "--env", mark, "--", "unshare", "--user", "--pid", "--fork", "sh", "-c", "trap '' TERM; sleep 1000")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			group := ""
			await(t, "the machine", func() bool { group = groupOf(mark); return group != "" })
			if err := c.end(cmd.Process.Pid); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != c.status {
				t.Errorf("exit status %d, want %d", got, c.status)
			}
			await(t, "the end of "+group, func() bool { _, err := os.Stat(group); return os.IsNotExist(err) })
		})
	}
}

// groupOf finds the machine's cgroup by the environment of a process in it.
func groupOf(mark string) string {
	names, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, name := range names {
		text, _ := os.ReadFile(name)
		if !bytes.Contains(text, []byte(mark+"\x00")) {
			continue
		}
		text, _ = os.ReadFile(filepath.Join(filepath.Dir(name), "cgroup"))
		_, path, _ := strings.Cut("\n"+string(text), "\n0::/")
		if group, _, _ := strings.Cut(path, "/"); strings.HasPrefix(group, "homerun-machine-") {
			return filepath.Join(unified(), group)
		}
	}
	return ""
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(deadline); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s does not come", what)
		}
	}
}
