// Package rootfs writes the operations that make a container's file system:
// the root, the mounts, the devices, masked and read-only paths, and the pivot.
//
// # Theory of operation
//
// The rootfs and everything in it is hostile: any path in it may be a symbolic
// link, a FIFO or a device, and another container that shares a volume may
// change it at any moment. Three rules make that harmless. A target inside the
// root is reached only through a descriptor from openat2(RESOLVE_IN_ROOT), so
// the kernel itself keeps symbolic links inside; nothing is checked by path
// and used later. Directories and files are made one component at a time below
// such a descriptor. Mounts are made detached (fsmount, open_tree) and attached
// to a descriptor, never by path; or, in a new file system of the plan's own, to
// one name below a descriptor, which is not followed.
//
// Sources on the host are opened before the credentials change to the
// container's root, which may not be allowed to reach them, and inside the new
// mount namespace, because the kernel clones mounts only from the namespace
// that the caller is in.
//
// What is known of the rootfs beforehand (host.Target) only saves operations.
// When it is wrong by the time the plan runs, an operation fails.
//
// The package is pure. Its types are not safe for concurrent use.
package rootfs

import (
	"path"
	"strings"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

const pathFlags = unix.O_PATH | unix.O_CLOEXEC

// Tree is the container's file system while its operations are written.
type Tree struct {
	// Warnings tell what of config.json is ignored.
	Warnings []string

	b      *plan.Builder
	facts  *host.Facts
	config Config
	// root is the container's root mount.
	root plan.Slot
	// store keeps the changes of an overlay, below is what it is laid over.
	store, below plan.Slot
	// memory is a tmpfs for copies of what is editable.
	memory   plan.Slot
	editable []editable
	// covered lists the destinations of the mounts so far, cleaned; below them
	// nothing is known from the facts. mountpoints are those of them that no later
	// one hides, to look one up.
	covered     []string
	mountpoints places
	// lastBelow is the index of the last mount below a directory.
	lastBelow map[string]int
	// made are the mounts so far, by destination.
	made map[string]*Mount
	// copied are those of them that show what they cover (tmpcopyup), with
	// what that is.
	copied map[string]*host.Tree
	// fresh are new file systems in which the plan knows all names: by
	// destination, the names.
	fresh map[string]map[string]bool
	// proc, sys and devpts are the mounts at /proc, /sys and /dev/pts, as long
	// as nothing covers them.
	proc, sys, devpts plan.Slot
	// procIsWhole: what proc shows is writable, and nothing lies over a part of it.
	procIsWhole bool
	// late are the mounts that become read-only at the end.
	late []lateMount
	// locked are the flags that a bind mount has from the host, by its
	// destination.
	locked map[string][]string
	// restricted says that devices cannot be made and sysfs may be refused.
	restricted bool
	// directories are those kept open, by path.
	directories map[string]plan.Slot
	// byLink: a mount may lie somewhere else than its destination says, as a link leads
	// there. It may cover a directory that is known, or kept open, by another name.
	byLink bool
}

// newTree is a file system of which nothing is made yet.
func newTree(b *plan.Builder, c Config) *Tree {
	return &Tree{b: b, facts: c.Facts, config: c, restricted: c.restricts(),
		copied: make(map[string]*host.Tree), fresh: make(map[string]map[string]bool), directories: make(map[string]plan.Slot),
		made: make(map[string]*Mount)}
}

// lateMount is a mount that becomes read-only at the end.
type lateMount struct {
	mount         plan.Slot
	pointer, what string
}

// inside cleans a destination: relative to the root, without dot-dot.
func inside(destination string) string {
	if !strings.HasPrefix(destination, "/") { // what begins with one mostly is clean, and its own result
		destination = "/" + destination
	}
	return path.Clean(destination)[1:]
}

// open resolves a path inside the root.
func (t *Tree) open(p string, flags int) plan.Openat2 {
	if p == "" {
		p = "."
	}
	return plan.Openat2{DirFD: t.root.Ref(), Path: p, Flags: flags, Resolve: unix.RESOLVE_IN_ROOT}
}

// openBelow resolves a path inside a mount of the container.
func (t *Tree) openBelow(mount plan.Slot, p string) plan.Openat2 {
	return plan.Openat2{DirFD: mount.Ref(), Path: p, Flags: pathFlags, Resolve: unix.RESOLVE_IN_ROOT}
}

// openKernel resolves a path that is usually in procfs or sysfs: then from that
// mount itself, so that whoever renames /proc in a shared rootfs changes
// nothing.
func (t *Tree) openKernel(p string) plan.Openat2 {
	p = inside(p)
	if rest, ok := strings.CutPrefix(p, "proc/"); ok && t.proc != 0 {
		return t.openBelow(t.proc, rest)
	}
	if rest, ok := strings.CutPrefix(p, "sys/"); ok && t.sys != 0 {
		return t.openBelow(t.sys, rest)
	}
	return t.open(p, pathFlags)
}

// isBelow reports whether p lies below the directory dir.
func isBelow(p, dir string) bool {
	if dir == "" {
		return p != ""
	}
	return len(p) > len(dir) && p[len(dir)] == '/' && p[:len(dir)] == dir
}

// isCovered reports whether a mount of the plan lies at or above p.
func (t *Tree) isCovered(p string) bool { return t.mountpoints.cover(p) }

// forget drops what is known of a place, and of all below, that a mount is
// about to cover.
func (t *Tree) forget(p string) {
	delete(t.fresh, p)
	if t.mountpoints.below(p) {
		for d := range t.fresh {
			if isBelow(d, p) {
				delete(t.fresh, d)
			}
		}
		for d := range t.mountpoints.at {
			if isBelow(d, p) {
				delete(t.mountpoints.at, d)
			}
		}
	}
	for d := range t.directories {
		if d == p || isBelow(d, p) {
			delete(t.directories, d)
		}
	}
	if p == "" || p == "proc" {
		t.proc = 0
	}
	if p == "" || p == "sys" {
		t.sys = 0
	}
	if p == "" || p == "dev" || p == "dev/pts" {
		t.devpts = 0
	}
}

// touchProc notes that a mount is made or changed, where it is, or where a link of the root
// may have it.
func (t *Tree) touchProc(destination string) {
	p, target := inside(destination), t.facts.Targets[destination]
	for _, at := range [...]string{p, target.Resolved} {
		if p == "" || at == "proc" || isBelow(at, "proc") {
			t.procIsWhole = false
		}
	}
	if target.Unknown != "" && !t.isCovered(p) { // its link leads into another mount
		t.procIsWhole = false
	}
}

// measured is what the facts say of a destination.
func (t *Tree) measured(destination string) (host.Target, bool) {
	target, ok := t.facts.Targets[destination]
	return target, ok && target.Unknown == ""
}

// known is what the facts say of a destination that no mount covers.
func (t *Tree) known(destination string) (host.Target, bool) {
	p := inside(destination)
	if p == "" {
		return host.Target{Kind: host.Directory}, true
	}
	if t.isCovered(p) {
		return host.Target{}, false
	}
	return t.measured(destination)
}

// reach says how the last part of a destination is reached.
type reach struct {
	directory bool
	// nofollow takes a symbolic link at the end itself. plain refuses one
	// anywhere.
	nofollow, plain bool
}

// targetOf opens the destination of a mount.
func (t *Tree) targetOf(m *Mount, directory bool) plan.Slot {
	return t.reach(m.Destination, m.howReached(directory))
}

// howReached is how the destination of a mount is reached. A kernel file system belongs on a
// directory that is none by way of a link: programs and masks look for it there
// (CVE-2019-19921, CVE-2025-54867).
func (m *Mount) howReached(directory bool) reach {
	p := inside(m.Destination)
	return reach{directory: directory, nofollow: m.options.targetNofollow,
		plain: m.Type == "proc" && p == "proc" || m.Type == "sysfs" && p == "sys"}
}

// target opens a destination, made if it is missing: a directory, or else an
// empty file. The caller closes the slot.
func (t *Tree) target(destination string, directory bool) plan.Slot {
	return t.reach(destination, reach{directory: directory})
}

func (t *Tree) reach(destination string, r reach) plan.Slot {
	p := inside(destination)
	slot := t.b.Slot("target")
	target, ok := t.known(destination)
	switch {
	case ok && (target.Kind != host.Missing || r.nofollow && target.Link != ""), t.isMountpoint(p):
	case ok && r.plain:
		t.make(p, r.directory)
	case ok:
		p = target.Resolved
		t.make(p, r.directory)
	case t.isMissing(p):
		t.makeFresh(p, r.directory)
	default:
		t.openOrMake(p, r, slot)
		return slot
	}
	t.b.Add(plan.Step{Op: t.opener(p, r), Result: slot})
	return slot
}

// opener opens a destination.
func (t *Tree) opener(p string, r reach) plan.Openat2 {
	op := t.open(p, pathFlags)
	if r.nofollow {
		op.Flags |= unix.O_NOFOLLOW
	}
	if r.plain {
		op.Resolve |= unix.RESOLVE_NO_SYMLINKS
	}
	return op
}

// openOrMake covers what the facts do not tell: a path that is there is
// opened, else made.
func (t *Tree) openOrMake(p string, r reach, slot plan.Slot) {
	missing, done := t.b.Label(), t.b.Label()
	t.b.Add(plan.Step{Op: t.opener(p, r), Result: slot,
		Tolerate: []plan.Errno{{Errno: unix.ENOENT, To: missing}}, OnNonzero: done})
	t.b.Place(missing)
	t.make(p, r.directory)
	t.b.Add(plan.Step{Op: t.opener(p, r), Result: slot})
	t.b.Place(done)
}

// make makes the missing components of a path, one at a time, each below a
// descriptor of the one before. A symbolic link that leads nowhere is an error.
func (t *Tree) make(p string, directory bool) {
	parent := t.root
	for i, name := range strings.Split(p, "/") {
		at := strings.Join(strings.Split(p, "/")[:i+1], "/")
		if at == p && !directory {
			t.b.Try(plan.Mknodat{DirFD: parent.Ref(), Path: name, Mode: unix.S_IFREG | 0o644}, plan.Ignore(unix.EEXIST)...)
			t.leave(parent)
			break
		}
		if !t.isMountpoint(at) {
			t.b.Try(plan.Mkdirat{DirFD: parent.Ref(), Path: name, Mode: 0o755}, plan.Ignore(unix.EEXIST)...)
		}
		if at == p {
			t.leave(parent)
			break
		}
		next := t.b.Get("dir", t.open(at, pathFlags|unix.O_DIRECTORY))
		t.leave(parent)
		parent = next
	}
	t.note(p)
}

// makeFresh makes a name directly inside a new file system, whose directory
// stays open since others follow.
func (t *Tree) makeFresh(p string, directory bool) {
	dir, name := splitPath(p)
	at := t.directory(dir)
	if directory {
		t.b.Try(plan.Mkdirat{DirFD: at.Ref(), Path: name, Mode: 0o755}, plan.Ignore(unix.EEXIST)...)
	} else {
		t.b.Try(plan.Mknodat{DirFD: at.Ref(), Path: name, Mode: unix.S_IFREG | 0o644}, plan.Ignore(unix.EEXIST)...)
	}
	t.note(p)
}

// leave closes a directory that make opened.
func (t *Tree) leave(dir plan.Slot) {
	if dir != t.root {
		t.b.Close(dir)
	}
}

// hide notes that a mount lies at p.
func (t *Tree) hide(p string) {
	t.covered = append(t.covered, p)
	t.mountpoints.add(p)
}

// isMountpoint reports whether a mount of the plan lies at p, and is seen.
func (t *Tree) isMountpoint(p string) bool {
	return t.mountpoints.at[p]
}

// note remembers that a name exists in a fresh file system.
func (t *Tree) note(p string) {
	dir, name := path.Split(p)
	if names := t.fresh[strings.TrimSuffix(dir, "/")]; names != nil {
		names[name] = true
	}
}

// isMissing reports whether a path directly inside a fresh file system is not there:
// the plan has made nothing of that name.
func (t *Tree) isMissing(p string) bool {
	dir, name := path.Split(p)
	names, ok := t.fresh[strings.TrimSuffix(dir, "/")]
	return ok && !names[name]
}

// isStraight reports whether a destination is where its name says: no symbolic link is on the
// way or at the end.
func (t *Tree) isStraight(destination string) bool {
	p := inside(destination)
	if p == "" || t.fresh[parent(p)] != nil {
		return true
	}
	if sys := t.made["sys"]; p == "sys/fs/cgroup" && sys != nil {
		return sys.Type == "sysfs" || sys.Source == "/sys" // which has links, but not on this way
	}
	target, measured := t.measured(destination)
	return measured && target.Resolved == p && !t.isCovered(parent(p))
}

// put attaches a detached mount to a destination, made if it is missing. In a fresh file
// system that is by its name, which is not followed, unless another mount may cover that by
// now: what is there is the plan's, and where a container that runs has put a link there
// meanwhile, the mount lies on that.
func (t *Tree) put(mount plan.Slot, destination string, r reach) {
	p := inside(destination)
	if t.byLink || !t.isMissing(p) {
		target := t.reach(destination, r)
		t.attach(mount, target)
		t.b.Close(target)
		return
	}
	t.makeFresh(p, r.directory)
	dir, name := splitPath(p)
	t.b.Do(plan.MoveMount{FromFD: mount.Ref(), ToFD: t.directory(dir).Ref(), ToPath: name, Flags: unix.MOVE_MOUNT_F_EMPTY_PATH})
}

// attach moves a detached mount to an open target.
func (t *Tree) attach(mount, target plan.Slot) {
	t.b.Do(move(mount, target))
}

// setattr changes an open mount.
func (t *Tree) setattr(mount plan.Slot, a attributes, propagation uint64, deep bool) {
	if a.set == 0 && a.clear == 0 && propagation == 0 {
		return
	}
	flags := unix.AT_EMPTY_PATH
	if deep {
		flags |= unix.AT_RECURSIVE
	}
	t.b.Do(plan.MountSetattr{DirFD: mount.Ref(), Flags: flags, Set: a.set, Clear: a.clear, Propagation: propagation})
}
