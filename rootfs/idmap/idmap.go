// Package idmap prepares on the runtime's side what package rootfs needs for
// id-mapped mounts: user namespaces with the maps, and clones of the sources
// with those maps.
//
// # Theory of operation
//
// A user namespace lives as long as a descriptor of it, so a process is needed
// only to make it: a child that stops at its execve because it is traced, and
// is killed there. Nothing of it ever runs. The maps are written by Go's fork,
// which needs CAP_SETUID over the ids; who has CAP_SYS_ADMIN over a file
// system, as the mapping of a mount wants, has that too.
package idmap

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/rootfs"
	"golang.org/x/sys/unix"
)

// Prepare makes the descriptor that a plan needs. The caller closes it. The runtime
// must be in the mount namespace of the source.
func Prepare(im *rootfs.IDMap, facts *host.Facts) (int, error) {
	user, err := namespace(im)
	if err != nil {
		return -1, failed(im, err, facts)
	}
	if im.Source == "" {
		return user, nil
	}
	defer unix.Close(user)
	fd, err := mount(im, user)
	if err != nil {
		return -1, failed(im, err, facts)
	}
	return fd, nil
}

func failed(im *rootfs.IDMap, err error, facts *host.Facts) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return im.Failed(errno, facts)
	}
	return fmt.Errorf("%s (%s): map its ids: %w", im.What, im.Pointer, err)
}

// mount clones the source and maps its ids.
func mount(im *rootfs.IDMap, user int) (int, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if im.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	if im.Nofollow {
		flags |= unix.AT_SYMLINK_NOFOLLOW
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, im.Source, flags)
	if err != nil {
		return -1, err
	}
	at := uint(unix.AT_EMPTY_PATH)
	if im.Deep {
		at |= unix.AT_RECURSIVE
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(user)}
	if err := unix.MountSetattr(fd, "", at, &attr); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// namespace opens or makes the user namespace with the maps.
func namespace(im *rootfs.IDMap) (int, error) {
	if im.UserNamespace != "" {
		return unix.Open(im.UserNamespace, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	}
	// Whoever traces is a thread, not a process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, err := os.StartProcess("/proc/self/exe", []string{"homerun-idmap"}, &os.ProcAttr{Env: []string{}, Sys: &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWUSER, UidMappings: lines(im.UIDs), GidMappings: lines(im.GIDs),
		GidMappingsEnableSetgroups: true, Ptrace: true, Pdeathsig: unix.SIGKILL}})
	if err != nil {
		return -1, err
	}
	defer func() {
		_ = p.Kill()
		_, _ = p.Wait()
	}()
	return unix.Open("/proc/"+strconv.Itoa(p.Pid)+"/ns/user", unix.O_RDONLY|unix.O_CLOEXEC, 0)
}

func lines(list []host.Mapping) []syscall.SysProcIDMap {
	var out []syscall.SysProcIDMap
	for _, m := range list {
		out = append(out, syscall.SysProcIDMap{ContainerID: int(m.ContainerID), HostID: int(m.HostID), Size: int(m.Size)})
	}
	return out
}
