package rootfs

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestInside(t *testing.T) {
	tests := map[string]string{
		"/": "", "": "", ".": "", "/a": "a", "a/b": "a/b", "/a//b/./c/": "a/b/c", "/a/../b": "b",
		"../../etc": "etc", "/..": "", "/a/../../../b": "b", "/...": "...",
	}
	for in, want := range tests {
		if got := inside(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestSplitPath(t *testing.T) {
	tests := map[string][2]string{
		"/dev/null": {"dev", "null"}, "/null": {"", "null"}, "/a/b/c/": {"a/b", "c"}, "/dev/../x": {"", "x"},
	}
	for in, want := range tests {
		if dir, name := splitPath(in); dir != want[0] || name != want[1] {
			t.Errorf("%q: got %q and %q, want %q", in, dir, name, want)
		}
	}
}

func TestParseIDMap(t *testing.T) {
	container := &Config{UIDs: []host.Mapping{{ContainerID: 0, HostID: 1000, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 10}},
		GIDs: []host.Mapping{{ContainerID: 0, HostID: 5, Size: 9}}}
	type mappings = []host.Mapping
	tests := []struct {
		text       string
		uids, gids mappings
	}{
		{"uids=0-1-2;gids=3-4-5", mappings{{ContainerID: 0, HostID: 1, Size: 2}}, mappings{{ContainerID: 3, HostID: 4, Size: 5}}},
		{"uids=0-1-2#5-6-7", mappings{{ContainerID: 0, HostID: 1, Size: 2}, {ContainerID: 5, HostID: 6, Size: 7}}, nil},
		{"uids=@0-0-3", mappings{{ContainerID: 0, HostID: 1000, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 2}}, nil},
		{"uids=@7-2-1;gids=@0-8-1", mappings{{ContainerID: 7, HostID: 100001, Size: 1}}, mappings{{ContainerID: 0, HostID: 13, Size: 1}}},
		{"uids=0-0-4294967295", mappings{{ContainerID: 0, HostID: 0, Size: 4294967295}}, nil},
	}
	for _, test := range tests {
		uids, gids, ok := parseIDMap(test.text, container)
		if !ok || !reflect.DeepEqual(uids, test.uids) || !reflect.DeepEqual(gids, test.gids) {
			t.Errorf("%s: got %v, %v, %t; want %v, %v", test.text, uids, gids, ok, test.uids, test.gids)
		}
	}
	for _, text := range []string{"", "uids", "uids=", "uids=0-1", "uids=0-1-2-3", "uids=0-1-0", "uids=a-1-2", "uids=-1-1-2",
		"pids=0-1-2", "uids=0-1-2;", "uids=0-1-2#", "uids=@0-11-1", "uids=@0-5-7", "uids=0-1-4294967295", "uids=0-4294967296-1"} {
		if uids, gids, ok := parseIDMap(text, container); ok {
			t.Errorf("%q passes as %v, %v", text, uids, gids)
		}
	}
}

func TestConfigDevices(t *testing.T) {
	mode, uid, gid := os.FileMode(0o640), uint32(3), uint32(4)
	list := configDevices([]specs.LinuxDevice{
		{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229, FileMode: &mode, UID: &uid, GID: &gid},
		{Path: "/dev//zero", Type: "u", Major: 1, Minor: 5, FileMode: &mode},
		{Path: "/dev/disk", Type: "b", Major: 8}, {Path: "/dev/pipe", Type: "p"},
	})
	got := map[string]device{}
	for _, d := range list {
		got[inside(d.path)] = d
	}
	if len(list) != len(defaultDevices())+3 || len(got) != len(list) {
		t.Errorf("%d devices at %d paths", len(list), len(got))
	}
	for path, want := range map[string]device{
		"dev/null": {path: "/dev/null", kind: unix.S_IFCHR, major: 1, minor: 3, mode: 0o666, pointer: "default", byDefault: true},
		"dev/tty":  {path: "/dev/tty", kind: unix.S_IFCHR, major: 5, mode: 0o666, pointer: "default", byDefault: true},
		"dev/zero": {path: "/dev//zero", kind: unix.S_IFCHR, major: 1, minor: 5, mode: 0o640, pointer: "linux.devices[1]"},
		"dev/fuse": {path: "/dev/fuse", kind: unix.S_IFCHR, major: 10, minor: 229, mode: 0o640, uid: 3, gid: 4, pointer: "linux.devices[0]"},
		"dev/disk": {path: "/dev/disk", kind: unix.S_IFBLK, major: 8, mode: 0o666, pointer: "linux.devices[2]"},
		"dev/pipe": {path: "/dev/pipe", kind: unix.S_IFIFO, mode: 0o666, pointer: "linux.devices[3]"},
	} {
		if got[path] != want {
			t.Errorf("%s: got %+v, want %+v", path, got[path], want)
		}
	}
}

func TestDefaultDevices(t *testing.T) {
	want := "/dev/null /dev/zero /dev/full /dev/tty /dev/random /dev/urandom"
	var paths []string
	for _, d := range defaultDevices() {
		paths = append(paths, d.path)
	}
	if got := strings.Join(paths, " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestTargetsStayInRoot makes plans for destinations that try to get out, and
// holds every path below the root against it.
func TestTargetsStayInRoot(t *testing.T) {
	for _, destination := range []string{"/../../etc", "../x", "/a/../../b", "/", "/dev/../../null", "a//b/./c"} {
		b := plan.NewBuilder(3)
		facts := &host.Facts{Rootfs: host.Source{Path: "/rootfs", Kind: host.Directory}}
		config := Config{Spec: &specs.Spec{Root: &specs.Root{Path: "/rootfs"}, Mounts: []specs.Mount{
			{Destination: destination, Type: "tmpfs", Source: "tmpfs"}}}, Facts: facts, Absolute: func(p string) string { return p }}
		b.Do(plan.Prctl{Option: unix.PR_SET_DUMPABLE})
		config.Mounts = read(t, config.Spec)
		tree, mounts, err := Sources(b, config)
		if err == nil {
			err = tree.Mounts(mounts)
		}
		if err != nil {
			t.Fatalf("%s: %v", destination, err)
		}
		b.Do(plan.ExitGroup{})
		p, err := b.Build()
		if err != nil {
			t.Fatalf("%s: %v", destination, err)
		}
		for i := range p.Len() {
			if strings.Contains(p.Text(i), "..") {
				t.Errorf("%s: step %d is %s", destination, i+1, p.Text(i))
			}
		}
	}
}

func read(t testing.TB, s *specs.Spec) []Mount {
	t.Helper()
	mounts, err := ReadMounts(s.Mounts)
	if err != nil {
		t.Fatal(err)
	}
	return mounts
}
