package rootfs

import (
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
func (t *Tree) devices(list []device, mounts []Mount) {
	if bindsDev(mounts) {
		return
	}
	for i := range list {
		d := &list[i]
		t.b.At(d.pointer, "device "+d.path)
		t.device(d)
	}
	t.b.At("default", "links in /dev")
	t.links()
}

func bindsDev(mounts []Mount) bool {
	for i := range mounts {
		if inside(mounts[i].Destination) == "dev" {
			return mounts[i].options.bind
		}
	}
	return false
}

// device makes a node in a new file system with nothing in the way, as real
// root. Everywhere else the host's node is bound over whatever is there, so
// that a node that the image brought along is never trusted.
func (t *Tree) device(d *device) {
	dir, name := splitPath(d.path)
	if names := t.fresh[dir]; names != nil && !t.restricted || d.kind == unix.S_IFIFO {
		t.mknod(d, dir, name)
		return
	}
	source := t.facts.Sources[d.path]
	if source.Kind == host.Missing && source.Error != "" && d.pointer == "default" {
		return // the host has no such device
	}
	mount := t.b.Get("device", openTree(d.path, false))
	target := t.target(d.path, false)
	t.attach(mount, target)
	t.b.Close(target)
	t.b.Close(mount)
}

func (t *Tree) mknod(d *device, dir, name string) {
	at := t.directory(dir)
	t.b.Try(plan.Mknodat{DirFD: at.Ref(), Path: name, Mode: d.kind | d.mode, Major: d.major, Minor: d.minor},
		plan.Ignore(unix.EEXIST)...)
	if d.uid != 0 || d.gid != 0 {
		t.b.Do(plan.Fchownat{DirFD: at.Ref(), Path: name, UID: d.uid, GID: d.gid, Flags: unix.AT_SYMLINK_NOFOLLOW})
	}
	t.note(dir + "/" + name)
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
