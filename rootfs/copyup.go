package rootfs

import (
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Theory of operation: tmpcopyup
//
// The new tmpfs begins with a copy of what it covers, made while it is still
// detached, where nobody else can reach. Of a small tree that lies in the rootfs
// itself the facts have a list: then the plan makes each file and copies the
// contents with sendfile(2), and no program runs for it.
//
// What another mount puts there exists only when the plan runs, and a plan has
// no loops. Then, and for a large tree, init gives the runtime two descriptors,
// of a clone of what is covered and of the tmpfs, and waits while it copies from
// the one to the other: package copytree.
//
// The tree belongs to the enemy. It may change after it was listed: then a file
// is missing or has another size, and the start fails; a symbolic link is not
// followed, for each file is opened with RESOLVE_NO_SYMLINKS. And it is opened
// in a clone of the mount with nodev, so that a block device that somebody put
// in the place of a file is not read into the container.

// copier is the state of one tmpcopyup.
type copier struct {
	t *Tree
	m *Mount
	// from is the clone of what is covered, to the new mount.
	from, to plan.Slot
	// open are the directories of the tmpfs on the way to the present entry.
	open []openDirectory
}

type openDirectory struct {
	path string
	slot plan.Slot
}

// Copy is a copy that the runtime makes while init waits.
type Copy struct {
	// Pointer and What name the mount.
	Pointer, What string
	// Mode and Owner: the tmpfs itself gets those of what it covers.
	Mode, Owner bool
	// Devices: device nodes are made too.
	Devices bool
	// Layers are those of an overlay whose store is filled, in place of all that.
	Layers []string
}

// MayCopy reports whether a mount asks for a copy.
func MayCopy(m specs.Mount) bool { return slices.Contains(m.Options, "tmpcopyup") }

// copyUp fills a new tmpfs with what lies at its target.
func (t *Tree) copyUp(m *Mount, mount, target plan.Slot) {
	p := inside(m.Destination)
	tree, known := t.listed(m)
	owned := !hasParameter(m.options.parameters, "uid") && !hasParameter(m.options.parameters, "gid")
	if !known {
		delete(t.copied, p)
		from := t.openCovered(target)
		t.config.CopyOutside(Copy{Pointer: m.pointer(), What: m.what(), Owner: owned, Devices: !t.restricted,
			Mode: !hasParameter(m.options.parameters, "mode")}, from, mount)
		t.b.Close(from)
		return
	}
	if tree == nil {
		t.copied[p] = &host.Tree{}
		return
	}
	t.copied[p] = tree
	c := &copier{t: t, m: m, to: mount}
	if owned {
		c.owner(".", tree.UID, tree.GID, mount)
	}
	if len(tree.Entries) == 0 {
		return
	}
	c.from = t.openCovered(target)
	for i := range tree.Entries {
		c.entry(&tree.Entries[i])
	}
	c.leave("")
	t.b.Close(c.from)
}

// openCovered clones what a mount is about to cover.
func (t *Tree) openCovered(target plan.Slot) plan.Slot {
	from := t.b.Get("covered", plan.OpenTree{DirFD: target.Ref(),
		Flags: unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH | unix.AT_RECURSIVE})
	t.setattr(from, attributes{set: unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSYMFOLLOW}, 0, true)
	return from
}

// listed is the tree at a mount's target; nil when there is none. It is not
// known when another mount put it there, or when it was too large to list or
// the caller may not read it.
func (t *Tree) listed(m *Mount) (tree *host.Tree, known bool) {
	p := inside(m.Destination)
	if t.isCovered(p) {
		if tree, ok := t.shown(p); ok {
			return tree, true
		}
		return nil, t.isMissing(p)
	}
	target, ok := t.measured(m.Destination)
	tree = target.Tree
	return tree, ok && (tree == nil || tree.Error == "")
}

// shown finds what lies at p in a mount that was itself filled from below: nil
// when that has no such directory. ok is false when something else covers p.
func (t *Tree) shown(p string) (tree *host.Tree, ok bool) {
	for i := len(t.covered) - 1; i >= 0; i-- {
		c := t.covered[i]
		if p != c && !isBelow(p, c) {
			continue
		}
		whole := t.copied[c]
		if whole == nil || p == c {
			return whole, whole != nil
		}
		return part(whole, strings.TrimPrefix(p[len(c):], "/")), true
	}
	return nil, false
}

// part is a directory of a tree with all below it.
func part(whole *host.Tree, dir string) *host.Tree {
	var tree *host.Tree
	for _, e := range whole.Entries {
		if e.Path == dir && e.Kind == host.Directory {
			tree = &host.Tree{UID: e.UID, GID: e.GID}
		}
		if rest, ok := strings.CutPrefix(e.Path, dir+"/"); ok && tree != nil {
			e.Path = rest
			tree.Entries = append(tree.Entries, e)
		}
	}
	return tree
}

// entry makes one file.
func (c *copier) entry(e *host.Entry) {
	dir, name := splitPath(e.Path)
	at := c.directory(dir)
	b := c.t.b
	switch e.Kind {
	case host.Directory:
		b.Do(plan.Mkdirat{DirFD: at.Ref(), Path: name, Mode: e.Mode & 0o1777})
		c.owner(name, e.UID, e.GID, at)
		if e.Mode&0o6000 != 0 {
			b.Do(plan.Fchmodat{DirFD: at.Ref(), Path: name, Mode: e.Mode})
		}
		c.directoryXattrs(e)
	case host.Regular:
		c.file(e)
	case host.Symlink:
		b.Do(plan.Symlinkat{Target: e.Link, DirFD: at.Ref(), LinkPath: name})
		c.owner(name, e.UID, e.GID, at)
	default:
		c.special(e, name, at)
	}
}

// special makes a FIFO, a socket, or as real root a device; in a user namespace
// there are no devices but the host's.
func (c *copier) special(e *host.Entry, name string, at plan.Slot) {
	op := plan.Mknodat{DirFD: at.Ref(), Path: name, Mode: e.Mode}
	switch e.Kind {
	case host.FIFO:
		op.Mode |= unix.S_IFIFO
	case host.Socket:
		op.Mode |= unix.S_IFSOCK
	case host.Character:
		op.Mode |= unix.S_IFCHR
	case host.Block:
		op.Mode |= unix.S_IFBLK
	}
	if e.Kind == host.Character || e.Kind == host.Block {
		if c.t.restricted {
			return
		}
		op.Major, op.Minor = unix.Major(e.Rdev), unix.Minor(e.Rdev)
	}
	c.t.b.Do(op)
	c.owner(name, e.UID, e.GID, at)
}

// file copies a regular file. Its set-id bits come after the owner, and its
// capabilities after both, because each change takes the next away.
func (c *copier) file(e *host.Entry) {
	b := c.t.b
	to := b.Get("copy", plan.Openat2{DirFD: c.to.Ref(), Path: e.Path, Mode: e.Mode & 0o1777,
		Flags: unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	if e.Size > 0 {
		from := b.Get("file", plan.Openat2{DirFD: c.from.Ref(), Path: e.Path,
			Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
			Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS})
		size := int32(e.Size)
		b.Add(plan.Step{Op: plan.Sendfile{Out: to.Ref(), In: from.Ref(), Count: int(e.Size)}, Want: &size})
		b.Close(from)
	}
	if uid, gid := c.ids(e.UID, e.GID); uid != 0 || gid != 0 {
		b.Do(plan.Fchown{FD: to.Ref(), UID: uid, GID: gid})
	}
	if e.Mode&0o6000 != 0 {
		b.Do(plan.Fchmod{FD: to.Ref(), Mode: e.Mode})
	}
	c.xattrs(e, to)
	b.Close(to)
}

func (c *copier) directoryXattrs(e *host.Entry) {
	if len(e.Xattrs) == 0 {
		return
	}
	dir := c.t.b.Get("dir", plan.Openat2{DirFD: c.to.Ref(), Path: e.Path,
		Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	c.xattrs(e, dir)
	c.t.b.Close(dir)
}

// xattrs sets extended attributes. What tmpfs does not take (user.* before
// Linux 6.6), or the container may not set, is left out: the file is then less
// privileged, never more. An access list holds ids, which would mean others in
// a new user namespace.
func (c *copier) xattrs(e *host.Entry, fd plan.Slot) {
	for _, x := range e.Xattrs {
		switch {
		case x.Name == "security.selinux":
			continue // linux.mountLabel decides
		case strings.HasPrefix(x.Name, "system.") && c.t.config.NewUser:
			continue
		}
		c.t.b.Try(plan.Fsetxattr{FD: fd.Ref(), Name: x.Name, Value: string(x.Value)},
			plan.Ignore(unix.EOPNOTSUPP, unix.EPERM, unix.EINVAL)...)
	}
}

// owner gives a file that was just made its owner.
func (c *copier) owner(name string, uid, gid int, at plan.Slot) {
	if uid, gid = c.ids(uid, gid); uid == 0 && gid == 0 {
		return
	}
	op := plan.Fchownat{DirFD: at.Ref(), Path: name, UID: uid, GID: gid, Flags: unix.AT_SYMLINK_NOFOLLOW}
	if name == "." {
		op.Path, op.Flags = "", unix.AT_EMPTY_PATH
	}
	c.t.b.Do(op)
}

// ids turns ids as the runtime sees them into the container's. A file of
// somebody who does not exist in the container becomes its root's, as
// everything that the container makes.
func (c *copier) ids(uid, gid int) (containerUID, containerGID int) {
	if !c.t.config.NewUser {
		return uid, gid
	}
	return inContainer(uid, c.t.config.UIDs), inContainer(gid, c.t.config.GIDs)
}

func inContainer(id int, lines []host.Mapping) int {
	for _, l := range lines {
		if int64(l.HostID) <= int64(id) && int64(id)-int64(l.HostID) < int64(l.Size) {
			return int(int64(id) - int64(l.HostID) + int64(l.ContainerID))
		}
	}
	return 0
}

// directory is an open directory of the tmpfs. Entries come a directory before
// what is in it, so those that are open are a stack.
func (c *copier) directory(dir string) plan.Slot {
	if dir == "" {
		c.leave("")
		return c.to
	}
	c.leave(dir)
	if n := len(c.open); n > 0 && c.open[n-1].path == dir {
		return c.open[n-1].slot
	}
	slot := c.t.b.Get("dir", plan.Openat2{DirFD: c.to.Ref(), Path: dir, Flags: pathFlags | unix.O_DIRECTORY,
		Resolve: unix.RESOLVE_IN_ROOT})
	c.open = append(c.open, openDirectory{dir, slot})
	return slot
}

// leave closes the directories that dir is not in.
func (c *copier) leave(dir string) {
	for n := len(c.open) - 1; n >= 0; n-- {
		if p := c.open[n].path; dir == p || dir != "" && isBelow(dir, p) {
			return
		}
		c.t.b.Close(c.open[n].slot)
		c.open = c.open[:n]
	}
}
