package container

import (
	"errors"
	"fmt"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/cgroup"
	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/store"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// delete --force must end a container whose state.json is gone, empty or
// damaged: a disk that was full, a machine that lost its power, somebody's hand.
// So the second record (package store) says who init is, and its cgroup or scope.
// The rest is in config.json, or is found by its name.
// What cannot be found is said, and the container then stays.

// recover makes a state by which delete can end the container when state.json
// names none: damage says why, or is nil when there is no state.json. A container
// that has no init yet needs none, nor one of which a delete that was killed has left
// no more than the directory, config.json gone before what says who init is.
func (c *Container) recover(damage error) error {
	s, err := c.dir.ReadInit()
	if err == unix.ENOENT && damage == nil && !(c.dir.Made() && c.dir.Has(store.ConfigFile)) {
		return nil
	}
	if damage == nil {
		damage = errors.New(c.dir.FilePath(store.StateFile) + " is missing")
	}
	if err != nil {
		return c.lost(damage, "nothing else says who init is")
	}
	s.ID, s.Bundle = c.ID, "/" // where hooks run; the bundle's is not known
	s.Undo = append(s.Undo, action.EndNetwork{Directory: c.dir.Path()})
	c.State = s
	c.recoverScope()
	if err := c.here(); err != nil {
		return err
	}
	if err := c.recoverMembers(damage); err != nil {
		return err
	}
	c.runtime.warn("%s: found init, process %d, by %s", damage.Error(), s.Pid, c.dir.FilePath(store.InitLink))
	return nil
}

// recoverScope finds the scope of the container's cgroup, which is in it. If that
// is gone, no process is left in it, and the scope ends by itself.
func (c *Container) recoverScope() {
	s := &c.State.Cgroup
	if s.Scope == "" {
		return
	}
	dir, err := live.Reopen(s.Path, s.Inode)
	if err != nil {
		return
	}
	defer dir.Close()
	scope, err := live.Open(cgroup.ScopeOf(s))
	if err != nil {
		return
	}
	defer scope.Close()
	c.State.Undo = append(c.State.Undo, action.StopScope{Unit: s.Scope, Inode: scope.ID()})
}

// recoverMembers finds in config.json by what the processes are known.
func (c *Container) recoverMembers(damage error) error {
	lives, err := c.State.Init().Lives()
	if err != nil {
		return err
	}
	b, err := c.bundle()
	if err != nil || b.Config.Linux == nil {
		c.State.Members = &store.Members{}
		if !lives && c.State.Cgroup.Inode == 0 {
			return c.lost(damage, "its config.json is unreadable too, and its init has ended, so nothing says what that left")
		}
		return nil
	}
	c.State.OCIVersion, c.State.Annotations = b.Config.Version, b.Config.Annotations
	if b.Config.Linux.IntelRdt != nil {
		c.runtime.warn("the container's resource class (linux.intelRdt), if it was made for it, is left")
	}
	switch {
	case owns(b.Config, specs.PIDNamespace):
		c.State.Namespaces = unix.CLONE_NEWPID
	case lives:
		return c.recordMembers(b.Config)
	case c.State.Cgroup.Inode == 0:
		return c.lost(damage, "its init has ended, and nothing says what that left: it has neither a PID namespace nor a cgroup")
	}
	return nil
}

// lost is for a container that cannot be found, or not all of it.
func (c *Container) lost(damage error, why string) error {
	return &fault.Error{What: fmt.Sprintf("cannot end container %q", c.ID), Why: fmt.Sprintf("%v, and %s", damage, why), Cause: damage,
		Hint: "end what runs of it, if anything does; then: rm -r " + c.dir.Path()}
}
