package security

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// mountLine is a mount as mountinfo shows it: proc(5).
type mountLine struct {
	target, kind, source string
	options, tags, super []string
}

// mountAt finds the topmost mount at a path.
func (r report) mountAt(target string) (mountLine, bool) {
	for _, line := range slices.Backward(r.Mounts) {
		before, after, _ := strings.Cut(line, " - ")
		f, g := strings.Fields(before), strings.Fields(after)
		if len(f) >= 6 && len(g) >= 3 && f[4] == target {
			return mountLine{f[4], g[0], g[1], strings.Split(f[5], ","), f[6:], strings.Split(g[2], ",")}, true
		}
	}
	return mountLine{}, false
}

// flagRow is a list of options with what mountinfo must then show, and must
// not: words of the mount, or with super: of the file system.
type flagRow struct {
	options   string
	has, lack string
}

// attributeRows are the options that every kind of mount takes.
func attributeRows() []flagRow {
	return []flagRow{
		{"", "rw relatime", "ro"}, {"defaults", "rw relatime", "ro"},
		{"ro", "ro", "rw"}, {"rw", "rw", "ro"}, {"ro,rw", "rw", "ro"}, {"rw,ro", "ro", "rw"},
		{"nosuid", "nosuid", ""}, {"suid", "", "nosuid"}, {"nosuid,suid", "", "nosuid"},
		{"nodev", "nodev", ""}, {"nodev,dev", "", "nodev"},
		{"noexec", "noexec", ""}, {"noexec,exec", "", "noexec"},
		{"nosymfollow", "nosymfollow", ""}, {"nosymfollow,symfollow", "", "nosymfollow"},
		{"nodiratime", "nodiratime", ""}, {"nodiratime,diratime", "", "nodiratime"},
		{"relatime", "relatime", "noatime"}, {"atime", "relatime", "noatime"}, {"nostrictatime", "relatime", "noatime"},
		{"ro,nosuid,nodev,noexec", "ro nosuid nodev noexec", "rw"},
		{"rro", "ro", "rw"}, {"rro,rrw", "rw", "ro"}, {"rnosuid", "nosuid", ""}, {"rnodev,rnoexec", "nodev noexec", ""},
		{"rnosymfollow", "nosymfollow", ""}, {"rnodiratime", "nodiratime", ""},
		{"async", "rw", ""}, {"nolazytime", "rw", ""}, {"nomand", "rw", ""}, {"iversion", "rw", ""}, {"noiversion", "rw", ""},
		{"silent", "rw", ""}, {"loud", "rw", ""}, {"rasync", "rw", ""}, {"rnomand", "rw", ""},
	}
}

// accessTimeRows change access times, which are locked on a mount of the host
// in a user namespace.
func accessTimeRows() []flagRow {
	return []flagRow{
		{"noatime", "noatime", "relatime"}, {"strictatime", "", "relatime noatime"}, {"norelatime", "", "relatime noatime"},
		{"noatime,atime", "relatime", "noatime"}, {"rnoatime", "noatime", "relatime"}, {"rstrictatime", "", "relatime noatime"},
	}
}

// superblockRows are flags of a file system.
func superblockRows() []flagRow {
	return []flagRow{
		{"sync", "super:sync", ""}, {"dirsync", "super:dirsync", ""}, {"lazytime", "super:lazytime", ""},
		{"size=4096k", "super:size=4096k", ""}, {"mode=700,nr_inodes=100", "super:mode=700 super:nr_inodes=100", ""},
	}
}

// propagationRows are for binds and new file systems alike.
func propagationRows() []flagRow {
	return []flagRow{
		{"private", "", "tag:shared tag:master tag:unbindable"}, {"rprivate", "", "tag:shared tag:master"},
		{"shared", "tag:shared", ""}, {"rshared", "tag:shared", ""},
		{"unbindable", "tag:unbindable", ""}, {"runbindable", "tag:unbindable", ""},
		{"slave", "", "tag:shared"}, {"rslave", "", "tag:shared"},
		{"shared,private", "", "tag:shared"},
	}
}

// holds reports whether a mount shows a word.
func (m mountLine) holds(word string) bool {
	kind, name, ok := strings.Cut(word, ":")
	switch {
	case ok && kind == "super":
		return slices.Contains(m.super, name)
	case ok && kind == "tag":
		return slices.ContainsFunc(m.tags, func(s string) bool { return strings.HasPrefix(s, name) })
	}
	return slices.Contains(m.options, word)
}

func (m mountLine) check(t *testing.T, what string, row flagRow) {
	t.Helper()
	for _, word := range strings.Fields(row.has) {
		if !m.holds(word) {
			t.Errorf("%s with %q does not show %s: %v", what, row.options, word, m)
		}
	}
	for _, word := range strings.Fields(row.lack) {
		if m.holds(word) {
			t.Errorf("%s with %q shows %s: %v", what, row.options, word, m)
		}
	}
}

