package rootfs

import (
	"slices"
	"strconv"
	"strings"

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
}

// defaultDevices are those of config-linux.md, "Default Devices".
func defaultDevices() []device {
	list := []device{
		{path: "/dev/null", minor: 3}, {path: "/dev/zero", minor: 5}, {path: "/dev/full", minor: 7},
		{path: "/dev/tty", major: 5}, {path: "/dev/random", minor: 8}, {path: "/dev/urandom", minor: 9},
	}
	for i := range list {
		d := &list[i]
		d.kind, d.mode, d.pointer = unix.S_IFCHR, 0o666, "default"
		if d.major == 0 {
			d.major = 1
		}
	}
	return list
}

// DefaultDevices lists the paths of the devices that every container has.
func DefaultDevices() []string {
	var paths []string
	for _, d := range defaultDevices() {
		paths = append(paths, d.path)
	}
	return paths
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
	for i := range all {
		d := &all[i]
		if bound && isBelow(inside(d.path), "dev") {
			continue
		}
		t.b.At(d.pointer, "device "+d.path)
		if err := t.device(d); err != nil {
			return err
		}
	}
	if !bound {
		t.b.At("default", "links in /dev")
		t.links()
	}
	return nil
}

// bindsDev tells whether the mount that ends up at /dev is a bind.
func bindsDev(mounts []Mount) bool {
	bound := false
	for i := range mounts {
		if m := &mounts[i]; inside(m.Destination) == "dev" && !m.options.remount {
			bound = m.options.bind
		}
	}
	return bound
}

// device makes a node in a new file system with nothing in the way, as real
// root. Everywhere else the host's node is bound over whatever is there, so
// that a node that the image brought along is never trusted.
func (t *Tree) device(d *device) error {
	dir, name := splitPath(d.path)
	switch {
	case name == "":
		return d.error("the root cannot be a device", 0)
	case d.kind == unix.S_IFIFO, t.fresh[dir] != nil && !t.restricted:
		t.mknod(d, dir, name, 0, 0)
		return nil
	}
	if err := t.checkHostDevice(d); err != nil {
		return err
	}
	if t.facts.Sources[d.path].Error != "" {
		return nil // the host has no such default device
	}
	if d.pointer != "default" && !t.restricted && !slices.Contains(t.facts.Rootfs.Flags, "nodev") {
		t.mknodOrBind(d, dir, name)
		return nil
	}
	t.bindDevice(d)
	return nil
}

// checkHostDevice refuses a device of config.json that the host does not have,
// or has with other numbers: bound, it would be another one.
func (t *Tree) checkHostDevice(d *device) error {
	source, ok := t.facts.Sources[d.path]
	isNode := source.Kind == host.Character || source.Kind == host.Block
	switch {
	case !ok:
		return nil
	case source.Error == "ENOENT" && d.pointer != "default":
		e := d.error("the host has no such device: "+unix.ENOENT.Error(), unix.ENOENT)
		e.Hint = "in a user namespace no device can be made, only the host's bound"
		return e
	case source.Error != "" && d.pointer != "default":
		return d.error("the host's device: "+source.Error, 0)
	case source.Error == "" && !isNode:
		return d.error("on the host it is no device", 0)
	case isNode && source.Rdev != unix.Mkdev(d.major, d.minor):
		return d.error("on the host it is the device "+number(source.Rdev)+", not "+number(unix.Mkdev(d.major, d.minor)), 0)
	}
	return nil
}

func number(rdev uint64) string {
	return strconv.Itoa(int(unix.Major(rdev))) + ":" + strconv.Itoa(int(unix.Minor(rdev)))
}

func (d *device) error(why string, errno unix.Errno) *Error {
	return &Error{Pointer: d.pointer, What: "device " + d.path, Why: why, Errno: errno}
}

// mknodOrBind makes a node in the rootfs itself, or binds the host's over what
// is in the way.
func (t *Tree) mknodOrBind(d *device, dir, name string) {
	exists, end := t.b.Label(), t.b.Label()
	t.mknod(d, dir, name, exists, end)
	t.b.Place(exists)
	t.bindDevice(d)
	t.b.Place(end)
}

// bindDevice binds the host's node.
func (t *Tree) bindDevice(d *device) {
	mount := t.b.Get("device", openTree(d.path, false))
	target := t.target(d.path, false)
	t.attach(mount, target)
	t.b.Close(target)
	t.b.Close(mount)
}

// mknod makes a node and goes on at done; where a file is in the way it goes on
// at exists. A label of 0 is the next step.
func (t *Tree) mknod(d *device, dir, name string, exists, done plan.Label) {
	at := t.directory(dir)
	owned := d.uid != 0 || d.gid != 0
	node := plan.Step{Op: plan.Mknodat{DirFD: at.Ref(), Path: name, Mode: d.kind | d.mode, Major: d.major, Minor: d.minor},
		Tolerate: []plan.Errno{{Errno: unix.EEXIST, To: exists}}}
	if !owned {
		node.OnZero = done
	}
	t.b.Add(node)
	if owned {
		t.b.Add(plan.Step{Op: plan.Fchownat{DirFD: at.Ref(), Path: name, UID: d.uid, GID: d.gid,
			Flags: unix.AT_SYMLINK_NOFOLLOW}, OnZero: done})
	}
	t.note(inside(d.path))
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

// links makes the symbolic links of config-linux.md, "Default Devices", and of
// runtime-linux.md, "Dev symbolic links".
func (t *Tree) links() {
	dev := t.directory("dev")
	for _, l := range [...][2]string{
		{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
		{"stderr", "/proc/self/fd/2"}, {"core", "/proc/kcore"}, {"ptmx", "pts/ptmx"},
	} {
		if l[0] == "core" && t.facts.Proc["/proc/kcore"] == host.Missing {
			continue
		}
		t.b.Try(plan.Symlinkat{Target: l[1], DirFD: dev.Ref(), LinkPath: l[0]}, plan.Ignore(unix.EEXIST)...)
	}
}
