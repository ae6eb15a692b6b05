package rootfs

import (
	"path"

	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// Running writes the first part of more mounts for a container that runs: the
// host's side of the bind mounts of c.Spec, before the container's namespaces
// are joined.
func Running(b *plan.Builder, c Config) (*Tree, []Mount, error) {
	facts := *c.Facts
	facts.Targets = nil // the container changes its root as long as it runs
	c.Facts = &facts
	t := newTree(b, c)
	mounts := c.Mounts
	for i := range mounts {
		m := &mounts[i]
		switch {
		case inside(m.Destination) == "":
			return nil, nil, m.error("a container that runs keeps its root", 0)
		case m.mapped() || m.options.copyUp || m.options.remount:
			return nil, nil, m.optionError("idmap, tmpcopyup and remount are only for a container's start")
		}
	}
	return t, mounts, t.openSources(mounts)
}

// InNamespaces writes the second part: the mounts, once the root of the calling
// process is the container's. Whatever the container does meanwhile to its
// files, targets are found inside that root only.
func (t *Tree) InNamespaces(mounts []Mount) error {
	t.openOwnRoot()
	for i := range mounts {
		m := &mounts[i]
		t.at(m)
		if err := t.mount(m); err != nil {
			return err
		}
	}
	for _, m := range t.late {
		t.b.At(m.pointer, m.what+" read-only").For(plan.ForMount, "")
		t.setattr(m.mount, attributes{set: unix.MOUNT_ATTR_RDONLY}, 0, false)
	}
	return nil
}

// openOwnRoot opens the root of a process that is in the container.
func (t *Tree) openOwnRoot() {
	t.b.At("root.path", "open the container's root").For(plan.ForRoot, "")
	t.root = t.b.Get("root", plan.OpenTree{DirFD: plan.AtCWD(), Path: "/", Flags: unix.OPEN_TREE_CLOEXEC})
}

// Unmount writes the removal of the topmost mount at each destination, the
// last first, by a process whose root is the container's. umount2(2) takes a
// path only: it is the last name below the directory that the rest leads to,
// which is followed no further.
func Unmount(b *plan.Builder, c Config) error {
	t := newTree(b, c)
	t.openOwnRoot()
	for i := len(c.Spec.Mounts) - 1; i >= 0; i-- {
		m := &Mount{Mount: c.Spec.Mounts[i], index: i}
		dir, name := path.Split(inside(m.Destination))
		if name == "" {
			return m.error("a container that runs keeps its root", 0)
		}
		b.At(m.pointer(), "unmount "+m.Destination)
		parent := b.Get("parent", t.open(path.Clean(dir), pathFlags|unix.O_DIRECTORY))
		b.Do(plan.Fchdir{FD: parent.Ref()})
		b.Do(plan.Umount2{Target: name, Flags: unix.MNT_DETACH | unix.UMOUNT_NOFOLLOW})
		b.Close(parent)
	}
	return nil
}
