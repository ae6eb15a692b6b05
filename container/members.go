package container

import (
	"context"
	"errors"
	"fmt"
	"time"

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
// hides (PR_SET_DUMPABLE): init does so after this, but for one that joins namespaces. And one
// that makes its mount namespace itself may be in the caller's still, in which all of the
// host's processes are. For both of them recordMembersLate does it.
func (c *Container) recordMembers(s *specs.Spec) error {
	if s.Linux == nil || owns(s, specs.PIDNamespace) {
		return nil
	}
	c.State.Members = &store.Members{}
	if !owns(s, specs.MountNamespace) {
		return nil
	}
	m, err := c.separateMounts(c.State.Pid, c.State.Init().Lives)
	*c.State.Members = m
	return err
}

// mountsOf is the mount namespace of a process of the container; zero where that hides it.
// An init that has failed meanwhile says why itself: its namespaces are gone (ENOENT), or
// it is. Any other error says that it was not seen.
func mountsOf(pid int) (store.Members, error) {
	m, err := members.MountNamespace(pid)
	if err == unix.EACCES || err == unix.ENOENT || err == unix.ESRCH {
		return store.Members{}, nil
	} else if err != nil {
		return store.Members{}, fmt.Errorf("look at the mount namespace of process %d: %w", pid, err)
	}
	return store.Members(m), nil
}

// recordMembersLate does so when init has become the program, if it could not be
// done before. It is a step only where config.json asks for a new mount namespace.
func (c *Container) recordMembersLate() error {
	if m := c.State.Members; m == nil || m.Inode != 0 {
		return nil
	}
	m, err := c.separateMounts(c.State.Pid, c.State.Init().Lives)
	if err != nil || m.Inode == 0 {
		return err
	}
	*c.State.Members = m
	return c.save()
}

// noteMembers remembers, as long as init lives, by what the processes are known of a
// container that is about to be undone.
func (c *Container) noteMembers() {
	if m := c.State.Members; m == nil || m.Inode != 0 {
		return
	}
	m, err := c.requestedMounts(c.State.Pid, c.State.Init().Lives)
	if err != nil {
		c.runtime.warn("%v", err)
	}
	*c.State.Members = m
}

// ensureMembers does so for a start that was killed before it could, or is to come, by a
// process of the container, as long as that lives. One that is under way does it itself.
func (c *Container) ensureMembers(ctx context.Context, pid int, lives func() (bool, error)) {
	if m := c.State.Members; m == nil || m.Inode != 0 {
		return
	}
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	now, err := c.runtime.Open(short, c.ID)
	if err != nil {
		return
	}
	defer now.Close()
	if now.State.Init() != c.State.Init() {
		return
	}
	own, err := now.requestedMounts(pid, lives)
	if err == nil && own.Inode != 0 {
		*now.State.Members = own
		err = now.save()
	}
	if err != nil {
		c.runtime.warn("%v", err)
	}
	c.State.Members = now.State.Members
}

// requestedMounts is the mount namespace of a process of the container, if config.json asks for a
// new one, and the process is in it already; else zero. Any other has processes that are
// not the container's: all of the host's.
func (c *Container) requestedMounts(pid int, lives func() (bool, error)) (store.Members, error) {
	if c.State.Namespaces&unix.CLONE_NEWNS == 0 {
		return store.Members{}, nil
	}
	b, err := c.bundle()
	if errno := unix.Errno(0); errors.As(err, &errno) && errno != unix.ENOENT {
		return store.Members{}, err // it may be read the next time
	}
	if err != nil || b.Config.Linux == nil || !owns(b.Config, specs.MountNamespace) {
		return store.Members{}, nil
	}
	return c.separateMounts(pid, lives)
}

// separateMounts is the mount namespace of a process, if it is not the caller's and the
// process lives; else zero.
func (c *Container) separateMounts(pid int, lives func() (bool, error)) (store.Members, error) {
	ours, err := callersMounts()
	if err != nil {
		return store.Members{}, err
	}
	m, err := mountsOf(pid)
	if err != nil || m.Inode == ours.Inode {
		return store.Members{}, err
	}
	if yes, err := lives(); err != nil || !yes {
		return store.Members{}, err
	}
	return m, nil
}

// callersMounts is the mount namespace of this process, whose processes are no container's.
func callersMounts() (members.Namespace, error) {
	ours, err := members.MountNamespace(unix.Getpid())
	if err != nil {
		err = fmt.Errorf("look at the caller's mount namespace: %w", err)
	}
	return ours, err
}

// endsWithInit reports whether no process of the container outlives init.
func (c *Container) endsWithInit() bool {
	return c.State.Members == nil && c.State.Namespaces&unix.CLONE_NEWPID != 0
}

// membership finds the container's processes by the namespace that they have alone; it is
// nil when there is none. It is an error where that cannot be seen: they may well live.
func (c *Container) membership() (*members.Set, error) {
	var init proc.ID
	if c.State.Pid != 0 {
		if lives, err := c.State.Init().Lives(); err != nil {
			return nil, err
		} else if lives {
			init = c.State.Init()
		}
	}
	switch n := c.State.Members; {
	case n != nil:
		if n.Inode == 0 && init.Pid != 0 {
			own, err := c.requestedMounts(init.Pid, init.Lives)
			if err != nil {
				return nil, err
			}
			*n = own
		}
		if n.Inode == 0 {
			return nil, nil
		}
		ours, err := callersMounts()
		if err != nil {
			return nil, err
		}
		if ours.Inode == n.Inode {
			return nil, nil // whoever wrote that: all of the host's processes are there
		}
		return members.InMountNamespace(members.Namespace(*n), init), nil
	case init.Pid != 0 && c.State.Namespaces&unix.CLONE_NEWPID != 0:
		return members.InPIDNamespace(init)
	}
	return nil, nil
}
