package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/netns/client"
	"github.com/homerun-oci/homerun/store"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// A start records what undoes each action before it does that (starting.do). A start
// that fails, and delete, do what was recorded, last first, and then remove the
// directory, whose name makes the container exist. What is undone may have been done,
// or undone already, or never: neither is an error. What fails does not keep the rest
// from being undone; the directory stays then, so that delete can be repeated.

// endLimit is how long a killed process may take to end.
const endLimit = 10 * time.Second

// Delete removes a container that has stopped.
func (r *Runtime) Delete(ctx context.Context, id string) error {
	c, err := r.Open(ctx, id)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.deletable(); err != nil {
		return err
	}
	return c.remove(ctx)
}

// DeleteEnded waits for a container's program to end, and then removes the container: the
// one with this init, as Process.Init names it, or if that is empty the one that has the id
// when it is called. Another one that has got the id by then stays, and is no error.
func (r *Runtime) DeleteEnded(ctx context.Context, id, init string) error {
	c, err := r.Peek(id)
	if err != nil {
		return err
	}
	defer c.Close()
	own := c.State.Init()
	if init != "" && init != initText(own) {
		return nil
	}
	if _, err = c.wait(ctx); err != nil && !errors.Is(err, ErrExitUnknown) && !errors.Is(err, ErrNotRunning) {
		return err
	}
	now, err := r.Open(ctx, id)
	if err != nil {
		return err
	}
	defer now.Close()
	if now.State.Init() != own {
		return nil
	}
	if err := now.deletable(); err != nil {
		return err
	}
	return now.remove(ctx)
}

// ForceDelete removes any container: one that runs is killed, one that is half made
// is cleared, and one that does not exist is fine. What ctx leaves undone, it undoes
// when it is called again.
func (r *Runtime) ForceDelete(ctx context.Context, id string) error {
	d, err := r.openOrEnd(ctx, id)
	if errors.Is(err, store.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	c := r.container(d)
	defer c.Close()
	err = c.load()
	if err == nil && c.State.Pid == 0 || errors.Is(err, store.ErrDamaged) {
		err = c.recover(err)
	}
	if errors.Is(err, errElsewhere) {
		err = c.endElsewhere(ctx, err)
	}
	if err != nil {
		return err
	}
	return c.remove(ctx)
}

// endElsewhere ends a container that was made in another PID namespace by its cgroup,
// which is the same one everywhere. Without one that can be opened it stays: why.
func (c *Container) endElsewhere(ctx context.Context, why error) error {
	dir, err := c.openCgroup()
	if dir == nil || err != nil {
		return why
	}
	defer dir.Close()
	ctx, cancel := context.WithTimeout(ctx, endLimit)
	defer cancel()
	c.ended = true
	return dir.Kill(ctx)
}

// deletable refuses a container whose program runs.
func (c *Container) deletable() error {
	status, err := c.Status()
	if err == nil && status != Stopped && status != Created {
		return c.notStopped(status)
	}
	return err
}

func (c *Container) notStopped(status string) error {
	why := fmt.Sprintf("cannot delete container %q that is %s: it is not stopped", c.ID, status)
	return &fault.Error{Why: why, Cause: ErrStatus, Hint: "end it first, with homerun stop, or have it killed, with --force"}
}

// remove ends and undoes a container, and runs its last hooks.
func (c *Container) remove(ctx context.Context) error {
	existed := c.State.Pid != 0
	b, configErr := c.bundle()
	if err := c.destroy(ctx); err != nil {
		return err
	}
	switch {
	case existed && configErr == nil:
		c.poststop(ctx, b)
	case existed && !errors.Is(configErr, os.ErrNotExist): // as a delete that was killed leaves it
		c.runtime.warn("no poststop hook runs: %v", configErr)
	}
	return nil
}

// destroy undoes all, last first: it kills what runs, undoes what is recorded, and
// removes the directory, unless something is left to undo. It is the end of delete
// and of a start that failed.
func (c *Container) destroy(ctx context.Context) error {
	var problems []error
	list := slices.Concat(action.Undos{action.RemoveDirectory{Path: c.dir.Path()}}, c.State.Undo, action.Undos{action.KillStage{}})
	for i, u := range slices.Backward(list) {
		if i == 0 && problems != nil {
			break
		}
		if c.runtime.options.Debug != nil {
			c.runtime.options.Debug(u.Line())
		}
		if err := c.undo(ctx, u); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// wentWithInit reports whether init has ended, and all others with it.
func (c *Container) wentWithInit() bool {
	lives, err := c.State.Init().Lives()
	return err == nil && !lives && c.endsWithInit()
}

// end kills all processes and waits for init.
func (c *Container) end(ctx context.Context) error {
	if c.State.Pid == 0 || c.ended || c.wentWithInit() {
		return nil
	}
	killed := time.Now()
	done, err := c.killCgroup(ctx, unix.SIGKILL)
	if err != nil {
		c.runtime.warn("%v", err)
	}
	if !done && !c.endsWithInit() {
		m, err := c.membership()
		if err != nil {
			return err
		}
		if err := m.Signal(ctx, unix.SIGKILL, endLimit); err != nil && len(m.Doubtful) == 0 {
			return err
		} else if err != nil {
			c.runtime.warn("%v", err)
		}
	}
	if err := c.killInit(unix.SIGKILL); err != nil && !errors.Is(err, ErrNotRunning) {
		return err
	}
	return c.awaitEnd(ctx, killed)
}

// undo undoes one thing.
func (c *Container) undo(ctx context.Context, u action.Undo) error {
	switch u := u.(type) {
	case action.KillStage:
		if err := c.end(ctx); err != nil {
			return err
		}
		if w := c.State.Waiter; w != nil {
			takeWaiter(ctx, *w, reapLimit)
		}
		return nil
	case action.RemoveCgroup:
		return c.cgroup().Remove(ctx, u)
	case action.StopScope:
		return c.cgroup().Stop(ctx, u)
	case action.LeaveClass:
		return leaveClass(u)
	case action.EndNetwork:
		return client.Stop(ctx, u.Directory)
	case action.RemoveMade:
		return c.removeMade(u.Path)
	case action.RemoveFile:
		if err := os.Remove(u.Path); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ENAMETOOLONG) {
			return fmt.Errorf("remove %s: %w", u.Path, unwrap(err))
		}
		return nil
	case action.RemoveDirectory:
		return c.dir.Remove()
	case action.UnknownUndo:
		return fmt.Errorf("state.json lists %q to undo, which this homerun does not know", u.Kind)
	}
	return fmt.Errorf("BUG: the runtime cannot %s", u.Line())
}
