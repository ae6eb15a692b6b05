package container

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
	for script, want := range map[string]string{"exit 0": "exit status 0", "exit 7": "exit status 7", "kill -9 $$": "killed by SIGKILL"} {
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
		if status, ok := exitOf(pidfd, 300*time.Millisecond); ok {
			t.Errorf("%s: status %x of a zombie", script, status)
		}
		go func() { _ = cmd.Wait() }()
		status, ok := exitOf(pidfd, 10*time.Second)
		if !ok && !pidfdTellsExit() {
			t.Skip("needs Linux 6.15, for PIDFD_INFO_EXIT")
		}
		if got := newExit(status).String(); !ok || got != want {
			t.Errorf("%s: %s, %v", script, got, ok)
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

// A record is read as it was written, once, and an empty one says nothing.
func TestExitRecord(t *testing.T) {
	for status, want := range map[unix.WaitStatus]string{0: "exit status 0", 0x0500: "exit status 5", 0xff00: "exit status 255",
		9: "killed by SIGKILL", 0x8b: "killed by SIGSEGV"} {
		c := scratch(t)
		if e, err := c.Exit(); e != nil || err != nil {
			t.Errorf("without a record: %v, %v", e, err)
		}
		if err := c.keepExit(status); err != nil {
			t.Fatal(err)
		}
		if err := c.keepExit(0x0100); err != nil {
			t.Errorf("a second time: %v", err)
		}
		e, err := c.Exit()
		if err != nil || e.String() != want || time.Since(e.Time) > time.Minute {
			t.Errorf("%x: %+v, %v", status, e, err)
		}
	}
	c := scratch(t)
	if err := os.WriteFile(c.file(exitFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if e, err := c.Exit(); e != nil || err != nil {
		t.Errorf("an empty record: %v, %v", e, err)
	}
}
