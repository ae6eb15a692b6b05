package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/store"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// delete --force has to come to its end whatever another verb does that has the
// container locked. That one may wait for something in the container, since whoever is
// root there can stop, for as long as he lives, what mounts and hooks do: so the
// container's processes are ended first. It may wait for a hook that does not end, or
// somebody has stopped it, with ^Z say: then that homerun is ended, as a person would
// do it, by SIGTERM, at which it undoes what it has begun, and else by SIGKILL. A
// program that uses this package is never ended. Who has nothing locked, but a process
// in the container as a child, an exec that was stopped say, is continued: init cannot end
// before that child is taken.

// The lock of another verb.
const (
	// patience is how long delete --force waits for it, until it ends what that verb may
	// wait for.
	patience = time.Second
	// busyLimit is how long it waits then, until it ends that verb, which is more than
	// any of them takes on a host that has much to do.
	busyLimit = 10 * time.Second
	// givesUp is how long a homerun may take to end once it has got a signal. It takes
	// two seconds and a half at most by itself.
	givesUp = 4 * time.Second
)

// openOrEnd locks a container. It ends whoever has it locked for long.
func (r *Runtime) openOrEnd(ctx context.Context, id string) (*store.Dir, error) {
	d, busy, err := r.openUnlessBusy(ctx, id, patience)
	if !busy {
		return d, err
	}
	if c, err := r.Peek(id); err == nil {
		defer c.Close()
		if pid, _ := r.holder(id); proc.Stopped(pid) {
			c.endSoon(ctx)
		} else if err := c.end(ctx); err != nil {
			r.warn("%v", err)
		}
	}
	if pid, _ := r.holder(id); !proc.Stopped(pid) {
		if d, busy, err = r.openUnlessBusy(ctx, id, patience); !busy {
			return d, err
		}
		r.warn("another homerun has container %q locked, and is waited for", id)
		if pid == os.Getpid() { // another goroutine, whose caller is this one's
			return r.root().Open(ctx, id)
		}
		if d, busy, err = r.openUnlessBusy(ctx, id, busyLimit); !busy {
			return d, err
		}
	}
	return r.openByEnding(ctx, id)
}

// endSoon kills what runs, and does not wait for all of it: the parent of a hook that runs inside
// is the homerun that was stopped, and until it goes on and takes the hook, init cannot end. Errors
// come again once the container is locked.
func (c *Container) endSoon(ctx context.Context) {
	if c.State.Pid == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_ = c.kill(ctx, unix.SIGKILL)
}

// openUnlessBusy locks a container, unless it is busy: another verb keeps it locked.
func (r *Runtime) openUnlessBusy(ctx context.Context, id string, limit time.Duration) (d *store.Dir, busy bool, err error) {
	short, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	d, err = r.root().Open(short, id)
	return d, errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil, err
}

// openByEnding ends who has a container locked, and locks it.
func (r *Runtime) openByEnding(ctx context.Context, id string) (*store.Dir, error) {
	pid, program := 0, ""
	for _, s := range [...]unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		if pid, program = r.holder(id); program != "homerun" {
			break
		}
		r.endHolder(id, pid, s)
		if d, busy, err := r.openUnlessBusy(ctx, id, givesUp); !busy {
			return d, err
		}
	}
	if pid == 0 { // it has come to its end by itself meanwhile, or cannot be seen
		if d, busy, err := r.openUnlessBusy(ctx, id, patience); !busy {
			return d, err
		}
	}
	f := &fault.Error{What: fmt.Sprintf("cannot remove container %q", id), Hint: "see what that process waits for, or end it, and repeat this"}
	switch program {
	case "":
		f.Why = "a process that cannot be seen from here has it locked"
	case "homerun":
		f.Why = fmt.Sprintf("a homerun, process %d, has it locked, and does not end", pid)
	default:
		f.Why = fmt.Sprintf("process %d (%s), which is not homerun, has it locked", pid, strconv.Quote(program))
	}
	return nil, f
}

// holder is who has a container locked, and the name of its program; 0 or "" where that
// is not known.
func (r *Runtime) holder(id string) (pid int, program string) {
	d, err := r.root().Peek(id)
	if err != nil {
		return 0, ""
	}
	defer d.Close()
	if pid = d.Holder(); pid == 0 {
		return 0, ""
	}
	return pid, programOf(pid)
}

// programOf is the name of a process's program; "" where that is not known.
func programOf(pid int) string {
	path, _ := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	if path == "" {
		return ""
	}
	return strings.TrimSuffix(filepath.Base(path), " (deleted)")
}

// endHolder ends the homerun that has a container locked, if it still has when it
// cannot be another process any more.
func (r *Runtime) endHolder(id string, pid int, s unix.Signal) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(pidfd)
	if now, program := r.holder(id); now != pid || program != "homerun" {
		return
	}
	why := "has had it locked for long"
	if proc.Stopped(pid) {
		why = "has it locked, and has been stopped"
	}
	if unix.PidfdSendSignal(pidfd, s, nil, 0) != nil {
		return // another user's, whom the error names
	}
	_ = unix.PidfdSendSignal(pidfd, unix.SIGCONT, nil, 0)
	r.warn("container %q: another homerun, process %d, %s: it is sent %s", id, pid, why, unix.SignalName(s))
}

// wakeParents has each homerun go on that has been stopped, and whose child in the container
// has ended, an exec say: it holds no lock, and until it has taken that one init cannot end
// (pid_namespaces(7)).
func (c *Container) wakeParents(ctx context.Context) {
	if !c.endsWithInit() {
		return
	}
	m, err := c.membership()
	if err != nil {
		c.runtime.warn("%v", err)
		return
	}
	untaken, err := m.Untaken(ctx)
	if err != nil {
		c.runtime.warn("%v", err)
	}
	for _, pid := range untaken {
		c.wakeParent(pid)
	}
}

func (c *Container) wakeParent(pid int) {
	parent := proc.Parent(pid)
	pidfd, err := unix.PidfdOpen(parent, 0)
	if err != nil {
		return
	}
	defer unix.Close(pidfd)
	if proc.Parent(pid) != parent || programOf(parent) != "homerun" || !proc.Stopped(parent) {
		return
	}
	if unix.PidfdSendSignal(pidfd, unix.SIGCONT, nil, 0) == nil {
		c.runtime.warn("container %q: another homerun, process %d, has a process in it to take, and has been stopped: it is sent SIGCONT", c.ID, parent)
	}
}
