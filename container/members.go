package container

import (
	"errors"
	"fmt"

	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/proc/members"
	"github.com/homerun-oci/homerun/store"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// owns reports whether config.json asks for a new namespace of a type.
func owns(s *specs.Spec, kind specs.LinuxNamespaceType) bool {
	for _, ns := range s.Linux.Namespaces {
		if ns.Type == kind {
			return ns.Path == ""
		}
	}
	return false
}

// recordMembers remembers by what the container's processes are known, as long
// as init surely lives. A user may not look at the namespaces of a process that
// hides (PR_SET_DUMPABLE); recordMembersLate then does it.
func (c *Container) recordMembers(s *specs.Spec) error {
	if s.Linux == nil || owns(s, specs.PIDNamespace) {
		return nil
	}
	c.State.Members = &store.Members{}
	if !owns(s, specs.MountNamespace) {
		return nil
	}
	m, err := members.MountNamespace(c.State.Pid)
	// An init that has failed meanwhile says why itself: its namespaces are gone (ENOENT),
	// or it is.
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the mount namespace of init: %w", err)
	}
	*c.State.Members = store.Members(m)
	return nil
}

// recordMembersLate does so when init has become the program, if it could not be
// done before.
func (c *Container) recordMembersLate() error {
	if m := c.State.Members; m == nil || m.Inode != 0 {
		return nil
	}
	m, err := members.MountNamespace(c.State.Pid)
	if err != nil || !c.State.Init().Alive() {
		return nil // it has ended, or nobody may read its program
	}
	*c.State.Members = store.Members(m)
	return c.save()
}

// endsWithInit reports whether no process of the container outlives init.
func (c *Container) endsWithInit() bool {
	return c.State.Members == nil && c.State.Namespaces&unix.CLONE_NEWPID != 0
}

// membership are the processes by the namespace that is theirs; nil when nothing
// tells the container's processes from others.
func (c *Container) membership() *members.Set {
	var init proc.ID
	if c.State.Init().Alive() {
		init = c.State.Init()
	}
	switch {
	case c.State.Members != nil:
		return members.InMountNamespace(members.Namespace(*c.State.Members), init)
	case init.Pid != 0 && c.State.Namespaces&unix.CLONE_NEWPID != 0:
		return members.InPIDNamespace(init)
	}
	return nil
}
