package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/homerun-oci/homerun/cgroup"
	"github.com/homerun-oci/homerun/netns/client"
	"github.com/homerun-oci/homerun/store"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// delete undoes what state.json lists, last first, and then removes the
// directory, whose name makes the container exist. Each step may have been done
// already, or never: neither is an error. A step that fails does not keep the
// others from running; the directory stays then, so that delete can be repeated.

// endLimit is how long a killed process may take to end.
const endLimit = 10 * time.Second

// Delete removes a container that has stopped.
func (r *Runtime) Delete(ctx context.Context, id string) error {
	c, err := r.Open(id)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.deletable(); err != nil {
		return err
	}
	return c.remove(ctx)
}

// ForceDelete removes any container: one that runs is killed, one that is half made
// is cleared, and one that does not exist is fine.
func (r *Runtime) ForceDelete(ctx context.Context, id string) error {
	d, err := r.root().Open(id)
	if errors.Is(err, store.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	c := r.container(d)
	defer c.Close()
	err = c.load()
	if damaged := (*store.DamagedError)(nil); err == nil && c.State.Pid == 0 || errors.As(err, &damaged) {
		err = c.recover(err)
	}
	if err != nil {
		return err
	}
	return c.remove(ctx)
}

// deletable refuses a container whose program runs.
func (c *Container) deletable() error {
	status, err := c.Status()
	if err == nil && status != Stopped && status != Created {
		return fmt.Errorf("cannot delete container %q that is %s: it is not stopped", c.ID, status)
	}
	return err
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

// destroy kills what runs, undoes what was made, and removes the directory.
func (c *Container) destroy(ctx context.Context) error {
	var problems []error
	if err := c.end(); err != nil {
		problems = append(problems, err)
	}
	for i := len(c.State.Undo) - 1; i >= 0; i-- {
		if err := c.undo(ctx, c.State.Undo[i]); err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) == 0 {
		problems = append(problems, c.dir.Remove())
	}
	return errors.Join(problems...)
}

// end kills all processes and waits for init.
func (c *Container) end() error {
	if c.State.Pid == 0 {
		return nil
	}
	done, err := c.killCgroup(unix.SIGKILL)
	if err != nil {
		c.runtime.warn("%v", err)
	}
	if !done && !c.endsWithInit() {
		m := c.membership()
		if err := m.Signal(unix.SIGKILL, endLimit); err != nil && len(m.Doubtful) == 0 {
			return err
		} else if err != nil {
			c.runtime.warn("%v", err)
		}
	}
	if err := c.killInit(unix.SIGKILL); err != nil && !errors.Is(err, ErrNotRunning) {
		return err
	}
	return c.awaitEnd(endLimit)
}

// undo undoes one thing.
func (c *Container) undo(ctx context.Context, u store.Undo) error {
	switch u.Kind {
	case store.UndoCgroup:
		return cgroup.Remove(ctx, &c.State.Cgroup, u)
	case store.UndoScope:
		return cgroup.Stop(ctx, &c.State, u)
	case store.UndoClass:
		return leaveClass(u.Name)
	case store.UndoNetwork:
		return client.Stop(ctx, u.Name)
	case store.UndoMade:
		return c.removeMade(u.Name)
	case store.UndoFile:
		if err := os.Remove(u.Name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", u.Name, unwrap(err))
		}
		return nil
	}
	return fmt.Errorf("state.json lists %q to undo, which this homerun does not know", u.Kind)
}
