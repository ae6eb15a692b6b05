package container

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/homerun-oci/homerun/launch"
	"github.com/homerun-oci/homerun/proc"
	"golang.org/x/sys/unix"
)

// Exit is how a container's init ended.
type Exit struct {
	// Status is the exit status: 128 and the signal's number when a signal
	// ended it.
	Status int `json:"status"`
	// Signal is that signal's name, as SIGKILL; empty without one.
	Signal string `json:"signal,omitempty"`
	// Time is when it was recorded, in UTC.
	Time time.Time `json:"time"`
}

// ErrExitUnknown is for a container of which nobody recorded how it ended: its
// parent process was told, an engine perhaps.
var ErrExitUnknown = errors.New("it has ended, but how was told to its parent process alone")

// exitFile tells the wait status by its length: see compile.InputExit.
const exitFile = "exit"

// Exit reads how init ended, once it has; nil when that is not recorded.
func (c *Container) Exit() (*Exit, error) {
	fd, err := c.openFile(exitFile, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the exit record of container %q: %w", c.ID, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Size == 0 {
		return nil, err
	}
	e := newExit(unix.WaitStatus(st.Size - 1))
	e.Time = time.Unix(st.Mtim.Unix()).UTC()
	return e, nil
}

func newExit(status unix.WaitStatus) *Exit {
	e := &Exit{Status: status.ExitStatus(), Time: time.Now().UTC()}
	if status.Signaled() {
		e.Status, e.Signal = 128+int(status.Signal()), unix.SignalName(status.Signal())
	}
	return e
}

// keepExit records how init ended, for a caller that was told. A record that is
// there already stays.
func (c *Container) keepExit(status unix.WaitStatus) error {
	fd, err := c.openFile(exitFile, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err == nil {
		defer unix.Close(fd)
		_, err = unix.Pwrite(fd, []byte{'\n'}, int64(status))
	}
	if err != nil {
		return fmt.Errorf("write the exit record of container %q: %w", c.ID, err)
	}
	return nil
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
func (r *Runtime) Wait(ctx context.Context, id string) (*Exit, error) {
	c, err := r.Peek(id)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	pidfd, err := c.openInit()
	if errors.Is(err, ErrNotRunning) {
		return c.exitAfter(-1)
	} else if err != nil {
		return nil, err
	}
	defer unix.Close(pidfd)
	w := c.watchOOM()
	defer w.close()
	for ctx.Err() == nil {
		if ended, err := w.wait(pidfd, 1000); err != nil {
			return nil, err
		} else if ended {
			c.keepOOMKills(w.kills)
			return c.exitAfter(pidfd)
		}
	}
	return nil, ctx.Err()
}

// exitAfter finds how init, which has ended, ended. pidfd is init's, or -1.
func (c *Container) exitAfter(pidfd int) (*Exit, error) {
	if c.State.Pid == 0 {
		return nil, ErrNotRunning
	}
	if waiter := c.State.Waiter; waiter != nil {
		awaitWaiter(*waiter)
	}
	if e, err := c.Exit(); e != nil || err != nil {
		return e, err
	}
	var status unix.WaitStatus
	known := false
	if pidfd >= 0 {
		status, known = proc.AwaitStatus(pidfd, reapLimit)
	}
	if !known {
		return nil, fmt.Errorf("container %q: %w", c.ID, ErrExitUnknown)
	}
	if now, err := c.runtime.Open(c.ID); err == nil {
		defer now.Close()
		if now.State.init() == c.State.init() {
			if err := now.keepExit(status); err != nil {
				c.runtime.warn("%v", err)
			}
		}
	}
	return newExit(status), nil
}

// awaitWaiter waits for the end of the process that records how init ended.
func awaitWaiter(p proc.ID) {
	fd, err := p.Open()
	if err != nil {
		return
	}
	defer unix.Close(fd)
	_, _ = proc.AwaitEnd(fd, reapLimit)
}

// String is the status in words.
func (e *Exit) String() string {
	if e.Signal != "" {
		return "killed by " + e.Signal
	}
	return "exit status " + strconv.Itoa(e.Status)
}
