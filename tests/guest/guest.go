// Package guest is what tests that run in the test machine (hack/machine) have in common:
// what they need, and how they call homerun there. Elsewhere they are skipped, and
// hack/testrun takes them there, as an ordinary user and as root.
package guest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Unified reports whether this host has cgroup v2 alone.
func Unified() bool {
	var st unix.Statfs_t
	return unix.Statfs("/sys/fs/cgroup", &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// Need skips a test outside of the machine, which has systemd and cgroup v2 alone.
func Need(t *testing.T) {
	t.Helper()
	if os.Getenv("HOMERUN_TEST_MACHINE") != "1" || !Unified() {
		t.Skip("needs systemd, and cgroup v2 with delegation")
	}
}

// NeedRoot is Need for a test of root's.
func NeedRoot(t *testing.T) {
	t.Helper()
	Need(t)
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// NeedUser is Need for a test of somebody's without root.
func NeedUser(t *testing.T) {
	t.Helper()
	Need(t)
	if os.Geteuid() == 0 {
		t.Skip("needs an ordinary user")
	}
}

// Homerun is the binary under test: $HOMERUN, or that of make build.
func Homerun(t *testing.T) string {
	t.Helper()
	name := os.Getenv("HOMERUN")
	given := name != ""
	if !given {
		name = "../../bin/homerun"
	}
	name, err := filepath.Abs(name)
	if err == nil {
		_, err = os.Stat(name)
	}
	switch {
	case err == nil:
		return name
	case !given && testing.Short():
		t.Skipf("%v (make build)", err)
	}
	t.Fatalf("%v (make build)", err)
	return ""
}

// CallLimit is how long a command may take, on processors that are emulated.
const CallLimit = 60 * time.Second

// Must is Answer for a command that has to succeed.
func Must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := Answer(args...)
	if err != nil {
		t.Fatalf("%q: %v: %s", args, err, out)
	}
	return out
}

// Answer is what a command writes, without the blanks around it.
func Answer(args ...string) (string, error) {
	out, err := Command(CallLimit, args...)
	return strings.TrimSpace(out), err
}

// Command runs a command, for so long at most, and returns what it wrote.
func Command(limit time.Duration, args ...string) (string, error) {
	return Run(limit, exec.Command(args[0], args[1:]...))
}

// Run is Command for one that the caller has made, with a user or a cgroup. Its output
// may stay open in a container.
func Run(limit time.Duration, cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 200 * time.Millisecond
	err := cmd.Start()
	if err == nil {
		late := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
		err = cmd.Wait()
		if !late.Stop() {
			err = errors.New("did not end in " + limit.String())
		}
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	return out.String(), err
}
