package rootfs

import (
	"fmt"
	"path"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// openSources clones the host's side of the bind mounts, while the credentials
// are still the caller's. paths gives each source as an absolute path.
func (t *Tree) openSources(mounts []Mount) error {
	var earlier places
	for i, added := 0, 0; i < len(mounts); i++ {
		m := &mounts[i]
		if !m.options.bind || m.options.remount {
			continue
		}
		p, ok := t.mayBeMade(m)
		for ; ok && added < i; added++ {
			earlier.add(inside(mounts[added].Destination))
		}
		if m.later = ok && (earlier.cover(p) || earlier.below(p)); m.later {
			continue
		}
		t.at(m)
		if t.isEditable(m) {
			m.host = t.facts.Sources[m.Source]
			t.openOriginal(m)
			continue
		}
		if err := t.openSource(m); err != nil {
			return err
		}
	}
	return nil
}

// mayBeMade is the place of a source in the container's root. Where an earlier mount
// of config.json changes what is there, it exists only after that one: mounts are made
// in the listed order (config.md, "Mounts").
func (t *Tree) mayBeMade(m *Mount) (string, bool) {
	p, ok := t.inRoot(m)
	return p, ok && !m.mapped() && !m.options.copySymlink && !t.isEditable(m)
}

// inRoot is a source's path below the root, where it has one.
func (t *Tree) inRoot(m *Mount) (string, bool) {
	root := t.facts.Rootfs.Path
	p := path.Clean(t.config.Absolute(m.Source))
	if root == "/" || root == "" || p != root && !isBelow(p, root) {
		return "", false
	}
	return inside(p[len(root):]), true
}

// openLater clones a source that an earlier mount made. It is found inside the
// root, as a target is, because what is in there is not the host's any more. A
// directory, unless the rootfs or the earlier mount says otherwise.
func (t *Tree) openLater(m *Mount) {
	p, _ := t.inRoot(m)
	m.host = host.Source{Kind: t.facts.Sources[t.config.Absolute(m.Source)].Kind}
	if e := t.made[p]; e != nil {
		m.host.Kind = e.host.Kind
	}
	if m.host.Kind == host.Missing {
		m.host.Kind = host.Directory
	}
	op := t.open(p, pathFlags)
	if m.options.sourceNofollow {
		op.Flags |= unix.O_NOFOLLOW
	}
	at := t.b.Get("earlier", op)
	clone := plan.OpenTree{DirFD: at.Ref(), Flags: unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH}
	if m.options.recursive {
		clone.Flags |= unix.AT_RECURSIVE
	}
	m.source = t.b.Get("source", clone)
	t.b.Close(at)
}

func (t *Tree) openSource(m *Mount) error {
	p := t.config.Absolute(m.Source)
	m.host = t.facts.Sources[p]
	switch {
	case m.host.Error != "":
		return m.sourceError()
	case m.options.copySymlink && m.host.Kind == host.Symlink:
		return nil
	case m.mapped():
		m.source = t.config.Inputs[m.index]
		return nil
	}
	op := openTree(p, m.options.recursive)
	if here := t.config.Here; here != "" && path.Clean(p) == here { // who may rename it must not choose what is mounted
		op.Path = "."
	}
	if m.options.sourceNofollow {
		op.Flags |= unix.AT_SYMLINK_NOFOLLOW
	}
	m.source = t.b.Get("source", op)
	return nil
}

// sourceError says why a bind's source cannot be used.
func (m *Mount) sourceError() error {
	for _, errno := range []unix.Errno{unix.ENOENT, unix.EACCES, unix.ENOTDIR, unix.ELOOP, unix.EPERM} {
		if unix.ErrnoName(errno) == m.host.Error {
			return m.error("source: "+words(errno), errno)
		}
	}
	return m.error("source: "+m.host.Error, 0)
}

// openTree copies the mount at a path of the runtime namespace.
func openTree(p string, recursive bool) plan.OpenTree {
	flags := unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	return plan.OpenTree{DirFD: plan.AtCWD(), Path: p, Flags: flags}
}

// bind attaches a source that openSources opened.
func (t *Tree) bind(m *Mount) {
	o := &m.options
	for _, p := range o.parameters {
		t.Warnings = append(t.Warnings, fmt.Sprintf("%s.options: %q is ignored: it belongs to a new file system, and a bind mount makes none", m.pointer(), p))
	}
	switch {
	case m.later:
		t.openLater(m)
	case t.isEditable(m):
		t.cloneCopy(m)
	}
	t.setattr(m.source, lockedKept(o.own, m.host.Flags, t.restricted), 0, false)
	t.setattr(m.source, o.all, 0, true)
	t.put(m.source, m.Destination, m.howReached(m.host.Kind == host.Directory))
	t.propagate(m, m.source)
	t.replaceRoot(m, m.source)
	t.b.Close(m.source)
	if t.restricted {
		t.noteFlags(m)
	}
}

// noteFlags keeps the flags that a bind mount has from the host, for a remount.
func (t *Tree) noteFlags(m *Mount) {
	if t.locked == nil {
		t.locked = make(map[string][]string)
	}
	t.locked[inside(m.Destination)] = m.host.Flags
}

// lockedKept leaves out of a change what a mount from another user namespace
// would refuse although config.json has no wish against it: clearing a flag
// that is not set anyway, and access times, which are locked as they are.
func lockedKept(a attributes, present []string, locked bool) attributes {
	if !locked {
		return a
	}
	has := parseOptions(present).own.set
	a.clear &= has | unix.MOUNT_ATTR__ATIME
	if a.clear&unix.MOUNT_ATTR__ATIME != 0 && a.set&unix.MOUNT_ATTR__ATIME == has&unix.MOUNT_ATTR__ATIME {
		a.clear &^= unix.MOUNT_ATTR__ATIME
		a.set &^= unix.MOUNT_ATTR__ATIME
	}
	return a
}

// Locked names the flags of a mount of the host that an operation would clear
// or, for access times, change: in a user namespace it may not.
func Locked(op plan.MountSetattr) string {
	return attributeNames(op.Clear | op.Set&(unix.MOUNT_ATTR__ATIME|unix.MOUNT_ATTR_NODIRATIME))
}

// propagate gives an attached mount its propagation: private unless asked.
func (t *Tree) propagate(m *Mount, mount plan.Slot) {
	o := &m.options
	for _, p := range o.propagations {
		t.setattr(mount, attributes{}, p.flag, p.deep)
	}
	if len(o.propagations) == 0 && o.bind {
		t.setattr(mount, attributes{}, unix.MS_PRIVATE, true)
	}
}

// copySymlink makes the link that the source is, instead of a mount.
func (t *Tree) copySymlink(m *Mount) error {
	p := inside(m.Destination)
	target, known := t.measured(m.Destination)
	switch {
	case known && target.Link == m.host.Link && !t.isCovered(p):
		return nil
	case p == "":
		return m.error("the root cannot be a symbolic link", 0)
	}
	dir, name := splitPath(p)
	at := t.directory(dir)
	t.b.Do(plan.Symlinkat{Target: m.host.Link, DirFD: at.Ref(), LinkPath: name})
	t.note(p)
	t.byLink = true
	return nil
}

// remount changes a mount that is there.
func (t *Tree) remount(m *Mount) {
	o := &m.options
	p := inside(m.Destination)
	t.touchProc(m.Destination)
	op := t.open(p, pathFlags)
	if o.targetNofollow {
		op.Flags |= unix.O_NOFOLLOW
	}
	target := t.b.Get("target", op)
	if !o.bind && len(o.superblock)+len(o.parameters) > 0 {
		t.reconfigure(m, target)
	}
	flags, bound := t.locked[p]
	t.setattr(target, lockedKept(o.own, flags, bound), 0, false)
	t.setattr(target, o.all, 0, true)
	for _, p := range o.propagations {
		t.setattr(target, attributes{}, p.flag, p.deep)
	}
	t.b.Close(target)
}

// reconfigure changes the parameters of a mounted file system.
func (t *Tree) reconfigure(m *Mount, mount plan.Slot) {
	fs := t.b.Get("fs", plan.Fspick{FD: mount.Ref()})
	for _, p := range t.parameters(m) {
		t.configure(fs, p)
	}
	t.b.Do(plan.Fsconfig{FD: fs.Ref(), Command: unix.FSCONFIG_CMD_RECONFIGURE})
	t.b.Close(fs)
}
