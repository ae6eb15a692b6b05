package rootfs

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// devicePlan makes the file system of a container with devices, and returns its
// operations as text.
func devicePlan(t *testing.T, facts host.Facts, mounts []specs.Mount, devices ...specs.LinuxDevice) ([]string, *Tree, error) {
	t.Helper()
	facts.Rootfs.Path, facts.Rootfs.Kind = "/rootfs", host.Directory
	b := plan.NewBuilder(3)
	b.Do(plan.Prctl{Option: unix.PR_SET_DUMPABLE})
	spec := &specs.Spec{Root: &specs.Root{Path: "/rootfs"}, Mounts: mounts, Linux: &specs.Linux{Devices: devices}}
	tree, list, err := Sources(b, Config{Spec: spec, Facts: &facts, Mounts: read(t, spec), Absolute: func(p string) string { return p }})
	if err == nil {
		err = tree.Mounts(list)
	}
	if err != nil {
		return nil, nil, err
	}
	b.Do(plan.ExitGroup{})
	p, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return texts(p), tree, nil
}

func texts(p *plan.Plan) (lines []string) {
	for i := range p.Len() {
		lines = append(lines, p.Text(i))
	}
	return lines
}

func count(lines []string, parts ...string) int {
	n := 0
	for _, line := range lines {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			n++
		}
	}
	return n
}

