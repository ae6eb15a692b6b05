package container

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/store"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// The processes of a container are those of its cgroup. One without a cgroup but
// with a PID namespace of its own ends with its init, and has no others than
// those of that namespace. Without both, what init leaves lives on, and is known
// by the mount namespace that was made for init and recorded then: whether init
// still lives does not matter. A namespace that is joined by its path has
// processes of others in it, and tells nothing.
//
// The kernel gives the inode number of a namespace that has ended to a new one,
// perhaps a stranger's. Its other number, NS_GET_MNTNS_ID of Linux 6.11, is
// never given twice. Where it is lacking, the inode number proves something as
// long as init lives, or of our own children; what has that number otherwise is
// left alone, and said to be there.

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
	m, err := mountNamespace(c.State.Pid)
	if errors.Is(err, unix.EACCES) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the mount namespace of init: %w", err)
	}
	c.State.Members = &m
	return nil
}

// recordMembersLate does so when init has become the program, if it could not be
// done before.
func (c *Container) recordMembersLate() error {
	if m := c.State.Members; m == nil || m.Inode != 0 {
		return nil
	}
	m, err := mountNamespace(c.State.Pid)
	if err != nil || !c.State.Init().Alive() {
		return nil // it has ended, or nobody may read its program
	}
	c.State.Members = &m
	return c.save()
}

// mountNamespace reads the numbers of a process's mount namespace.
func mountNamespace(pid int) (store.Members, error) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return store.Members{}, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return store.Members{}, err
	}
	return store.Members{Inode: st.Ino, ID: mountNamespaceID(fd)}, nil
}

// endsWithInit reports whether no process of the container outlives init.
func (c *Container) endsWithInit() bool {
	return c.State.Members == nil && c.State.Namespaces&unix.CLONE_NEWPID != 0
}

// membership decides whether a process is the container's.
type membership struct {
	kind  string // of the namespace: pid or mnt
	inode uint64
	id    uint64
	init  *Container // whose init proves the inode number; nil when it has ended
	// doubtful are processes that have the number and may be a stranger's.
	doubtful []int
}

// membership is nil when nothing tells the container's processes from others.
func (c *Container) membership() *membership {
	m := &membership{kind: "mnt"}
	lives := c.State.Init().Alive()
	if lives {
		m.init = c
	}
	switch {
	case c.State.Members != nil:
		m.inode, m.id = c.State.Members.Inode, c.State.Members.ID
	case lives && c.State.Namespaces&unix.CLONE_NEWPID != 0:
		m.kind = "pid"
		m.inode = namespaceInode(c.State.Pid, m.kind)
	}
	if m.inode == 0 {
		return nil
	}
	return m
}

// nsGetMountID is NS_GET_MNTNS_ID of linux/nsfs.h, _IOR(0xb7, 0x5, __u64).
const nsGetMountID = 0x8008b705

// mountNamespaceID is the number of a mount namespace that is never given again;
// 0 before Linux 6.11.
func mountNamespaceID(fd int) uint64 {
	id, err := unix.IoctlGetInt(fd, nsGetMountID)
	if err != nil {
		return 0
	}
	return uint64(id)
}

func namespaceInode(pid int, kind string) uint64 {
	var st unix.Stat_t
	if unix.Stat("/proc/"+strconv.Itoa(pid)+"/ns/"+kind, &st) != nil {
		return 0
	}
	return st.Ino
}

// has reports whether a process is the container's. The answer holds for as long
// as the process lives.
func (m *membership) has(pid int) bool {
	if namespaceInode(pid, m.kind) != m.inode {
		return false
	}
	if m.id != 0 {
		now, err := mountNamespace(pid)
		return err == nil && now.ID == m.id
	}
	// In this order: init lived after the number was seen.
	if m.init != nil && m.init.State.Init().Alive() || isChild(pid) {
		return true
	}
	m.doubtful = append(m.doubtful, pid)
	return false
}

// isChild reports whether a process is a child of this one. The command has one
// container at most, so that a child in a namespace with its number is the
// container's. A Go program with several may, before Linux 6.11, have a child in
// another container's namespace that was given the number since.
func isChild(pid int) bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &info, unix.WNOHANG|unix.WNOWAIT|unix.WEXITED, nil)
	return err == nil
}

// each calls do with a pidfd of each process of the container: the one that was
// asked about, whatever has its number by now.
func (m *membership) each(do func(pid, pidfd int)) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("read /proc: %w", unwrap(err))
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || namespaceInode(pid, m.kind) != m.inode {
			continue
		}
		pidfd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		ended, err := proc.AwaitEnd(pidfd, 0)
		if err == nil && !ended && m.has(pid) && unix.PidfdSendSignal(pidfd, 0, nil, 0) == nil {
			do(pid, pidfd)
		}
		unix.Close(pidfd)
	}
	return nil
}

// list lists the ids.
func (m *membership) list() (pids []int, err error) {
	if m == nil {
		return nil, nil
	}
	err = m.each(func(pid, _ int) { pids = append(pids, pid) })
	return pids, err
}

// signal sends a signal to each process; a deadly one until nobody is left.
func (m *membership) signal(s unix.Signal) error {
	if m == nil {
		return nil
	}
	for deadline := time.Now().Add(endLimit); ; {
		found := 0
		m.doubtful = nil
		err := m.each(func(_, pidfd int) {
			found++
			if unix.PidfdSendSignal(pidfd, s, nil, 0) == nil && s == unix.SIGKILL {
				_, _ = proc.AwaitEnd(pidfd, endLimit)
			}
		})
		if err != nil || s != unix.SIGKILL || found == 0 {
			return errors.Join(err, m.doubt())
		}
		if time.Now().After(deadline) {
			return errors.New("processes of the container do not end, or make new ones more quickly than they are killed")
		}
	}
}

// doubt is an error that names who may be the container's and was left alone.
func (m *membership) doubt() error {
	if len(m.doubtful) == 0 {
		return nil
	}
	return fmt.Errorf("processes %v may be left of the container, and were left alone: init has ended, and before Linux 6.11 "+
		"the number of its mount namespace (%d) may be another one's by now", m.doubtful, m.inode)
}
