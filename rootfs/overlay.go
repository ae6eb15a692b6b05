package rootfs

import (
	"path"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// Theory of operation: a root that is thrown away
//
// What the program changes goes to a store: a tmpfs, or a directory of the caller's.
// The root itself is only read. The kernel has three wishes. An overlay's lower
// directory must have no mounts below it, where they came from another user
// namespace; so a root with mounts is taken apart (host.Layers), and has an overlay
// for each part. The upper directory must be attached in the mount namespace; so the
// store is mounted over a directory of the host that nothing needs any more. And
// both are found by path: the upper ones by names below the working directory, which
// is a directory of the store that the container never sees, so that no link which
// it left in a store that is kept leads anywhere.
//
// A user namespace may change only what belongs to an id that it has. Where the
// root is somebody else's, as / is to all but root, the store begins with copies
// of the directories and of the files that programs change in place, which belong
// to the container's root (Config.Fill, package copytree).

// Overlay is a root whose changes go elsewhere.
type Overlay struct {
	// Dir keeps the changes, absolute; empty for a tmpfs.
	Dir string
}

// The names in a store. That of a layer is its path, escaped.
const (
	wholeName = "layer" // of a root that is one layer; others have a % after it
	upperName = "upper"
	workName  = "work"
)

// PlainRoot is the directory of a store with what of a root that is taken apart is made anew.
const PlainRoot = "root"

// Filled is the directory of a store that was filled (package copytree).
const Filled = "filled"

// layerName is the directory in the store of the layer at a path of the root, with
// upperName in it.
func layerName(p string) string {
	if p == "" {
		return wholeName
	}
	return wholeName + "%" + strings.NewReplacer("%", "%25", "/", "%2F").Replace(p)
}

// InStore reports whether an overlay's store has files of such a name.
func InStore(name string) bool {
	return name == PlainRoot || name == Filled || name == wholeName || strings.HasPrefix(name, wholeName+"%")
}

// UpperPath is the upper directory of a layer in the store.
func UpperPath(p string) string { return layerName(p) + "/" + upperName }

const overlayPlace = "root.path"

func (t *Tree) atOverlay(what string) {
	t.b.At(overlayPlace, what).For(plan.ForMount, "overlay")
}

// openStore opens what is read and what keeps the changes, while the credentials are
// the caller's.
func (t *Tree) openStore() error {
	l := t.facts.Layers
	if l.Error != "" {
		return &fault.Error{Place: overlayPlace, What: "lay an overlay over " + t.facts.Rootfs.Path, Why: l.Error}
	}
	if len(escaped(t.lower(""))) > maxValue-len("/") {
		return &fault.Error{Place: overlayPlace, What: "lay an overlay over " + t.facts.Rootfs.Path, Why: "the path is longer than the 255 bytes that fsconfig(2) takes"}
	}
	t.b.At(overlayPlace, "open the root "+t.facts.Rootfs.Path).For(plan.ForRoot, "")
	t.below = t.b.Get("below", plan.Openat2{DirFD: plan.AtCWD(), Path: t.facts.Rootfs.Path, Flags: pathFlags | unix.O_DIRECTORY})
	if dir := t.config.Overlay.Dir; dir != "" {
		t.b.At(overlayPlace, "open the overlay's directory "+dir).For(plan.ForRoot, "")
		t.store = t.b.Get("store", openTree(dir, false))
	}
	return nil
}

// overlay makes the root: attaches the store, fills it, and lays it over.
func (t *Tree) overlay(at string) {
	if t.store == 0 {
		t.atOverlay("make the overlay's memory")
		fs := t.b.Get("fs", plan.Fsopen{Type: "tmpfs"})
		t.set(fs, "mode", "755")
		t.b.Do(plan.Fsconfig{FD: fs.Ref(), Command: unix.FSCONFIG_CMD_CREATE})
		t.store = t.b.Get("store", plan.Fsmount{FD: fs.Ref(), Attrs: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV})
		t.b.Close(fs)
	}
	t.atOverlay("attach what keeps the changes")
	t.attachAt(t.store, at)
	var layers []string
	for _, p := range t.layers() {
		layers = append(layers, p.Path)
		dir := t.makeIn(t.store, layerName(p.Path), 0o755)
		t.b.Close(t.makeIn(dir, upperName, p.Mode))
		t.b.Close(t.makeIn(dir, workName, 0o755))
		t.b.Close(dir)
	}
	if t.config.Fill && len(layers) > 0 {
		t.atOverlay("copy what can be changed only by its owner")
		t.config.CopyOutside(Copy{Pointer: overlayPlace, What: "fill the overlay", Layers: layers}, t.below, t.store)
	}
	t.b.Close(t.below)
	if parts := t.facts.Layers.Parts; len(parts) > 0 {
		t.putTogether(parts, at)
	} else {
		t.root = t.layer(host.Part{Flags: t.facts.Rootfs.Flags}, 0)
		t.attachAt(t.root, at)
	}
	t.b.Close(t.store)
}

// layers are the parts that get an overlay: the root itself, where it is one.
func (t *Tree) layers() []host.Part {
	parts := t.facts.Layers.Parts
	if len(parts) == 0 {
		return []host.Part{{Mode: 0o755}}
	}
	var list []host.Part
	for _, p := range parts {
		if p.Kind == host.Directory && !p.Plain {
			list = append(list, p)
		}
	}
	return list
}

// putTogether makes a root that was taken apart.
func (t *Tree) putTogether(parts []host.Part, at string) {
	dir := t.makeIn(t.store, PlainRoot, 0o755)
	t.b.At(overlayPlace, "begin the root").For(plan.ForRoot, "")
	t.root = t.b.Get("root", plan.OpenTree{DirFD: dir.Ref(), Flags: unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH})
	t.b.Close(dir)
	t.attachAt(t.root, at)
	for _, p := range parts {
		t.atOverlay("make /" + p.Path)
		in, name := t.root, p.Path
		if dir := parent(p.Path); dir != "" {
			in, name = t.b.Get("in", t.open(dir, pathFlags|unix.O_DIRECTORY)), path.Base(p.Path)
		}
		t.part(p, in, name)
		t.leave(in)
	}
}

// part makes one part. Sockets, pipes and devices mean nothing without who made them.
func (t *Tree) part(p host.Part, in plan.Slot, name string) {
	switch p.Kind {
	case host.Symlink:
		t.b.Try(plan.Symlinkat{Target: p.Link, DirFD: in.Ref(), LinkPath: name}, plan.Ignore(unix.EEXIST)...)
	case host.Directory:
		t.makeAt(in, name, p.Mode)
		if p.Plain {
			return
		}
		target := t.b.Get("target", t.open(p.Path, pathFlags|unix.O_DIRECTORY))
		if p.Mount {
			t.layerOrBind(p, target)
		} else {
			t.cover(t.layer(p, 0), target)
		}
		t.b.Close(target)
	case host.Regular:
		t.b.Try(plan.Mknodat{DirFD: in.Ref(), Path: name, Mode: unix.S_IFREG | 0o644}, plan.Ignore(unix.EEXIST)...)
		target := t.b.Get("target", t.open(p.Path, pathFlags))
		t.readonlyBind(p, t.b.Slot("bound"), target)
		t.b.Close(target)
	}
}

// layerOrBind lays an overlay over a file system that may be none to do that with
// (EINVAL: vfat, autofs); such a one is bound read-only.
func (t *Tree) layerOrBind(p host.Part, target plan.Slot) {
	none, done := t.b.Label(), t.b.Label()
	mount := t.layer(p, none)
	t.b.Add(plan.Step{Op: move(mount, target), OnZero: done})
	t.b.Place(none)
	t.readonlyBind(p, mount, target)
	t.b.Place(done)
	t.b.Close(mount)
}

func (t *Tree) readonlyBind(p host.Part, mount, target plan.Slot) {
	t.b.Add(plan.Step{Op: openTree(t.lower(p.Path), true), Result: mount})
	t.setattr(mount, attributes{set: unix.MOUNT_ATTR_RDONLY}, unix.MS_PRIVATE, true)
	t.attach(mount, target)
}

// layer makes the overlay of one layer. Where the kernel refuses the lower directory
// it goes on at refused, if there is such a label.
func (t *Tree) layer(p host.Part, refused plan.Label) plan.Slot {
	t.atOverlay("lay an overlay over " + t.lower(p.Path))
	dir := t.b.Get("dir", t.openBelow(t.store, layerName(p.Path)))
	t.b.Do(plan.Fchdir{FD: dir.Ref()})
	t.b.Close(dir)
	fs := t.b.Get("fs", plan.Fsopen{Type: "overlay"})
	var tolerate []plan.Errno
	if refused != 0 {
		tolerate = []plan.Errno{{Errno: unix.EINVAL, To: refused}}
	}
	for _, o := range [][2]string{{"lowerdir", escaped(t.lower(p.Path))}, {"upperdir", upperName}, {"workdir", workName}} {
		t.b.Add(plan.Step{Op: plan.Fsconfig{FD: fs.Ref(), Command: unix.FSCONFIG_SET_STRING, Key: o[0], Value: o[1]}, Tolerate: tolerate})
	}
	if t.restricted {
		t.b.Do(plan.Fsconfig{FD: fs.Ref(), Command: unix.FSCONFIG_SET_FLAG, Key: "userxattr"})
	}
	t.label(fs)
	t.b.Add(plan.Step{Op: plan.Fsconfig{FD: fs.Ref(), Command: unix.FSCONFIG_CMD_CREATE}, Tolerate: tolerate})
	flags := parseOptions(p.Flags)
	mount := t.b.Get("layer", plan.Fsmount{FD: fs.Ref(), Attrs: int(flags.attributes() &^ unix.MOUNT_ATTR_RDONLY)})
	t.b.Close(fs)
	return mount
}

// lower is the path of a part on the host.
func (t *Tree) lower(p string) string { return path.Join(t.facts.Rootfs.Path, p) }

// escaped is a path as overlayfs takes one in a list.
func escaped(p string) string { return strings.NewReplacer(`\`, `\\`, ":", `\:`).Replace(p) }

// makeIn makes a directory in one of the store, if it is not there, and opens it.
func (t *Tree) makeIn(in plan.Slot, name string, mode uint32) plan.Slot {
	t.makeAt(in, name, mode)
	op := t.openBelow(in, name)
	op.Flags |= unix.O_DIRECTORY | unix.O_NOFOLLOW
	return t.b.Get("dir", op)
}

func (t *Tree) makeAt(in plan.Slot, name string, mode uint32) {
	t.b.Try(plan.Mkdirat{DirFD: in.Ref(), Path: name, Mode: mode}, plan.Ignore(unix.EEXIST)...)
}

// attachAt attaches a mount of the root over a directory of the host.
func (t *Tree) attachAt(mount plan.Slot, at string) {
	t.b.Do(plan.MoveMount{FromFD: mount.Ref(), ToFD: plan.AtCWD(), ToPath: at, Flags: unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_SYMLINKS})
}

// attachPoint is the directory of the host that the root is attached over: its own. The
// root of the host itself cannot be covered; any directory serves, but not one that
// an overlay needs.
func (t *Tree) attachPoint() string {
	p := t.facts.Rootfs.Path
	switch {
	case p != "/" && t.config.Overlay == nil:
		return p
	case p == "/tmp" || strings.HasPrefix(p, "/tmp/"):
		return "/usr"
	}
	return "/tmp"
}
