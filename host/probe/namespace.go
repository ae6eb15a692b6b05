package probe

import (
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
)

// namespaces looks at each namespace that is joined by path.
func (p *Prober) namespaces(list []host.Path) {
	if len(list) == 0 {
		return
	}
	p.Facts.Namespaces = make(map[string]host.Namespace, len(list))
	for i := range list {
		p.Facts.Namespaces[list[i].Path] = Namespace(list[i].Path)
	}
}

// Namespace looks at the namespace that path names. It never blocks. Error is
// "EINVAL" for a file that is no namespace, as setns(2) has it.
func Namespace(path string) host.Namespace {
	fd, err := openat(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return host.Namespace{Error: errnoName(err)}
	}
	defer unix.Close(fd)
	n, err := namespaceOf(fd)
	if err != nil {
		return host.Namespace{Error: errnoName(err)}
	}
	return n
}

// namespaceOf checks the file system first: an ioctl that means one thing to a
// namespace may mean another to a device.
func namespaceOf(fd int) (host.Namespace, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return host.Namespace{}, err
	}
	if fs.Type != unix.NSFS_MAGIC {
		return host.Namespace{}, unix.EINVAL
	}
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil {
		return host.Namespace{}, err
	}
	oci, proc := namespaceNames(kind)
	if oci == "" {
		return host.Namespace{}, unix.EINVAL
	}
	return host.Namespace{Type: oci, Same: sameFile(fd, "/proc/self/ns/"+proc)}, nil
}

// sameFile compares the file that fd is open on with the one at path.
func sameFile(fd int, path string) bool {
	var a, b unix.Stat_t
	return unix.Fstat(fd, &a) == nil && unix.Stat(path, &b) == nil &&
		a.Dev == b.Dev && a.Ino == b.Ino
}

// namespaceNames has the names that config.json and /proc give to what
// NS_GET_NSTYPE answers.
func namespaceNames(kind int) (oci, proc string) {
	switch kind {
	case unix.CLONE_NEWCGROUP:
		return "cgroup", "cgroup"
	case unix.CLONE_NEWIPC:
		return "ipc", "ipc"
	case unix.CLONE_NEWNET:
		return "network", "net"
	case unix.CLONE_NEWNS:
		return "mount", "mnt"
	case unix.CLONE_NEWPID:
		return "pid", "pid"
	case unix.CLONE_NEWTIME:
		return "time", "time"
	case unix.CLONE_NEWUSER:
		return "user", "user"
	case unix.CLONE_NEWUTS:
		return "uts", "uts"
	}
	return "", ""
}