// audit mounts one thing with each row's options and reads them back.
func audit(t *testing.T, c caller, what string, base specs.Mount, rows []flagRow) {
	t.Helper()
	b := newBundle(t, c, "report")
	for i, row := range rows {
		m := base
		m.Destination = "/m/" + strconv.Itoa(i)
		m.Options = slices.Clone(base.Options)
		if row.options != "" {
			m.Options = append(m.Options, strings.Split(row.options, ",")...)
		}
		b.spec.Mounts = append(b.spec.Mounts, m)
	}
	r := b.run()
	if r.status != 0 {
		t.Fatalf("%s: status %d: %s", what, r.status, r.stderr)
	}
	rep := r.report(t)
	for i, row := range rows {
		m, ok := rep.mountAt("/m/" + strconv.Itoa(i))
		if !ok {
			t.Errorf("%s with %q is not there", what, row.options)
			continue
		}
		m.check(t, what, row)
	}
}

// TestMountFlags sets every option on every kind of mount, and reads it back
// from mountinfo inside. An option that gets lost on one kind was crun#2179 and
// crun#2182.
func TestMountFlags(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		rows := attributeRows()
		made := slices.Concat(rows, accessTimeRows())
		audit(t, c, "tmpfs", specs.Mount{Type: "tmpfs", Source: "tmpfs"}, slices.Concat(made, superblockRows(), propagationRows()))
		audit(t, c, "mqueue", specs.Mount{Type: "mqueue", Source: "mqueue"}, made)
		audit(t, c, "devpts", specs.Mount{Type: "devpts", Source: "devpts", Options: []string{"newinstance"}}, made)
		if c.namespace {
			// The kernel wants the access times of the outer procfs and sysfs,
			// and keeps those of a bind's source.
			made = slices.DeleteFunc(rows, func(r flagRow) bool { return strings.Contains(r.options, "nodiratime") })
		}
		audit(t, c, "proc", specs.Mount{Type: "proc", Source: "proc"}, made)
		audit(t, c, "sysfs", specs.Mount{Type: "sysfs", Source: "sysfs"}, made)
		dir, file := sources(t)
		bound := slices.Concat(made, propagationRows())
		audit(t, c, "a directory", specs.Mount{Source: dir, Options: []string{"rbind"}}, bound)
		audit(t, c, "a file", specs.Mount{Source: file, Type: "bind"}, bound)
	})
}

// sources makes a directory and a file of the host that everybody may read.
func sources(t *testing.T) (dir, file string) {
	dir = w.path("source" + strconv.FormatInt(w.ids.Add(1), 10))
	file = filepath.Join(dir, "file")
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := firstError(os.Mkdir(dir, 0o755), os.WriteFile(file, []byte("text"), 0o644)); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

// TestRecursiveFlags: options with an r in front reach the mounts below.
func TestRecursiveFlags(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		for _, row := range []flagRow{{"rro", "ro", "rw"}, {"rnosuid,rnodev", "nosuid nodev", ""}, {"rnoexec", "noexec", ""}} {
			b := newBundle(t, c, "report")
			b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/m", Source: "/dev",
				Options: append([]string{"rbind"}, strings.Split(row.options, ",")...)})
			r := b.run()
			rep := r.report(t)
			for _, at := range []string{"/m", "/m/pts", "/m/shm"} {
				if m, ok := rep.mountAt(at); ok {
					m.check(t, at, row)
				} else if at != "/m/shm" {
					t.Errorf("%s is not there: %s", at, r.stderr)
				}
			}
		}
	})
}

// TestLockedFlags: in a user namespace a mount keeps the flags that the host
// gave it, and an option that would clear one is an error that names it.
func TestLockedFlags(t *testing.T) {
	need(t)
	dir := w.path("locked")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH); os.Remove(dir) })
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, "mode=755"); err != nil {
		t.Fatal(err)
	}
	forAll(t, func(t *testing.T, c caller) {
		for _, row := range []struct{ options, locked string }{
			{"", ""}, {"ro", ""}, {"nosuid", ""}, {"rw", "ro"}, {"exec", "noexec"}, {"suid,dev", "nosuid, nodev"},
			{"noatime", "access times"}, {"nodiratime", "access times"},
		} {
			b := newBundle(t, c, "report")
			b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/m", Source: dir,
				Options: append([]string{"bind"}, strings.Split(row.options, ",")...)})
			r := b.run()
			if row.locked == "" || !c.namespace {
				m, ok := r.report(t).mountAt("/m")
				if !ok || row.locked == "" && (!m.holds("ro") || !m.holds("nosuid") || !m.holds("nodev") || !m.holds("noexec")) {
					t.Errorf("%q: %v", row.options, m)
				}
				continue
			}
			if r.status == 0 || !strings.Contains(r.stderr, row.locked) || !strings.Contains(r.stderr, "mounts[7]") {
				t.Errorf("%q: status %d, stderr %s", row.options, r.status, r.stderr)
			}
		}
	})
}

// TestUnknownOption: what no kind of mount knows is an error that names it.
func TestUnknownOption(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		dir, _ := sources(t)
		for _, m := range []specs.Mount{
			{Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuchoption"}},
			{Source: dir, Options: []string{"bind", "nosuchoption"}},
			{Type: "proc", Source: "proc", Options: []string{"nosuchoption=1"}},
		} {
			b := newBundle(t, c, "report")
			m.Destination = "/m"
			b.spec.Mounts = append(b.spec.Mounts, m)
			if r := b.run(); r.status == 0 || !strings.Contains(r.stderr, "nosuchoption") || !strings.Contains(r.stderr, "mounts[7].options") {
				t.Errorf("%v: status %d, stderr %s", m, r.status, r.stderr)
			}
		}
	})
}