// TestNewDevices: real root's container gets new nodes with the mode and owner
// asked for, whatever /dev is and wherever the rootfs lies; never the host's,
// and never one of the image's. Neighbours: directories below /dev and beside
// it, a rootfs with nodev, no mount at /dev, a bind mount below it, FIFOs, block
// devices, the default devices.
func TestNewDevices(t *testing.T) {
	mode, uid := os.FileMode(0o600), uint32(7)
	devices := []specs.LinuxDevice{
		{Path: "/dev/net/tun", Type: "c", Major: 10, Minor: 200, FileMode: &mode, UID: &uid},
		{Path: "/dev/net/deep/er", Type: "b", Major: 8, Minor: 1},
		{Path: "/opt/null", Type: "u", Major: 1, Minor: 3}, {Path: "/dev/pipe", Type: "p", UID: &uid},
	}
	tmpfs := specs.Mount{Destination: "/dev", Type: "tmpfs", Source: "tmpfs"}
	nodev := host.Source{Flags: []string{"nodev"}}
	for name, test := range map[string]struct {
		mounts []specs.Mount
		root   host.Source
		bound  int
	}{
		"tmpfs": {[]specs.Mount{tmpfs}, host.Source{}, 1}, "tmpfs on nodev": {[]specs.Mount{tmpfs}, nodev, 1},
		"none": {nil, host.Source{}, 10}, "none on nodev": {nil, nodev, 10},
		"a bind below it": {[]specs.Mount{tmpfs, {Destination: "/dev/net", Type: "bind", Source: "/srv"}}, host.Source{}, 3},
	} {
		lines, _, err := devicePlan(t, host.Facts{UserNamespace: host.UserNamespace{Initial: true}, Rootfs: test.root}, test.mounts, devices...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n := count(lines, "open_tree(AT_FDCWD, \"/dev"); n != 0 {
			t.Errorf("%s: %d nodes of the host", name, n)
		}
		if count(lines, "S_IFCHR|0600, makedev(0xa, 0xc8)") != 1 || count(lines, "S_IFBLK|0666, makedev(0x8, 0x1)") != 1 ||
			count(lines, "S_IFIFO|0666") != 1 || count(lines, "fchownat(", ", 7, 0, AT_SYMLINK_NOFOLLOW)") != 2 || count(lines, "S_IFCHR") != 8 {
			t.Errorf("%s: not all are made:\n%s", name, strings.Join(lines, "\n"))
		}
		if n := count(lines, "$device", "move_mount("); n != test.bound {
			t.Errorf("%s: %d are bound, want %d\n%s", name, n, test.bound, strings.Join(lines, "\n"))
		}
		// What lies on the root while nodes are copied is gone before any path
		// below it is resolved.
		on := slices.IndexFunc(lines, func(s string) bool { return strings.HasPrefix(s, `move_mount($nodes, "", $root`) })
		off := slices.Index(lines, `umount2(".", MNT_DETACH)`)
		if on < 0 || off < on || count(lines[on:off], "openat2(") != 0 {
			t.Errorf("%s: attached at %d, detached at %d:\n%s", name, on, off, strings.Join(lines, "\n"))
		}
	}
}

// TestMountedDevice: what config.json mounts at a device's path is not covered.
func TestMountedDevice(t *testing.T) {
	mounts := []specs.Mount{{Destination: "/dev", Type: "tmpfs", Source: "tmpfs"}, {Destination: "/dev/random", Type: "bind", Source: "/srv/file"}}
	for _, initial := range []bool{true, false} {
		lines, _, err := devicePlan(t, host.Facts{UserNamespace: host.UserNamespace{Initial: initial}}, mounts)
		if err != nil || count(lines, "/dev/random") != 0 || count(lines, `"random", S_IFCHR`) != 0 {
			t.Errorf("initial %t: %v\n%s", initial, err, strings.Join(lines, "\n"))
		}
	}
}

// TestHostDevices: in a user namespace the host's node is bound, found under any
// name, so that nobody can change it or execute from it. Another device than
// the one asked for is never bound: neighbours are numbers and kinds.
func TestHostDevices(t *testing.T) {
	char := func(major, minor uint32) host.Source {
		return host.Source{Kind: host.Character, Rdev: unix.Mkdev(major, minor)}
	}
	facts := host.Facts{Sources: map[string]host.Source{
		"/dev/fuse": char(10, 229), "/dev/my/null": {Error: "ENOENT"}, "/dev/other": char(9, 9), "/dev/block": char(8, 0),
		"/dev/dir": {Kind: host.Directory}, "/dev/secret": {Error: "EACCES"},
	}, Nodes: map[string]string{"c 1:3": "/dev/null", "c 7:7": "/dev/vcs7", "b 8:1": "/dev/sda1"}}
	for _, test := range []struct {
		path, kind   string
		major, minor int64
		from, want   string
	}{
		{"/dev/fuse", "c", 10, 229, "/dev/fuse", ""},
		{"/dev/my/null", "c", 1, 3, "/dev/null", ""},
		{"/dev/other", "u", 7, 7, "/dev/vcs7", ""},
		{"/dev/dir", "b", 8, 1, "/dev/sda1", ""},
		{"/dev/unmeasured", "c", 1, 1, "/dev/unmeasured", ""},
		{"/dev/my/null", "c", 1, 4, "", "the host has no such device: no such file or directory"},
		{"/dev/other", "c", 9, 8, "", "on the host it is the device c 9:9, not c 9:8"},
		{"/dev/block", "b", 8, 0, "", "on the host it is the device c 8:0, not b 8:0"},
		{"/dev/dir", "c", 8, 0, "", "on the host it is no device"},
		{"/dev/secret", "c", 8, 0, "", "the host's device: EACCES"},
	} {
		lines, _, err := devicePlan(t, facts, nil, specs.LinuxDevice{Path: test.path, Type: test.kind, Major: test.major, Minor: test.minor})
		if test.want != "" {
			var e *fault.Error
			if !errors.As(err, &e) || e.Why != test.want || e.Place != "linux.devices[0]" {
				t.Errorf("%+v: %v", test, err)
			}
			continue
		}
		i := slices.IndexFunc(lines, func(s string) bool { return strings.Contains(s, `open_tree(AT_FDCWD, "`+test.from+`"`) })
		if err != nil || i < 0 || !strings.Contains(lines[i+1], "MOUNT_ATTR_RDONLY|MOUNT_ATTR_NOSUID|MOUNT_ATTR_NOEXEC") ||
			count(lines, "S_IFCHR")+count(lines, "S_IFBLK") != 0 {
			t.Errorf("%+v: %v\n%s", test, err, strings.Join(lines, "\n"))
		}
	}
}

// A default device that the host does not have is left out. One that could not be looked
// at it may well have, and the container is not made without.
func TestUnseenDevices(t *testing.T) {
	for name, missing := range map[string]bool{"ENOENT": true, "EACCES": true, "EMFILE": false, "ENOMEM": false, "EIO": false} {
		d := &device{path: "/dev/null", kind: unix.S_IFCHR, major: 1, minor: 3, byDefault: true}
		tree := &Tree{facts: &host.Facts{Sources: map[string]host.Source{"/dev/null": {Error: name}}}}
		at, err := tree.hostNode(d)
		if at != "" || (err == nil) != missing || err != nil && !strings.Contains(err.Error(), "device /dev/null: the host's device: "+name) {
			t.Errorf("%s: %q, %v", name, at, err)
		}
	}
}

// TestLinkedDevices: a device where the specification has a symbolic link is
// not made, whatever name it is asked for by; with a warning where no engine
// asks for all of the host's devices.
func TestLinkedDevices(t *testing.T) {
	var devices []specs.LinuxDevice
	for _, p := range []string{"/dev/ptmx", "/dev//ptmx", "/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/core"} {
		devices = append(devices, specs.LinuxDevice{Path: p, Type: "c", Major: 5, Minor: 2})
	}
	for _, initial := range []bool{true, false} {
		facts := host.Facts{UserNamespace: host.UserNamespace{Initial: initial}, Proc: map[string]host.Kind{"/proc/kcore": host.Regular}}
		lines, tree, err := devicePlan(t, facts, []specs.Mount{{Destination: "/dev", Type: "tmpfs", Source: "tmpfs"}}, devices...)
		if err != nil || count(lines, "symlinkat(") != 6 || count(lines, "makedev(0x5, 0x2)")+count(lines, `"/dev/ptmx"`) != 0 {
			t.Errorf("initial %t: %v\n%s", initial, err, strings.Join(lines, "\n"))
		}
		if len(tree.Warnings) != 5 || tree.Warnings[0] != "linux.devices[2]: ignored: /dev/fd is a symbolic link to /proc/self/fd" {
			t.Errorf("warnings %q", tree.Warnings)
		}
	}
}

// TestMaskIsNotTheHostsNode: what masks a file cannot be changed through it.
func TestMaskIsNotTheHostsNode(t *testing.T) {
	_, tree, err := devicePlan(t, host.Facts{UserNamespace: host.UserNamespace{Initial: true}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := plan.NewBuilder(3)
	b.Do(plan.Prctl{Option: unix.PR_SET_DUMPABLE})
	tree.b, tree.root = b, b.Slot("root")
	tree.b.At("root.path", "open").For(plan.ForRoot, "")
	b.Add(plan.Step{Op: openTree("/rootfs", true), Result: tree.root})
	tree.masks([]string{"/proc/keys"})
	b.Do(plan.ExitGroup{})
	p, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	lines := texts(p)
	readonly := slices.IndexFunc(lines, func(s string) bool {
		return strings.Contains(s, "mount_setattr($null, ") && strings.Contains(s, "RDONLY")
	})
	over := slices.IndexFunc(lines, func(s string) bool { return strings.Contains(s, `move_mount($null, "", AT_FDCWD, "/dev/null"`) })
	mask := slices.IndexFunc(lines, func(s string) bool { return strings.Contains(s, `move_mount($null2, "", $mask`) })
	if readonly < 0 || over < readonly || mask < over {
		t.Errorf("read-only at %d, over the host's at %d, mask at %d:\n%s", readonly, over, mask, strings.Join(lines, "\n"))
	}
}
