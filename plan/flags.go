package plan

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// table maps values or bits to their names, in the order in which strace
// prints them.
type table []named

type named struct {
	value int64
	name  string
}

// flags prints n as names of bits; bits without a name are shown in
// hexadecimal, so nothing is hidden.
func (t table) flags(n int64) string {
	n = int64(uint32(n))
	if n == 0 {
		return t.zero()
	}
	var names []string
	for _, f := range t {
		if f.value != 0 && n&f.value == f.value {
			names = append(names, f.name)
			n &^= f.value
		}
	}
	if n != 0 {
		names = append(names, "0x"+strconv.FormatInt(n, 16))
	}
	return strings.Join(names, "|")
}

// zero is the name of no bits.
func (t table) zero() string {
	for _, f := range t {
		if f.value == 0 {
			return f.name
		}
	}
	return "0"
}

// value prints n as the name of the one value it is.
func (t table) value(n int64) string {
	for _, f := range t {
		if f.value == n {
			return f.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// The tables stand inside the functions that print, so that the package has no
// state to set up at start.

func openFlags(n int64) string {
	access := table{{0, "O_RDONLY"}, {unix.O_WRONLY, "O_WRONLY"}, {unix.O_RDWR, "O_RDWR"}}
	rest := table{
		{unix.O_CREAT, "O_CREAT"}, {unix.O_EXCL, "O_EXCL"}, {unix.O_NOCTTY, "O_NOCTTY"},
		{unix.O_TRUNC, "O_TRUNC"}, {unix.O_APPEND, "O_APPEND"}, {unix.O_NONBLOCK, "O_NONBLOCK"},
		{unix.O_NOFOLLOW, "O_NOFOLLOW"}, {unix.O_CLOEXEC, "O_CLOEXEC"},
		{unix.O_PATH, "O_PATH"}, {unix.O_DIRECTORY, "O_DIRECTORY"},
	}
	s := access.value(n & unix.O_ACCMODE)
	if n &^= unix.O_ACCMODE; n != 0 {
		s += "|" + rest.flags(n)
	}
	return s
}

func resolveFlags(n int64) string {
	return table{
		{unix.RESOLVE_NO_XDEV, "RESOLVE_NO_XDEV"}, {unix.RESOLVE_NO_MAGICLINKS, "RESOLVE_NO_MAGICLINKS"},
		{unix.RESOLVE_NO_SYMLINKS, "RESOLVE_NO_SYMLINKS"}, {unix.RESOLVE_BENEATH, "RESOLVE_BENEATH"},
		{unix.RESOLVE_IN_ROOT, "RESOLVE_IN_ROOT"},
	}.flags(n)
}

func openTreeFlags(n int64) string {
	return table{
		{unix.OPEN_TREE_CLONE, "OPEN_TREE_CLONE"}, {unix.OPEN_TREE_CLOEXEC, "OPEN_TREE_CLOEXEC"},
		{unix.AT_SYMLINK_NOFOLLOW, "AT_SYMLINK_NOFOLLOW"}, {unix.AT_NO_AUTOMOUNT, "AT_NO_AUTOMOUNT"},
		{unix.AT_EMPTY_PATH, "AT_EMPTY_PATH"}, {unix.AT_RECURSIVE, "AT_RECURSIVE"},
	}.flags(n)
}

func moveMountFlags(n int64) string {
	return table{
		{unix.MOVE_MOUNT_F_SYMLINKS, "MOVE_MOUNT_F_SYMLINKS"},
		{unix.MOVE_MOUNT_F_AUTOMOUNTS, "MOVE_MOUNT_F_AUTOMOUNTS"},
		{unix.MOVE_MOUNT_F_EMPTY_PATH, "MOVE_MOUNT_F_EMPTY_PATH"},
		{unix.MOVE_MOUNT_T_SYMLINKS, "MOVE_MOUNT_T_SYMLINKS"},
		{unix.MOVE_MOUNT_T_AUTOMOUNTS, "MOVE_MOUNT_T_AUTOMOUNTS"},
		{unix.MOVE_MOUNT_T_EMPTY_PATH, "MOVE_MOUNT_T_EMPTY_PATH"},
	}.flags(n)
}

func atFlags(n int64) string {
	return table{
		{unix.AT_SYMLINK_NOFOLLOW, "AT_SYMLINK_NOFOLLOW"}, {unix.AT_NO_AUTOMOUNT, "AT_NO_AUTOMOUNT"},
		{unix.AT_EMPTY_PATH, "AT_EMPTY_PATH"}, {unix.AT_RECURSIVE, "AT_RECURSIVE"},
	}.flags(n)
}

func mountAttrs(n int64) string {
	return table{
		{0, "0"},
		{unix.MOUNT_ATTR_RDONLY, "MOUNT_ATTR_RDONLY"}, {unix.MOUNT_ATTR_NOSUID, "MOUNT_ATTR_NOSUID"},
		{unix.MOUNT_ATTR_NODEV, "MOUNT_ATTR_NODEV"}, {unix.MOUNT_ATTR_NOEXEC, "MOUNT_ATTR_NOEXEC"},
		{unix.MOUNT_ATTR__ATIME, "MOUNT_ATTR__ATIME"},
		{unix.MOUNT_ATTR_NOATIME, "MOUNT_ATTR_NOATIME"}, {unix.MOUNT_ATTR_STRICTATIME, "MOUNT_ATTR_STRICTATIME"},
		{unix.MOUNT_ATTR_NODIRATIME, "MOUNT_ATTR_NODIRATIME"}, {unix.MOUNT_ATTR_IDMAP, "MOUNT_ATTR_IDMAP"},
		{unix.MOUNT_ATTR_NOSYMFOLLOW, "MOUNT_ATTR_NOSYMFOLLOW"},
	}.flags(n)
}

func propagations(n int64) string {
	return table{
		{0, "0"},
		{unix.MS_UNBINDABLE, "MS_UNBINDABLE"}, {unix.MS_PRIVATE, "MS_PRIVATE"},
		{unix.MS_SLAVE, "MS_SLAVE"}, {unix.MS_SHARED, "MS_SHARED"},
	}.flags(n)
}

func umountFlags(n int64) string {
	return table{{unix.MNT_FORCE, "MNT_FORCE"}, {unix.MNT_DETACH, "MNT_DETACH"}, {unix.UMOUNT_NOFOLLOW, "UMOUNT_NOFOLLOW"}}.flags(n)
}

func cloneFlags(n int64) string {
	return table{
		{unix.CLONE_NEWTIME, "CLONE_NEWTIME"}, {unix.CLONE_VM, "CLONE_VM"}, {unix.CLONE_FS, "CLONE_FS"},
		{unix.CLONE_FILES, "CLONE_FILES"}, {unix.CLONE_PIDFD, "CLONE_PIDFD"},
		{unix.CLONE_VFORK, "CLONE_VFORK"}, {unix.CLONE_PARENT, "CLONE_PARENT"},
		{unix.CLONE_NEWNS, "CLONE_NEWNS"}, {unix.CLONE_NEWCGROUP, "CLONE_NEWCGROUP"},
		{unix.CLONE_NEWUTS, "CLONE_NEWUTS"}, {unix.CLONE_NEWIPC, "CLONE_NEWIPC"},
		{unix.CLONE_NEWUSER, "CLONE_NEWUSER"}, {unix.CLONE_NEWPID, "CLONE_NEWPID"},
		{unix.CLONE_NEWNET, "CLONE_NEWNET"}, {int64(unix.SIGCHLD), "SIGCHLD"},
	}.flags(n)
}

func rlimits(n int64) string {
	return table{
		{unix.RLIMIT_AS, "RLIMIT_AS"}, {unix.RLIMIT_CORE, "RLIMIT_CORE"}, {unix.RLIMIT_CPU, "RLIMIT_CPU"},
		{unix.RLIMIT_DATA, "RLIMIT_DATA"}, {unix.RLIMIT_FSIZE, "RLIMIT_FSIZE"},
		{unix.RLIMIT_LOCKS, "RLIMIT_LOCKS"}, {unix.RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK"},
		{unix.RLIMIT_MSGQUEUE, "RLIMIT_MSGQUEUE"}, {unix.RLIMIT_NICE, "RLIMIT_NICE"},
		{unix.RLIMIT_NOFILE, "RLIMIT_NOFILE"}, {unix.RLIMIT_NPROC, "RLIMIT_NPROC"},
		{unix.RLIMIT_RSS, "RLIMIT_RSS"}, {unix.RLIMIT_RTPRIO, "RLIMIT_RTPRIO"},
		{unix.RLIMIT_RTTIME, "RLIMIT_RTTIME"}, {unix.RLIMIT_SIGPENDING, "RLIMIT_SIGPENDING"},
		{unix.RLIMIT_STACK, "RLIMIT_STACK"},
	}.value(n)
}

func fileModes(n int64) string {
	kinds := table{
		{unix.S_IFREG, "S_IFREG"}, {unix.S_IFCHR, "S_IFCHR"}, {unix.S_IFBLK, "S_IFBLK"}, {unix.S_IFIFO, "S_IFIFO"},
		{unix.S_IFSOCK, "S_IFSOCK"},
	}
	return kinds.value(n&unix.S_IFMT) + "|" + showOctal(n&^unix.S_IFMT)
}
