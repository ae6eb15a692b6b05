package probe

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
)

// rootlessSpec is what `crun spec --rootless` writes.
func rootlessSpec(tb testing.TB) *specs.Spec {
	tb.Helper()
	text, err := os.ReadFile("testdata/rootless.json")
	if err != nil {
		tb.Fatal(err)
	}
	var spec specs.Spec
	if err := json.Unmarshal(text, &spec); err != nil {
		tb.Fatal(err)
	}
	return &spec
}

// makeRootfs makes a root directory with the usual mount points.
func makeRootfs(tb testing.TB) string {
	tb.Helper()
	root := filepath.Join(tb.TempDir(), "rootfs")
	for _, dir := range []string{"proc", "dev", "sys", "etc", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	return root
}

func measure(t *testing.T, r Request) host.Facts {
	t.Helper()
	f, err := Measure(r)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func BenchmarkMeasure(b *testing.B) {
	root := makeRootfs(b)
	r := Request{Spec: rootlessSpec(b), BundleDir: filepath.Dir(root), Rootfs: root}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Measure(r); err != nil {
			b.Fatal(err)
		}
	}
}

func TestMeasureRootless(t *testing.T) {
	root := makeRootfs(t)
	f := measure(t, Request{Spec: rootlessSpec(t), BundleDir: filepath.Dir(root), Rootfs: root, Cgroup: true})
	if f.Process.UID != os.Geteuid() || f.Process.GID != os.Getegid() {
		t.Errorf("ids are %d:%d", f.Process.UID, f.Process.GID)
	}
	if !f.Kernel.MountSetattr || f.Kernel.LastCapability < 40 || f.Kernel.Release == "" {
		t.Errorf("kernel: %+v", f.Kernel)
	}
	if f.Rootfs.Kind != host.Directory || f.Rootfs.Path != root {
		t.Errorf("rootfs: %+v", f.Rootfs)
	}
	if null := f.Sources["/dev/null"]; null.Kind != host.Character || null.Rdev != unix.Mkdev(1, 3) || null.Mode != 0o666 {
		t.Errorf("/dev/null: %+v", null)
	}
	if got := f.Targets["/proc"]; got != (host.Target{Resolved: "proc", Kind: host.Directory, Mode: 0o755}) {
		t.Errorf("/proc: %+v", got)
	}
	if len(f.Targets) != 3 {
		t.Errorf("targets below earlier mounts were looked at: %v", f.Targets)
	}
	if f.Proc["/proc/sys"] != host.Directory {
		t.Errorf("/proc/sys: %q", f.Proc["/proc/sys"])
	}
	if l := f.Process.Rlimits["RLIMIT_NOFILE"]; l.Hard == 0 {
		t.Errorf("rlimits: %v", f.Process.Rlimits)
	}
	if f.Cgroup.Path == "" {
		t.Errorf("cgroup: %+v", f.Cgroup)
	}
}

// TestDeterministic: the same host gives the same bytes, and they come back.
func TestDeterministic(t *testing.T) {
	root := makeRootfs(t)
	r := Request{Spec: rootlessSpec(t), BundleDir: filepath.Dir(root), Rootfs: root}
	first, err := json.Marshal(measure(t, r))
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		again, _ := json.Marshal(measure(t, r))
		if !bytes.Equal(first, again) {
			t.Fatalf("facts changed:\n%s\n%s", first, again)
		}
	}
	var back host.Facts
	if err := json.Unmarshal(first, &back); err != nil {
		t.Fatal(err)
	}
	if again, _ := json.Marshal(back); !bytes.Equal(first, again) {
		t.Errorf("facts lost something in JSON:\n%s\n%s", first, again)
	}
}

// TestMeasureLittle: an empty config asks for next to nothing.
func TestMeasureLittle(t *testing.T) {
	f := measure(t, Request{Spec: &specs.Spec{}, Rootfs: "/nonexistent"})
	if f.Rootfs.Error != "ENOENT" {
		t.Errorf("rootfs: %+v", f.Rootfs)
	}
	if f.Targets != nil || f.Proc != nil || f.Namespaces != nil || f.Process.Rlimits != nil {
		t.Errorf("unasked facts: %+v", f)
	}
}

// TestNoDescriptorLeak counts the open files before and after.
func TestNoDescriptorLeak(t *testing.T) {
	root := makeRootfs(t)
	if err := os.Symlink("/etc", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	spec := rootlessSpec(t)
	spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/link/x", Type: "bind", Source: "/etc"})
	r := Request{Spec: spec, BundleDir: filepath.Dir(root), Rootfs: root, Cgroup: true}
	measure(t, r)
	before := openFiles(t)
	measure(t, r)
	if after := openFiles(t); after != before {
		t.Errorf("%d files were open before, %d after", before, after)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
