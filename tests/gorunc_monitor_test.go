package tests

import (
	"errors"
	"os/exec"
	"runtime"

	runc "github.com/containerd/go-runc"
	"golang.org/x/sys/unix"
)

// shimMonitor waits for the runtime as containerd's shim does: Cmd.Wait comes
// when the module asks for the status, after it has read the output. The
// module's own monitor calls it at once, which os/exec forbids: Wait closes
// the pipe that Stats still reads, so a quick runtime loses its output.
type shimMonitor struct{}

// Start starts c. Nothing comes on the channel: Wait does the waiting.
func (shimMonitor) Start(c *exec.Cmd) (chan runc.Exit, error) {
	return make(chan runc.Exit), c.Start()
}

// StartLocked starts c from a thread that lives as long as c does, as the
// kernel sends the parent-death signal when that thread ends.
func (m shimMonitor) StartLocked(c *exec.Cmd) (chan runc.Exit, error) {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		_, err := m.Start(c)
		started <- err
		if err == nil {
			untilEnd(c.Process.Pid)
		}
	}()
	return make(chan runc.Exit), <-started
}

// Wait returns the exit status, or -1 for a process that a signal ended.
func (shimMonitor) Wait(c *exec.Cmd, _ chan runc.Exit) (int, error) {
	var status *exec.ExitError
	if err := c.Wait(); err != nil && !errors.As(err, &status) {
		return 255, err
	}
	return c.ProcessState.ExitCode(), nil
}

// untilEnd returns when the process has ended, and leaves it to Wait.
func untilEnd(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return
		}
	}
}
