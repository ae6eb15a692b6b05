package container

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plain"
	"github.com/homerun-oci/homerun/store"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// Mounts need something to be mounted on. What is missing in the root is made
// there, and stays, which is right in a bundle: its root is the container's. But
// a directory of the user's own gets back what it was. Before the plan makes
// anything, state.json lists what is missing; what of that is an empty directory
// or file when the container is gone, is removed. Whatever the container has
// changed, it is found inside the root, without following links.
//
// The kernel unmounts, in every mount namespace, what is mounted on a directory
// that is removed. So nothing is removed while another container has this root.

// toBeMade is what undoes what the plan will make in the root.
func (c *Container) toBeMade(f *host.Facts) (list action.Undos) {
	root, err := unix.Open(f.Rootfs.Path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil // the plan says so
	}
	defer unix.Close(root)
	var made []string
	for _, t := range f.Targets {
		for p := t.Resolved; t.Kind == host.Missing && p != "." && p != "" && !slices.Contains(made, p) && isMissing(root, p); p = path.Dir(p) {
			made = append(made, p)
		}
	}
	slices.Sort(made) // what is undone last comes first: a directory before what is in it
	c.State.Rootfs = f.Rootfs.Path
	c.State.RootfsDevice, c.State.RootfsInode = numbers(root)
	for _, p := range made {
		list = append(list, action.RemoveMade{Path: p})
	}
	return list
}

func isMissing(root int, p string) bool {
	fd, err := openInRoot(root, p)
	if err == nil {
		unix.Close(fd)
	}
	return err == unix.ENOENT
}

func openInRoot(root int, p string) (int, error) {
	return unix.Openat2(root, p, &unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS})
}

// numbers tell a directory from any other that exists.
func numbers(dir int) (device, inode uint64) {
	var st unix.Stat_t
	_ = unix.Fstat(dir, &st) // of an open directory
	return st.Dev, st.Ino
}

// removeMade removes what was made in the root, if it is empty. Another directory
// that is at the root's path by now is left alone: who may rename the root could
// have those of others named there.
func (c *Container) removeMade(p string) error {
	if c.rootIsShared() {
		return nil
	}
	root, err := unix.Open(c.State.Rootfs, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	} else if err != nil {
		return fmt.Errorf("open the root %s: %w", c.State.Rootfs, err)
	}
	defer unix.Close(root)
	if device, inode := numbers(root); inode != c.State.RootfsInode || device != c.State.RootfsDevice {
		return nil
	}
	dir, err := openInRoot(root, path.Dir(p))
	if err == nil {
		defer unix.Close(dir)
		err = removeEmpty(dir, path.Base(p))
	}
	switch err {
	case nil, unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.ENOTEMPTY, unix.EBUSY:
		return nil
	}
	c.runtime.warn("%s was made for a mount and cannot be removed: %v", plain.Text(path.Join(c.State.Rootfs, p)), err)
	return nil
}

// removeEmpty removes an empty directory or an empty file.
func removeEmpty(dir int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFDIR:
		return unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
	case st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == 0:
		return unix.Unlinkat(dir, name, 0)
	}
	return nil
}

// rootIsShared reports whether another container of the state root has the same
// root, or one that lies in it or around it. One that has stopped has no mounts there any
// more, if it had a PID namespace of its own: it may be there for good, where its homerun was killed.
func (c *Container) rootIsShared() bool {
	shared := false
	err := c.runtime.forAll(func(d *store.Dir) error {
		o, err := d.ReadState()
		a, b := o.Rootfs+"/", c.State.Rootfs+"/"
		near := d.ID != c.ID && o.Rootfs != "" && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a))
		if near && o.Pid != 0 && o.PIDNamespace == c.State.PIDNamespace && o.Namespaces&unix.CLONE_NEWPID != 0 {
			near, err = o.Init().Lives() // all others end with it
		}
		shared = shared || near
		return err
	})
	return shared || err != nil
}
