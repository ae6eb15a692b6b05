// Package again has a test binary run itself once more, elsewhere.
package again

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// aloneVariable is set in the process that Alone starts.
const aloneVariable = "HOMERUN_TEST_ALONE"

// Alone is for TestMain. It has all tests run where what they mount is seen by no
// other test binary, if the caller may make such a place, and without a descriptor
// that the caller left open. run runs them; its status is returned.
func Alone(run func() int) int {
	if err := KeepDescriptors(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if os.Getuid() != 0 || os.Getenv(aloneVariable) != "" {
		return run()
	}
	runtime.LockOSThread() // whose end would be the process's
	defer runtime.UnlockOSThread()
	cmd := &exec.Cmd{Path: "/proc/self/exe", Args: os.Args, Env: append(os.Environ(), aloneVariable+"=1"), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		SysProcAttr: &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}}
	err := cmd.Run()
	if errors.Is(err, unix.EPERM) {
		return run()
	}
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() < 0 {
		fmt.Fprintln(os.Stderr, "run the tests in a mount namespace of their own:", err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}

// KeepDescriptors keeps the descriptors that the caller left open, all but the
// standard streams, from what is started. What is started with some gets those.
func KeepDescriptors() error {
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close_range: %w", err)
	}
	return nil
}

// Pass runs one test of this binary by a command, to which that is added, and wants
// it to pass. Without Path the command is the test alone.
func Pass(t *testing.T, cmd *exec.Cmd, name string) {
	t.Helper()
	test := []string{"/proc/self/exe", "-test.v", "-test.run=^" + strings.ReplaceAll(name, "/", "$/^") + "$"}
	if testing.Short() {
		test = append(test, "-test.short")
	}
	if cmd.Path == "" {
		cmd.Path = test[0]
	} else { // which may start it where /proc/self is another
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		test[0] = self
	}
	cmd.Args = slices.Concat(cmd.Args, test)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+name) {
		t.Errorf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
}

// WithMounts runs the test again in a user and a mount namespace of its own, with a
// variable more in its environment, and wants it to pass.
func WithMounts(t *testing.T, variable string) {
	t.Helper()
	Pass(t, &exec.Cmd{Env: append(os.Environ(), variable), SysProcAttr: &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}}, t.Name())
}

// Cover mounts an empty file on a path: on a link itself, not on what it leads to.
func Cover(t *testing.T, path string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, file, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		t.Fatalf("mount on %s: %v", path, err)
	}
}
