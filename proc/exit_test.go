package proc

import (
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Somebody who is not the parent is told how a process ended, once the parent
// has looked after it, and not before.
func TestExitOfAnothersChild(t *testing.T) {
	for script, want := range map[string]unix.WaitStatus{"exit 0": 0, "exit 7": 0x0700, "kill -9 $$": 9} {
		cmd := exec.Command("sh", "-c", "read x; "+script)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pidfd)
		in.Close()
		if status, ok := AwaitStatus(t.Context(), pidfd, 300*time.Millisecond); ok {
			t.Errorf("%s: status %x of a zombie", script, status)
		}
		go func() { _ = cmd.Wait() }()
		status, ok := AwaitStatus(t.Context(), pidfd, 10*time.Second)
		if !ok && !pidfdTellsExit() {
			t.Skip("needs Linux 6.15, for PIDFD_INFO_EXIT")
		}
		if !ok || status != want {
			t.Errorf("%s: %x, %v", script, status, ok)
		}
	}
}

// pidfdTellsExit reports whether the kernel knows PIDFD_GET_INFO and the pidfd
// file system, which came with it.
func pidfdTellsExit() bool {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	_, err = unix.IoctlRetInt(fd, uint(pidfdGetInfo))
	return !errors.Is(err, unix.ENOTTY) && !errors.Is(err, unix.EINVAL)
}
