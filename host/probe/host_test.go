package probe

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/tests/again"
)

// These tests hold what is measured in odd ways against the plain way.

func TestLastCapability(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := strconv.Atoi(strings.TrimSpace(string(text))); lastCapability() != want {
		t.Errorf("got %d; want %d", lastCapability(), want)
	}
}

func TestCapabilities(t *testing.T) {
	text, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "CapEff:\t")
	field, _, _ := strings.Cut(rest, "\n")
	if want, _ := strconv.ParseUint(field, 16, 64); effectiveCapabilities() != want {
		t.Errorf("got %x; want %x", effectiveCapabilities(), want)
	}
}

// TestUserNamespace: which one it is, and nothing where that cannot be told.
func TestUserNamespace(t *testing.T) {
	const where = "HOMERUN_TEST_NESTED"
	if os.Getenv(where) == "" {
		again.WithMounts(t, where+"=1")
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/user", &st); err != nil {
		t.Fatal(err)
	}
	p, err := New([3]int{0, 1, 2})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Facts.UserNamespace; got.Initial != (st.Ino == initialUserNamespace) || got.Initial && os.Getenv(where) != "" {
		t.Errorf("the user namespace is %d: %+v", st.Ino, got)
	}
	if os.Getenv(where) == "" {
		return
	}
	again.Cover(t, "/proc/self/ns/user")
	if _, err := New([3]int{0, 1, 2}); !errors.Is(err, unix.EINVAL) || !strings.Contains(fault.Hint(err), "findmnt") {
		t.Errorf("covered: %v, hint %q", err, fault.Hint(err))
	}
}

func TestNamespace(t *testing.T) {
	if got := Namespace("/proc/self/ns/net"); got != (host.Namespace{Type: "network", Same: true}) {
		t.Errorf("own: %+v", got)
	}
	if got := Namespace("/nonexistent"); got.Error != "ENOENT" {
		t.Errorf("missing: %+v", got)
	}
	dir := makeTree(t, "f", "p|")
	for _, path := range []string{"/dev/null", dir, dir + "/f", dir + "/p"} {
		if got := Namespace(path); got.Error != "EINVAL" {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

func TestSources(t *testing.T) {
	dir := makeTree(t, "file", "dir/", "p|", "link => file", "s=")
	var n host.Needs
	for _, name := range []string{"file", "dir", "p", "s", "missing", "none"} {
		n.Sources = append(n.Sources, host.Path{Path: dir + "/" + name})
	}
	n.Sources = append(n.Sources, host.Path{Path: dir + "/link", Nofollow: true})
	f := answers(t, n)
	for name, kind := range map[string]host.Kind{
		"file": host.Regular, "dir": host.Directory, "p": host.FIFO, "s": host.Socket, "link": host.Symlink,
	} {
		if got := f.Sources[dir+"/"+name]; got.Kind != kind || got.Error != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := f.Sources[dir+"/link"]; got.Link != "file" {
		t.Errorf("link: %+v", got)
	}
	for _, name := range []string{"missing", "none"} {
		if got := f.Sources[dir+"/"+name]; got.Error != "ENOENT" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if len(f.Sources) != len(n.Sources) {
		t.Errorf("something else was looked at: %v", f.Sources)
	}
}

// TestSourceFlags holds the flags against mountinfo's for /proc.
func TestSourceFlags(t *testing.T) {
	var st unix.Statfs_t
	if err := unix.Statfs("/proc", &st); err != nil {
		t.Fatal(err)
	}
	p := Prober{mountFlags: map[uint64][]string{}}
	want := flagNames(int64(st.Flags))
	for range 2 { // the second answer is from the cache
		if got := p.look("/proc", false); !reflect.DeepEqual(got.Flags, want) {
			t.Errorf("got %q; want %q", got.Flags, want)
		}
	}
}

func TestRootfsIsNoDirectory(t *testing.T) {
	dir := makeTree(t, "file")
	f := measure(t, request{spec: rootlessSpec(t), bundle: dir, rootfs: filepath.Join(dir, "file")})
	if f.Rootfs.Kind != host.Regular || f.Targets != nil {
		t.Errorf("got %+v, %v", f.Rootfs, f.Targets)
	}
}

// TestReadLarge: a file larger than the buffer, and one of an exact fit.
func TestReadLarge(t *testing.T) {
	p := Prober{Facts: &host.Facts{}}
	for _, size := range []int{0, 1, 2047, 2048, 4095, 4096, 4097, 100000} {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := p.readFile(path); err != nil || len(got) != size {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
	}
}

func TestSubordinate(t *testing.T) {
	f := measure(t, request{spec: rootlessSpec(t), rootfs: "/"})
	if f.Subordinate.NewUIDMap == "" {
		t.Fatal("newuidmap is not installed: install package uidmap")
	}
	if os.Geteuid() != 0 && len(f.Subordinate.UIDs) == 0 {
		t.Fatalf("uid %d has no line in /etc/subuid: run this test as a user who has", os.Geteuid())
	}
	single := rootlessSpec(t)
	single.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: uint32(os.Geteuid()), Size: 1}}
	single.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: uint32(os.Getegid()), Size: 1}}
	if f := measure(t, request{spec: single, rootfs: "/"}); f.Subordinate != nil {
		t.Errorf("subordinate ids were looked up for a single id: %+v", f.Subordinate)
	}
}

func TestExplain(t *testing.T) {
	var k host.Kernel
	ExplainUserNamespaces(&k)
	if k.MaxUserNamespaces == 0 && k.UserNamespaces {
		t.Errorf("got %+v", k)
	}
}
