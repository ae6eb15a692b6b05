package cgroup

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/systemd/bus"
)

// Theory of operation
//
// Only what was made for the container is undone. A cgroup is recorded before it
// is made, without its number, and after that with it. So is a scope, which has a
// number once init was found in it: its name alone may be another's, and until
// then systemd is asked for its description. (Without that a scope would stay
// when init dies before systemd moves it: systemd takes a zombie, and waits for
// ever for the end of an empty scope.)

// made lists cgroups to be removed, outermost first, in place of those that were to be
// made.
func (m *Making) made(names []string) {
	m.State.Undo = slices.DeleteFunc(m.State.Undo, func(u action.Undo) bool {
		r, ok := u.(action.RemoveCgroup)
		return ok && r.Inode == 0
	})
	for _, name := range names {
		u := action.RemoveCgroup{Path: name}
		if dir, err := m.Tree.Open(name); err == nil {
			u.Inode = dir.ID()
			dir.Close()
		}
		m.State.Undo = append(m.State.Undo, u)
	}
}

// foundScope adds its number to what was recorded of the scope.
func (m *Making) foundScope(unit string, inode uint64) {
	for i, u := range m.State.Undo {
		if u == (action.StopScope{Unit: unit}) {
			m.State.Undo[i] = action.StopScope{Unit: unit, Inode: inode}
		}
	}
}

// removeLimit is how long processes that were killed, and waited for, may keep a
// cgroup from being removed. One that waits for a file system in vain never ends.
const removeLimit = 5 * time.Second

// Remove removes a cgroup that was made for the container: its own with all
// in it and below; any other, such as one above, only if nothing is in it. It does
// not wait for ever for processes to end.
func (c Cgroup) Remove(ctx context.Context, u action.RemoveCgroup) error {
	var dir *live.Dir
	var err error
	if u.Inode != 0 {
		dir, err = c.Tree.Reopen(u.Path, u.Inode)
	} else {
		dir, err = c.Tree.Open(u.Path)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	if u.Inode != 0 && u.Inode == c.State.Cgroup.Inode {
		return bounded(ctx, dir.Delete)
	}
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return dir.RemoveEmpty(short)
}

// Stop ends the scope: what is in it is killed, systemd told, and its cgroup removed.
// Systemd would notice by itself, but later: a scope that is empty is the last thing
// that it looks at; and not at all if the cgroup went before it has looked, since the
// kernel says only every 10 ms that one is empty (cgroup_file_notify). So where systemd
// does not answer, it is waited for, and asked again: if it has executed itself anew
// meanwhile, it has forgotten that it was asked. The cgroup is removed last, as who has to
// repeat this knows the scope by it. What systemd does after it has answered takes no more
// than it takes the next one to connect to it.
func (c Cgroup) Stop(ctx context.Context, u action.StopScope) error {
	if u.Inode == 0 {
		return c.stopUnproven(ctx, u.Unit)
	}
	dir, err := c.Tree.Reopen(ScopeOf(&c.State.Cgroup), u.Inode)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	connected := c.connecting(ctx)
	if dir.Populated() {
		err = bounded(ctx, dir.Kill)
	}
	conn, busErr := connected()
	if conn != nil && c.Bus == nil {
		defer conn.Close()
	}
	if err != nil {
		return err
	}
	if busErr == nil {
		busErr = conn.Release(ctx, u.Unit)
	}
	if busErr != nil && !dir.Vanishes(ctx, noticeLimit) {
		if err := c.stopLater(ctx, u.Unit); err != nil {
			return err
		}
	}
	// What a container has nested more deeply than a path can be long, systemd
	// leaves for good.
	return bounded(ctx, dir.Delete)
}

// stopLater stops a scope of the container's as soon as systemd, which did not answer, does.
func (c Cgroup) stopLater(ctx context.Context, unit string) error {
	for end := time.Now().Add(unprovenLimit); ; {
		err := c.stopUnproven(ctx, unit)
		if err == nil || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(noticeLimit):
		}
	}
}

// noticeLimit is how long systemd, which cannot be asked, may take to notice that a
// scope is empty.
const noticeLimit = 100 * time.Millisecond

// unprovenLimit is how long systemd may take to say whose a scope is.
const unprovenLimit = 5 * time.Second

// bounded does something to a cgroup, for removeLimit at most.
func bounded(ctx context.Context, do func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, removeLimit)
	defer cancel()
	return do(limited)
}

// connecting begins to connect to the service manager, unless somebody has. What it
// returns waits for the end of that, and must be called.
func (c Cgroup) connecting(ctx context.Context) (connected func() (*bus.Conn, error)) {
	if c.Bus != nil {
		return func() (*bus.Conn, error) { return c.Bus, nil }
	}
	attempt, err := c.ask(ctx)
	if err != nil {
		return func() (*bus.Conn, error) { return nil, err }
	}
	return func() (*bus.Conn, error) { return attempt.Wait(ctx) }
}

// stopUnproven stops a scope in which init was not found, if it is the
// container's. Init is dead by now, and nothing else can be in it. The manager has often
// just failed to answer the start of it, so it gets little time: what it may still make
// is a scope without a process, which ends by itself.
func (c Cgroup) stopUnproven(ctx context.Context, unit string) error {
	ctx, cancel := context.WithTimeout(ctx, unprovenLimit)
	defer cancel()
	conn, err := c.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if text, err := conn.Description(ctx, unit); err != nil || !strings.HasSuffix(text, scopeMark(c.State)) {
		return err
	}
	return conn.Stop(ctx, unit)
}
