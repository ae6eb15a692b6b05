package rootfs

import (
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// device is a node to be in the container.
type device struct {
	path         string // in the container
	kind         uint32 // S_IFCHR, S_IFBLK, S_IFIFO
	major, minor uint32
	mode         uint32
	uid, gid     int
	pointer      string
	byDefault    bool // config.json does not ask for it
}

// defaultDevices are those of config-linux.md, "Default Devices".
func defaultDevices() []device {
	list := []device{
		{path: "/dev/null", minor: 3}, {path: "/dev/zero", minor: 5}, {path: "/dev/full", minor: 7},
		{path: "/dev/tty", major: 5}, {path: "/dev/random", minor: 8}, {path: "/dev/urandom", minor: 9},
	}
	for i := range list {
		d := &list[i]
		d.kind, d.mode, d.pointer, d.byDefault = unix.S_IFCHR, 0o666, "default", true
		if d.major == 0 {
			d.major = 1
		}
	}
	return list
}

// configDevices are those of config.json; one with a default device's path
// takes its place.
func configDevices(list []specs.LinuxDevice) []device {
	all := defaultDevices()
	for i, d := range list {
		next := device{path: d.Path, kind: deviceKind(d.Type), major: uint32(d.Major), minor: uint32(d.Minor),
			mode: 0o666, pointer: "linux.devices[" + strconv.Itoa(i) + "]"}
		if d.FileMode != nil {
			next.mode = uint32(*d.FileMode) & 0o7777
		}
		if d.UID != nil {
			next.uid = int(*d.UID)
		}
		if d.GID != nil {
			next.gid = int(*d.GID)
		}
		all = replaceDevice(all, next)
	}
	return all
}

func replaceDevice(all []device, next device) []device {
	for i := range all {
		if inside(all[i].path) == inside(next.path) {
			all[i] = next
			return all
		}
	}
	return append(all, next)
}

func deviceKind(s string) uint32 {
	switch s {
	case "b":
		return unix.S_IFBLK
	case "p":
		return unix.S_IFIFO
	}
	return unix.S_IFCHR
}

// devices makes the nodes and links of /dev. Where /dev is a bind mount it is
// the host's or another container's: nothing is made there.
func (t *Tree) devices(list []specs.LinuxDevice, mounts []Mount) error {
	bound := bindsDev(mounts)
	all := configDevices(list)
	var elsewhere []*device
	for i := range all {
		d := &all[i]
		if bound && isBelow(inside(d.path), "dev") || t.isLink(d) {
			continue
		}
		t.b.At(d.pointer, "device "+d.path)
		done, err := t.device(d)
		if err != nil {
			return err
		}
		if !done {
			elsewhere = append(elsewhere, d)
		}
	}
	t.bindNew(elsewhere)
	if !bound {
		t.b.At("default", "links in /dev")
		t.links()
	}
	return nil
}

// bindsDev reports whether the mount that ends up at /dev is a bind.
func bindsDev(mounts []Mount) bool {
	bound := false
	for i := range mounts {
		if m := &mounts[i]; inside(m.Destination) == "dev" && !m.options.remount {
			bound = m.options.bind
		}
	}
	return bound
}

// isLink reports whether a device of config.json is asked for where the
// specification wants a symbolic link. Engines that hand in all devices of the
// host have /dev/ptmx among them; for the others there is a warning.
func (t *Tree) isLink(d *device) bool {
	for _, l := range devLinks() {
		if inside(d.path) != "dev/"+l[0] {
			continue
		}
		if l[0] != "ptmx" {
			t.Warnings = append(t.Warnings, d.pointer+": ignored: "+d.path+" is a symbolic link to "+l[1])
		}
		return true
	}
	return false
}

// device makes a node, always a new one where the kernel lets us: the owner and
// the mode of the host's are not the container's to change. In a user namespace
// only FIFOs can be made. What config.json mounts at the device's own path
// stays. It reports whether that was all: where a node of the image may be in
// the way, bindNew does the rest.
func (t *Tree) device(d *device) (done bool, err error) {
	dir, name := splitPath(d.path)
	switch {
	case name == "":
		return false, d.error("the root cannot be a device", 0)
	case t.isMountpoint(inside(d.path)):
	case t.restricted && d.kind != unix.S_IFIFO:
		return true, t.bindHost(d)
	case t.freshDirectory(dir):
		t.mknod(d, t.directory(dir), name)
		t.note(inside(d.path))
	default:
		return false, nil
	}
	return true, nil
}

// freshDirectory reports whether a directory is in a file system of the plan
// with nothing in the way; where it is missing there it is made.
func (t *Tree) freshDirectory(p string) bool {
	if t.fresh[p] != nil || p == "" {
		return t.fresh[p] != nil
	}
	parent, name := splitPath(p)
	if !t.freshDirectory(parent) || t.fresh[parent][name] {
		return false
	}
	t.makeFresh(p, true)
	t.fresh[p] = make(map[string]bool)
	return true
}

// mknod makes a node in a directory of the plan's own. A name that is there
// already is a mount's.
func (t *Tree) mknod(d *device, at plan.Slot, name string) {
	owned, there := d.uid != 0 || d.gid != 0, plan.Label(0)
	if owned {
		there = t.b.Label()
	}
	t.b.Try(plan.Mknodat{DirFD: at.Ref(), Path: name, Mode: d.kind | d.mode, Major: d.major, Minor: d.minor},
		plan.Errno{Errno: unix.EEXIST, To: there})
	if owned {
		t.b.Do(plan.Fchownat{DirFD: at.Ref(), Path: name, UID: d.uid, GID: d.gid, Flags: unix.AT_SYMLINK_NOFOLLOW})
		t.b.Place(there)
	}
}

// bindNew binds new nodes over whatever is there, so that none of the image's is
// trusted and none is left in the rootfs on the disk. They are made in a file
// system of their own. It lies on the root while they are copied, since a copy
// of a mount needs it to be attached; nothing is resolved below the root
// meanwhile.
func (t *Tree) bindNew(list []*device) {
	if len(list) == 0 {
		return
	}
	t.b.At("default", "a file system for devices")
	fs := t.b.Get("fs", plan.Fsopen{Type: "tmpfs"})
	t.label(fs)
	t.b.Do(plan.Fsconfig{FD: fs.Ref(), Command: unix.FSCONFIG_CMD_CREATE})
	nodes := t.b.Get("nodes", plan.Fsmount{FD: fs.Ref(), Attrs: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC})
	t.b.Close(fs)
	t.attach(nodes, t.root)
	copies := make([]plan.Slot, len(list))
	for i, d := range list {
		t.b.At(d.pointer, "device "+d.path)
		name := strconv.Itoa(i)
		t.mknod(d, nodes, name)
		copies[i] = t.b.Get("device", plan.OpenTree{DirFD: nodes.Ref(), Path: name, Flags: unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC})
	}
	t.b.At("default", "a file system for devices")
	t.b.Do(plan.Fchdir{FD: nodes.Ref()})
	t.b.Do(plan.Umount2{Target: ".", Flags: unix.MNT_DETACH})
	t.b.Close(nodes)
	for i, d := range list {
		t.b.At(d.pointer, "device "+d.path)
		t.bindNode(copies[i], d)
	}
}

// bindHost binds the host's node, which a read-only mount keeps as it is:
// reading and writing a device is not writing to its file system.
func (t *Tree) bindHost(d *device) error {
	from, err := t.hostNode(d)
	if from == "" || err != nil {
		return err
	}
	mount := t.b.Get("device", openTree(from, false))
	t.setattr(mount, attributes{set: hostNodeFlags}, unix.MS_PRIVATE, false)
	t.bindNode(mount, d)
	return nil
}

// hostNodeFlags are those of a mount that shows a node of the host.
const hostNodeFlags = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_RDONLY

func (t *Tree) bindNode(mount plan.Slot, d *device) {
	t.put(mount, d.path, reach{})
	t.b.Close(mount)
}

// hostNode is where the host has a device: under its name in config.json, or
// under another one. Bound by name alone it could be another device. It is
// empty for a default device that the host does not have, or not for the caller. One that
// could not be looked at for lack of memory, say, it may have: programs cannot do without
// /dev/null.
func (t *Tree) hostNode(d *device) (string, error) {
	source, measured := t.facts.Sources[d.path]
	rdev := unix.Mkdev(d.major, d.minor)
	isNode := source.Kind == host.Character || source.Kind == host.Block
	elsewhere := t.facts.Nodes[host.DeviceName(d.hostKind(), rdev)]
	switch {
	case !measured, source.Kind == d.hostKind() && source.Rdev == rdev:
		return d.path, nil
	case elsewhere != "":
		return elsewhere, nil
	case d.byDefault && slices.Contains([]string{"ENOENT", "ENOTDIR", "ELOOP", "EACCES", "EPERM"}, source.Error):
		return "", nil
	case source.Error == "ENOENT":
		e := d.error("the host has no such device: "+unix.ENOENT.Error(), unix.ENOENT)
		e.Hint = "in a user namespace no device can be made, only the host's bound"
		return "", e
	case source.Error != "":
		return "", d.error("the host's device: "+source.Error, 0)
	case !isNode:
		return "", d.error("on the host it is no device", 0)
	}
	return "", d.error("on the host it is the device "+host.DeviceName(source.Kind, source.Rdev)+", not "+host.DeviceName(d.hostKind(), rdev), 0)
}

func (d *device) hostKind() host.Kind {
	if d.kind == unix.S_IFBLK {
		return host.Block
	}
	return host.Character
}

func (d *device) error(why string, errno unix.Errno) *fault.Error {
	e := &fault.Error{Place: d.pointer, What: "device " + d.path, Why: why, Errno: errno}
	if d.byDefault {
		e.Place = ""
	}
	return e
}

// directory opens a directory once and keeps it open, since many nodes go
// into /dev.
func (t *Tree) directory(p string) plan.Slot {
	if slot, ok := t.directories[p]; ok {
		return slot
	}
	slot := t.target("/"+p, true)
	t.directories[p] = slot
	return slot
}

// splitPath splits a cleaned path into its directory and name.
func splitPath(p string) (dir, name string) {
	p = inside(p)
	if i := strings.LastIndexByte(p, '/'); i >= 0 {
		return p[:i], p[i+1:]
	}
	return "", p
}

// devLinks are the symbolic links of config-linux.md, "Default Devices", and of
// runtime-linux.md, "Dev symbolic links": names in /dev, and where they lead.
func devLinks() [6][2]string {
	return [...][2]string{
		{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
		{"stderr", "/proc/self/fd/2"}, {"core", "/proc/kcore"}, {"ptmx", "pts/ptmx"},
	}
}

// links makes the symbolic links of /dev.
func (t *Tree) links() {
	dev := t.directory("dev")
	for _, l := range devLinks() {
		if l[0] == "core" && t.facts.Proc["/proc/kcore"] == host.Missing {
			continue
		}
		t.b.Try(plan.Symlinkat{Target: l[1], DirFD: dev.Ref(), LinkPath: l[0]}, plan.Ignore(unix.EEXIST)...)
	}
}
