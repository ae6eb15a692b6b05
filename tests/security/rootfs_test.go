package security

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestRemount changes a mount that an earlier entry made.
func TestRemount(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		dir, _ := sources(t)
		b := newBundle(t, c, "report")
		b.spec.Mounts = append(b.spec.Mounts,
			specs.Mount{Destination: "/m", Source: dir, Options: []string{"bind"}},
			specs.Mount{Destination: "/m", Options: []string{"remount", "bind", "ro", "noexec"}},
			specs.Mount{Destination: "/n", Type: "tmpfs", Source: "tmpfs", Options: []string{"size=1m"}},
			specs.Mount{Destination: "/n", Type: "tmpfs", Options: []string{"remount", "size=2m", "nosuid"}})
		r := b.run()
		rep := r.report(t)
		for at, row := range map[string]flagRow{"/m": {"", "ro noexec", ""}, "/n": {"", "nosuid super:size=2048k", ""}} {
			if m, ok := rep.mountAt(at); ok {
				m.check(t, at, row)
			} else {
				t.Errorf("%s is not there: %s", at, r.stderr)
			}
		}
	})
}

// TestOverlay mounts an overlay, in a user namespace too, with more layers than
// one value of fsconfig(2) takes.
func TestOverlay(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		b := newBundle(t, c, "report", "cat /o/l3", "cat /o/l0", "create /o/new")
		uid, gid := c.owner()
		var lower []string
		for _, name := range []string{"l0", "l1", "l2", "l3", "l4", "l5", "l6", "l7"} {
			dir := filepath.Join(b.dir, strings.Repeat("x", 30)+name)
			must(t, os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644))
			lower = append(lower, dir)
		}
		for _, dir := range []string{"upper", "work"} {
			must(t, os.Mkdir(filepath.Join(b.dir, dir), 0o755), os.Chown(filepath.Join(b.dir, dir), uid, gid))
		}
		b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/o", Type: "overlay", Source: "overlay", Options: []string{
			"lowerdir=" + strings.Join(lower, ":"), "upperdir=" + filepath.Join(b.dir, "upper"), "workdir=" + filepath.Join(b.dir, "work"), "userxattr"}})
		r := b.run()
		rep := r.report(t)
		if rep.Tries["cat /o/l3"] != "l3" || rep.Tries["cat /o/l0"] != "l0" || rep.Tries["create /o/new"] != "ok" {
			t.Errorf("%v %s", rep.Tries, r.stderr)
		}
	})
}

// TestNoPivot: without pivot_root the container still sees only its own.
func TestNoPivot(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		b := newBundle(t, c, "report", "list /")
		r := b.run("--no-pivot")
		rep := r.report(t)
		if !rep.Proc || strings.Contains(rep.Tries["list /"], "etc") {
			t.Errorf("%v %s", rep, r.stderr)
		}
	})
}

// TestMountOnRoot: a mount on / becomes the root, and later ones are in it.
func TestMountOnRoot(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		b := newBundle(t, c, "report", "list /", "create /x")
		dir := filepath.Join(b.dir, "other")
		uid, gid := c.owner()
		must(t, os.Mkdir(dir, 0o755), os.Chown(dir, uid, gid), os.Link(w.inside, filepath.Join(dir, "inside")))
		b.spec.Root.Readonly = true
		b.spec.Mounts = append([]specs.Mount{{Destination: "/", Source: dir, Options: []string{"bind"}}}, b.spec.Mounts...)
		r := b.run()
		rep := r.report(t)
		if rep.Tries["list /"] != "dev inside proc sys" || rep.Tries["create /x"] != "EROFS" || !rep.Proc || !rep.Null {
			t.Errorf("%v %s", rep.Tries, r.stderr)
		}
	})
}

// TestUnmappedTerminalGroup: gid=5 is dropped where there is only one id.
func TestUnmappedTerminalGroup(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		b := newBundle(t, c, "report")
		for i := range b.spec.Mounts {
			if m := &b.spec.Mounts[i]; m.Type == "devpts" {
				m.Options = append(m.Options, "gid=5")
			}
		}
		if c.namespace {
			uid, gid := c.owner()
			b.spec.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: uint32(uid), Size: 1}}
			b.spec.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: uint32(gid), Size: 1}}
		}
		r := b.run()
		m, ok := r.report(t).mountAt("/dev/pts")
		if !ok || m.holds("super:gid=5") == c.namespace {
			t.Errorf("%v %s", m, r.stderr)
		}
	})
}

// TestSlaveReceives: with rslave a mount that the host makes in the rootfs
// while the container runs appears inside, and with rprivate it does not.
func TestSlaveReceives(t *testing.T) {
	need(t)
	share := w.path("shared")
	must(t, os.Mkdir(share, 0o755), unix.Mount("tmpfs", share, "tmpfs", 0, "mode=755"), unix.Mount("", share, "", unix.MS_SHARED, ""))
	defer unix.Unmount(share, unix.MNT_DETACH)
	forAll(t, func(t *testing.T, c caller) {
		for propagation, want := range map[string]string{"rslave": "late", "slave": "late", "rshared": "late", "rprivate": "", "": ""} {
			b := newBundle(t, c, "wait")
			uid, gid := c.owner()
			root := filepath.Join(share, b.id())
			text, err := os.ReadFile(w.inside)
			must(t, err, os.MkdirAll(root+"/hot", 0o755), os.WriteFile(root+"/inside", text, 0o755), os.Chown(root, uid, gid))
			b.spec.Root.Path = root
			b.spec.Linux.RootfsPropagation = propagation
			r := b.start()
			must(t, unix.Mount("tmpfs", root+"/hot", "tmpfs", 0, "mode=755"), os.WriteFile(root+"/hot/late", nil, 0o644))
			time.Sleep(10 * time.Millisecond)
			if got := r.exec(nil, "report", "list /hot").report(t).Tries["list /hot"]; got != want {
				t.Errorf("%q: /hot shows %q, want %q", propagation, got, want)
			}
			must(t, unix.Unmount(root+"/hot", unix.MNT_DETACH))
		}
	})
}

// TestIDMap: a bind mount whose files belong to others inside.
func TestIDMap(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		dir, file := sources(t)
		must(t, os.Chown(file, 1000, 1001))
		m := []specs.LinuxIDMapping{{ContainerID: 1000, HostID: 7, Size: 10}}
		if c.namespace {
			m[0].HostID = mappedID + 7
		}
		b := newBundle(t, c, "report", "stat /m/file", "stat /n/file")
		b.spec.Mounts = append(b.spec.Mounts,
			specs.Mount{Destination: "/m", Source: dir, Options: []string{"bind", "idmap"}, UIDMappings: m, GIDMappings: m},
			specs.Mount{Destination: "/n", Source: dir, Options: []string{"bind", "ridmap=uids=1000-7-10;gids=1000-7-10"}})
		if c.namespace {
			b.spec.Mounts[len(b.spec.Mounts)-1].Options = []string{"bind", "ridmap=uids=@1000-7-10;gids=@1000-7-10"}
		}
		r := b.run("--debug")
		if c.user {
			if r.status == 0 || !strings.Contains(r.stderr, "map its ids") || !strings.Contains(r.stderr, "hint:") {
				t.Errorf("status %d: %s", r.status, r.stderr)
			}
			return
		}
		rep := r.report(t)
		for k, got := range rep.Tries {
			if got != "100644 7:8" {
				t.Errorf("%s: %s %s", k, got, r.stderr)
			}
		}
	})
}
