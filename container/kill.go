package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotRunning is for a signal to a container that has stopped. Callers match
// its words.
var ErrNotRunning = errors.New("container not running")

// Kill sends a signal to init, or with all to every process of the container;
// that one works when init is dead, and is no error when nobody is left.
func (r *Runtime) Kill(_ context.Context, id string, s unix.Signal, all bool) error {
	c, err := r.Peek(id)
	if err != nil {
		return err
	}
	if all || s == unix.SIGKILL && c.State.Pid != 0 && c.State.Namespaces&unix.CLONE_NEWPID == 0 {
		return c.killAll(s)
	}
	return c.killInit(s)
}

// killInit signals init by a pidfd, and checks behind its opening that it is
// still the same process.
func (c *Container) killInit(s unix.Signal) error {
	pidfd, err := c.openInit()
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	if err := unix.PidfdSendSignal(pidfd, s, nil, 0); err == unix.ESRCH {
		return ErrNotRunning
	} else if err != nil {
		return fmt.Errorf("send %s to init: %w", unix.SignalName(s), err)
	}
	return nil
}

// openInit opens init as a pidfd.
func (c *Container) openInit() (int, error) {
	if c.State.Pid == 0 {
		return -1, ErrNotRunning
	}
	pidfd, err := unix.PidfdOpen(c.State.Pid, 0)
	if err == unix.ESRCH {
		return -1, ErrNotRunning
	} else if err != nil {
		return -1, fmt.Errorf("open init: %w", err)
	}
	if !alive(c.State.Pid, c.State.StartTime) {
		unix.Close(pidfd)
		return -1, ErrNotRunning
	}
	return pidfd, nil
}

// killAll signals every process of the container.
func (c *Container) killAll(s unix.Signal) error {
	if done, err := c.killCgroup(s); done {
		return err
	}
	pids, err := c.Processes()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			_ = unix.PidfdSendSignal(fd, s, nil, 0)
			unix.Close(fd)
		}
	}
	return nil
}

// Processes lists the ids of the container's processes: those in its cgroup,
// or without one those in init's PID or mount namespace.
func (c *Container) Processes() ([]int, error) {
	if pids, done, err := c.cgroupProcesses(); done {
		return pids, err
	}
	return c.byNamespace()
}

// byNamespace finds processes by a namespace that is the container's own.
func (c *Container) byNamespace() ([]int, error) {
	kind := "mnt"
	if c.State.Namespaces&unix.CLONE_NEWPID != 0 {
		kind = "pid"
	}
	if !alive(c.State.Pid, c.State.StartTime) {
		return nil, nil // a PID namespace ends with its init
	}
	own, err := os.Readlink("/proc/" + strconv.Itoa(c.State.Pid) + "/ns/" + kind)
	if err != nil {
		return []int{c.State.Pid}, nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("read /proc: %w", err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if link, err := os.Readlink("/proc/" + e.Name() + "/ns/" + kind); err == nil && link == own {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// awaitEnd waits until init has ended, for the given time at most.
func (c *Container) awaitEnd(limit time.Duration) error {
	pidfd, err := c.openInit()
	if errors.Is(err, ErrNotRunning) {
		return nil
	} else if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	deadline := time.Now().Add(limit)
	for {
		left := time.Until(deadline)
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, max(int(left.Milliseconds()), 0))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return fmt.Errorf("wait for init: %w", err)
		case n > 0:
			return nil
		default:
			return fmt.Errorf("init %d does not end %s after SIGKILL", c.State.Pid, limit)
		}
	}
}

// Wait waits for a container's init to end, whoever its parent is.
func (r *Runtime) Wait(ctx context.Context, id string) error {
	c, err := r.Peek(id)
	if err != nil {
		return err
	}
	pidfd, err := c.openInit()
	if errors.Is(err, ErrNotRunning) {
		return nil
	} else if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	w := c.watchOOM()
	defer w.close()
	for ctx.Err() == nil {
		if ended, err := w.wait(pidfd, 1000); ended || err != nil {
			c.keepOOMKills(w.kills)
			return err
		}
	}
	return ctx.Err()
}
