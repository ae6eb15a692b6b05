// Package members finds the processes of a container that has no cgroup to list them,
// and signals them.
//
// # Theory of operation
//
// The processes of a container are those of its cgroup. One without a cgroup but
// with a PID namespace of its own ends with its init, and has no others than
// those of that namespace. Without both, what init leaves lives on, and is known
// by the mount namespace that was made for init and recorded then: whether init
// still lives does not matter. A namespace that is joined by its path has
// processes of others in it, and says nothing.
//
// The kernel gives the inode number of a namespace that has ended to a new one,
// perhaps a stranger's. Its other number, NS_GET_MNTNS_ID of Linux 6.11, is
// never given twice. Where it is lacking, the inode number proves something as
// long as init lives, or of our own children; what has that number otherwise is
// left alone, and said to be there.
package members

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/homerun-oci/homerun/proc"
	"golang.org/x/sys/unix"
)

// Namespace is a mount namespace by its numbers.
type Namespace struct {
	// Inode is its inode number.
	Inode uint64
	// ID is its number that is never given again; 0 where the kernel has none.
	ID uint64
}

// MountNamespace reads the numbers of a process's mount namespace.
func MountNamespace(pid int) (Namespace, error) {
	fd := -1
	err := ofThread(pid, "/ns/mnt", func(name string) (err error) {
		fd, err = unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return Namespace{}, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Namespace{}, err
	}
	id, err := mountNamespaceID(fd)
	if err != nil {
		return Namespace{}, err
	}
	return Namespace{Inode: st.Ino, ID: id}, nil
}

// Set decides whether a process is the container's. A nil Set has nobody. It is a
// value of one caller: not safe for concurrent use.
type Set struct {
	// Doubtful are processes that have the number and may be a stranger's, by the
	// last look; none if that failed.
	Doubtful []int

	kind  string // of the namespace: pid or mnt
	inode uint64
	id    uint64
	// init proves the inode number as long as it lives; zero when it has ended.
	init proc.ID
}

// InMountNamespace are the processes of a mount namespace that was made for init; nil
// when its number is not known. An init that has ended proves nothing.
func InMountNamespace(n Namespace, init proc.ID) *Set {
	return newSet("mnt", n.Inode, n.ID, init)
}

// InPIDNamespace are the processes of the PID namespace of init; nil when that has
// ended. An error is an errno.
func InPIDNamespace(init proc.ID) (*Set, error) {
	inode, err := namespaceInode(init.Pid, "pid")
	return newSet("pid", inode, 0, init), err
}

func newSet(kind string, inode, id uint64, init proc.ID) *Set {
	if inode == 0 {
		return nil
	}
	return &Set{kind: kind, inode: inode, id: id, init: init}
}

// nsGetMountID is NS_GET_MNTNS_ID of linux/nsfs.h, _IOR(0xb7, 0x5, __u64).
const nsGetMountID = 0x8008b705

// mountNamespaceID is the number of a mount namespace that is never given again; 0
// before Linux 6.11, and where the call is not let through.
func mountNamespaceID(fd int) (uint64, error) {
	id, err := unix.IoctlGetInt(fd, nsGetMountID)
	switch err {
	case nil:
		return uint64(id), nil
	case unix.ENOTTY, unix.EINVAL, unix.ENOSYS, unix.EPERM, unix.EACCES:
		return 0, nil
	}
	return 0, err
}

// namespaceInode is the number of a process's namespace; 0 when it has ended, or is not
// the caller's to look at, as a container's process is. What keeps the caller from seeing
// it, lack of descriptors or memory say, is an error: the process may be the container's.
func namespaceInode(pid int, kind string) (uint64, error) {
	var st unix.Stat_t
	err := ofThread(pid, "/ns/"+kind, func(name string) error { return unix.Stat(name, &st) })
	if err != nil {
		return 0, unlessNobodys(err)
	}
	return st.Ino, nil
}

// unlessNobodys is an error of a look at a process, but for those that say that it has
// ended, or is somebody else's.
func unlessNobodys(err error) error {
	for _, e := range [...]unix.Errno{unix.ENOENT, unix.ESRCH, unix.EACCES, unix.EPERM} {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

// ofThread calls do with the name of a file of a process in /proc. A first thread
// that has ended has no namespaces any more, while others live: then it is that of
// one of these. An error is an errno.
func ofThread(pid int, file string, do func(name string) error) error {
	dir := "/proc/" + strconv.Itoa(pid)
	err := do(dir + file)
	if err != unix.ENOENT {
		return err
	}
	threads, e := os.ReadDir(dir + "/task") // it may have ended
	if unlessNobodys(e) != nil {
		return errors.Unwrap(e)
	}
	for _, thread := range threads {
		e := do(dir + "/task/" + thread.Name() + file)
		if e == nil || unlessNobodys(e) != nil {
			return e
		}
	}
	return err
}

// has reports whether a process is the container's. The answer holds for as long
// as the process lives. An error is an errno.
func (m *Set) has(pid int) (bool, error) {
	if inode, err := namespaceInode(pid, m.kind); err != nil || inode != m.inode {
		return false, err
	}
	if m.id != 0 {
		now, err := MountNamespace(pid)
		return err == nil && now.ID == m.id, unlessNobodys(err)
	}
	// In this order: init lived after the number was seen.
	if m.init.Pid != 0 && m.init.Alive() || isChild(pid) {
		return true, nil
	}
	m.Doubtful = append(m.Doubtful, pid)
	return false, nil
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

// each calls do with a pidfd of each process of the container, of those that live or of those
// that have ended: the one that was asked about, whatever has its number by now. That one
// cannot be looked at does not keep it from the others, and is an error.
func (m *Set) each(ctx context.Context, living bool, do func(pid, pidfd int)) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("read /proc: %w", errors.Unwrap(err))
	}
	var first error
	for _, pid := range numbers(entries) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := m.ask(ctx, pid, living, do); err != nil && first == nil {
			first = fmt.Errorf("see whether process %d is the container's: %w", pid, err)
		}
	}
	return first
}

// numbers are the ids among the names in /proc, sorted: as text 1000 would come before 999.
func numbers(names []os.DirEntry) (pids []int) {
	for _, n := range names {
		if pid, err := strconv.Atoi(n.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// ask calls do with a pidfd of a process, if it is the container's, and lives or does not.
func (m *Set) ask(ctx context.Context, pid int, living bool, do func(pid, pidfd int)) error {
	if inode, err := namespaceInode(pid, m.kind); err != nil || inode != m.inode {
		return err
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err == unix.EINVAL { // the number is a thread's now
		return nil
	} else if err != nil {
		return unlessNobodys(err)
	}
	defer unix.Close(pidfd)
	if ended, err := proc.AwaitEnd(ctx, pidfd, 0); err != nil || ended == living {
		return err
	}
	if has, err := m.has(pid); err != nil || !has {
		return err
	}
	if err := unix.PidfdSendSignal(pidfd, 0, nil, 0); err != nil {
		return unlessNobodys(err)
	}
	do(pid, pidfd)
	return nil
}

// List lists the ids, sorted. The error is ctx's when that ends before.
func (m *Set) List(ctx context.Context) (pids []int, err error) {
	if m == nil {
		return nil, nil
	}
	err = m.each(ctx, true, func(pid, _ int) { pids = append(pids, pid) })
	return pids, err
}

// Untaken lists those that have ended, and that their parents have yet to wait for. The init
// of a PID namespace does not end before.
func (m *Set) Untaken(ctx context.Context) (pids []int, err error) {
	if m == nil {
		return nil, nil
	}
	err = m.each(ctx, false, func(pid, _ int) { pids = append(pids, pid) })
	return pids, err
}

// Signal sends a signal to each process; SIGKILL until nobody is left, for the given
// time at most, and until ctx ends. Who may be a stranger is left alone, and named in
// an error. It is another one if that nobody is left could not be seen.
func (m *Set) Signal(ctx context.Context, s unix.Signal, limit time.Duration) error {
	if m == nil {
		return nil
	}
	for deadline := time.Now().Add(limit); ; {
		found := 0
		m.Doubtful = nil
		err := m.each(ctx, true, func(_, pidfd int) {
			found++
			if unix.PidfdSendSignal(pidfd, s, nil, 0) == nil && s == unix.SIGKILL {
				_, _ = proc.AwaitEnd(ctx, pidfd, limit)
			}
		})
		if err != nil {
			m.Doubtful = nil
			return err
		}
		if s != unix.SIGKILL || found == 0 {
			return m.doubt()
		}
		if time.Now().After(deadline) {
			return errors.New("processes of the container do not end, or make new ones more quickly than they are killed")
		}
	}
}

// doubt is an error that names who may be the container's and was left alone.
func (m *Set) doubt() error {
	if len(m.Doubtful) == 0 {
		return nil
	}
	return fmt.Errorf("processes %v may be left of the container, and were left alone: init has ended, and before Linux 6.11 "+
		"the number of its mount namespace (%d) may be another one's by now", m.Doubtful, m.inode)
}
