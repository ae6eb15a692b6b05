package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/proc"
	"golang.org/x/sys/unix"
)

// ErrNotRunning is for what takes a container that has not stopped: a signal, a
// start, one more process, limits. Callers match its words.
var ErrNotRunning = errors.New("container not running")

// KillAll sends a signal to every process of the container. It works when init is
// dead, and is no error when nobody is left.
func (r *Runtime) KillAll(ctx context.Context, id string, s unix.Signal) error {
	c, err := r.Peek(id)
	if err != nil {
		return err
	}
	defer c.Close()
	s, done := c.meant(ctx, s)
	defer done()
	return c.killAll(ctx, s)
}

// Kill sends a signal to init. One that waits for start, and that this would end if it were
// no init, is killed.
func (r *Runtime) Kill(ctx context.Context, id string, s unix.Signal) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := r.Peek(id)
	if err != nil {
		return err
	}
	defer c.Close()
	s, done := c.meant(ctx, s)
	defer done()
	return c.kill(ctx, s)
}

// meant is the signal that does what this one is sent for. An init that waits for start has
// no use for any signal, so the kernel drops those that end programs, and a container that
// was stopped before it was started would run all the same. runc's ends by them, too.
//
// No start lets the program go until done is called, so that one that begins meanwhile does
// not have its program killed. A start that is under way already, and waits for a hook say,
// is not waited for.
func (c *Container) meant(ctx context.Context, s unix.Signal) (meant unix.Signal, done func()) {
	done = func() {}
	if !Ends(s) || c.State.Pid == 0 || !c.waits() {
		return s, done
	}
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if d, err := c.runtime.root().Open(short, c.ID); err == nil {
		done = d.Close
	}
	if !c.waits() { // it was let go before
		done()
		return s, func() {}
	}
	return unix.SIGKILL, done
}

// kill signals init, and with SIGKILL those who would not end with it.
func (c *Container) kill(ctx context.Context, s unix.Signal) error {
	if s == unix.SIGKILL && c.State.Pid != 0 && !c.endsWithInit() {
		if err := c.killAll(ctx, s); err != nil {
			return err
		}
		if err := c.killInit(s); !errors.Is(err, ErrNotRunning) {
			return err
		}
		return nil
	}
	c.ensureMembers(ctx, c.State.Pid, c.State.Init().Lives) // init may end by it
	return c.killInit(s)
}

// killInit signals init by a pidfd, and checks after its opening that it is
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
	pidfd, err := c.State.Init().Open()
	if errors.Is(err, proc.ErrEnded) {
		return -1, ErrNotRunning
	} else if err != nil {
		return -1, fmt.Errorf("open init: %w", err)
	}
	return pidfd, nil
}

// killAll signals every process of the container; where nothing tells them from
// others, init.
func (c *Container) killAll(ctx context.Context, s unix.Signal) error {
	done, err := c.killCgroup(ctx, s)
	if done {
		return err
	}
	if m, err := c.membership(); err != nil {
		return err
	} else if m != nil {
		return m.Signal(ctx, s, endLimit)
	}
	if initErr := c.killInit(s); !errors.Is(initErr, ErrNotRunning) {
		err = errors.Join(err, initErr)
	}
	return err
}

// populated opens the cgroup that has all processes of the container; nil when
// none has. nobody: it went with the last of them. One that is gone while init
// lives is none: somebody with the right to has moved init out, or the caller has
// another file system there.
func (c *Container) populated() (dir *live.Dir, nobody bool, err error) {
	dir, err = c.openCgroup()
	gone := errors.Is(err, os.ErrNotExist)
	switch {
	case err != nil && (gone || c.endsWithInit()) && !c.State.Init().Alive():
		return nil, true, nil
	case gone:
		return nil, false, nil
	}
	return dir, false, err
}

// killCgroup signals all processes of the container's cgroup; done is false when
// it has none, or none that can be opened.
func (c *Container) killCgroup(ctx context.Context, s unix.Signal) (done bool, err error) {
	dir, nobody, err := c.populated()
	if dir == nil {
		return nobody, err
	}
	defer dir.Close()
	ctx, cancel := context.WithTimeout(ctx, endLimit)
	defer cancel()
	if s != unix.SIGKILL {
		return true, dir.Signal(ctx, s)
	}
	short, cancelShort := context.WithTimeout(ctx, patience)
	defer cancelShort()
	if err = dir.Kill(short); err != nil && short.Err() != nil && ctx.Err() == nil {
		c.wakeParents(ctx)
		err = dir.Kill(ctx)
	}
	return true, err
}

// cgroupProcesses lists the processes of the container's cgroup; done as above.
func (c *Container) cgroupProcesses() (pids []int, done bool, err error) {
	dir, nobody, err := c.populated()
	if dir == nil {
		return nil, nobody, err
	}
	defer dir.Close()
	pids, err = dir.Processes()
	return pids, true, err
}

// Processes lists the ids of the container's processes: those in its cgroup,
// or without one those in a namespace that is its own; sorted.
func (c *Container) Processes(ctx context.Context) ([]int, error) {
	pids, done, err := c.cgroupProcesses()
	if done {
		return pids, err
	}
	if m, err := c.membership(); err != nil {
		return nil, err
	} else if m != nil {
		return m.List(ctx)
	}
	if err == nil && c.State.Init().Alive() {
		pids = []int{c.State.Pid}
	}
	return pids, err
}

// awaitEnd waits until init, which was killed then, has ended, until endLimit after
// that.
func (c *Container) awaitEnd(ctx context.Context, killed time.Time) error {
	pidfd, err := c.openInit()
	if errors.Is(err, ErrNotRunning) {
		return nil
	} else if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	ended, err := proc.AwaitEnd(ctx, pidfd, min(max(endLimit-time.Since(killed), time.Second), patience))
	if err == nil && !ended {
		c.wakeParents(ctx)
		ended, err = proc.AwaitEnd(ctx, pidfd, max(endLimit-time.Since(killed), time.Second))
	}
	switch {
	case err != nil:
		return fmt.Errorf("wait for init: %w", err)
	case !ended:
		return fmt.Errorf("init %d does not end %s after SIGKILL", c.State.Pid, endLimit)
	}
	return nil
}
