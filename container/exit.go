package container

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/homerun-oci/homerun/launch"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/store"
	"golang.org/x/sys/unix"
)

// ErrExitUnknown is for a container of which nobody recorded how it ended: its
// parent process was told, an engine perhaps.
var ErrExitUnknown = errors.New("it has ended, but how was told to its parent process alone")

// Exit reads how init ended, once it has; nil when that is not recorded. The process that
// records it takes a moment after the end, and is waited for.
func (c *Container) Exit() (*store.Exit, error) {
	e, err := c.dir.ReadExit()
	if w := c.State.Waiter; e == nil && err == nil && w != nil {
		awaitWaiter(context.Background(), *w, c.beside.patience())
		return c.dir.ReadExit()
	}
	return e, err
}

// recordWaiter remembers the first process, which stays beside init.
func (c *Container) recordWaiter(first int) error {
	waiter, err := proc.Of(first)
	if err != nil {
		return fmt.Errorf("%w: look at the process that waits for it: %v", launch.ErrDied, err)
	}
	c.State.Waiter = &waiter
	return nil
}

// reapLimit is how long the parent of an init that has ended may take to look
// after it.
const reapLimit = 2 * time.Second

// Wait waits for a container's init to end, whoever its parent is, and returns
// how it ended. ErrExitUnknown says that nobody recorded that, and that the
// kernel does not tell: it does from Linux 6.15 on (PIDFD_GET_INFO), those who
// waited before the parent did.
func (r *Runtime) Wait(ctx context.Context, id string) (*store.Exit, error) {
	c, err := r.Peek(id)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.wait(ctx)
}

func (c *Container) wait(ctx context.Context) (*store.Exit, error) {
	pidfd, err := c.openInit()
	if errors.Is(err, ErrNotRunning) {
		return c.exitAfter(ctx, -1)
	} else if err != nil {
		return nil, err
	}
	defer unix.Close(pidfd)
	w := c.watchOOM()
	defer w.Close()
	for {
		if ended, err := w.Wait(ctx, pidfd, -1); err != nil {
			return nil, err
		} else if ended {
			c.keepOOMKills(ctx, w.Kills)
			return c.exitAfter(ctx, pidfd)
		}
	}
}

// exitAfter finds how init, which has ended, ended. pidfd is init's, or -1.
func (c *Container) exitAfter(ctx context.Context, pidfd int) (*store.Exit, error) {
	if c.State.Pid == 0 {
		return nil, ErrNotRunning
	}
	if waiter := c.State.Waiter; waiter != nil {
		awaitWaiter(ctx, *waiter, reapLimit)
	}
	if e, err := c.dir.ReadExit(); e != nil || err != nil {
		return e, err
	}
	var status unix.WaitStatus
	known := false
	if pidfd >= 0 {
		status, known = proc.AwaitStatus(ctx, pidfd, reapLimit)
	}
	if err := ctx.Err(); !known && err != nil {
		return nil, err
	}
	if !known {
		return nil, fmt.Errorf("container %q: %w", c.ID, ErrExitUnknown)
	}
	if now, err := c.runtime.Open(ctx, c.ID); err == nil {
		defer now.Close()
		if now.State.Init() == c.State.Init() {
			if err := now.dir.WriteExit(status); err != nil {
				c.runtime.warn("%v", err)
			}
		}
	}
	return store.NewExit(status), nil
}

// awaitWaiter waits for the end of the process that records how init ended.
func awaitWaiter(ctx context.Context, p proc.ID, limit time.Duration) {
	if fd, err := p.Open(); err == nil {
		defer unix.Close(fd)
		_, _ = proc.AwaitEnd(ctx, fd, limit)
	}
	takeWaiter(ctx, p, 0)
}

// takeWaiter takes that process where it is a child of the calling one, which would else have a zombie of each container.
func takeWaiter(ctx context.Context, p proc.ID, limit time.Duration) {
	fd, err := unix.PidfdOpen(p.Pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if !isChild(fd) {
		return
	}
	if now, err := proc.Of(p.Pid); err != nil || now != p {
		return
	}
	if ended, _ := proc.AwaitEnd(ctx, fd, limit); ended {
		_ = unix.Waitid(unix.P_PIDFD, fd, nil, unix.WEXITED|unix.WNOHANG, nil)
	}
}

// isChild reports whether a pidfd is of a child of the calling process that has not been waited for.
func isChild(pidfd int) bool {
	return unix.Waitid(unix.P_PIDFD, pidfd, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == nil
}
