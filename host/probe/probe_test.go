package probe

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/compile"
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

// request is a config whose facts are measured as for a run.
type request struct {
	spec   *specs.Spec
	bundle string
	rootfs string
	cgroup bool
}

func measure(tb testing.TB, r request) host.Facts {
	tb.Helper()
	p, err := New([3]int{0, 1, 2})
	if err != nil {
		tb.Fatal(err)
	}
	s := *r.spec
	s.Root = &specs.Root{Path: r.rootfs}
	w := compile.Wishes{ID: "x", BundleDir: r.bundle, StateDir: "/nonexistent"}
	if !r.cgroup {
		w.Manager = cgroupv2.None
	}
	first := compile.Needs(&s, p.Facts, w)
	if err := p.Measure(tb.Context(), &first); err != nil {
		tb.Fatal(err)
	}
	w.Manager = cgroupv2.None
	b, err := compile.Begin(&s, p.Facts, w)
	if err != nil {
		tb.Fatal(err)
	}
	rest, err := b.Needs()
	if err != nil {
		tb.Fatal(err)
	}
	if err := p.Measure(tb.Context(), &rest); err != nil {
		tb.Fatal(err)
	}
	return *p.Facts
}

// answers are the facts that these needs give.
func answers(t *testing.T, n host.Needs) *host.Facts {
	t.Helper()
	p, err := New([3]int{0, 1, 2})
	if err == nil {
		err = p.Measure(t.Context(), &n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p.Facts
}

func BenchmarkMeasure(b *testing.B) {
	root := makeRootfs(b)
	r := request{spec: rootlessSpec(b), bundle: filepath.Dir(root), rootfs: root}
	b.ReportAllocs()
	for b.Loop() {
		measure(b, r)
	}
}

func TestMeasureRootless(t *testing.T) {
	root := makeRootfs(t)
	f := measure(t, request{spec: rootlessSpec(t), bundle: filepath.Dir(root), rootfs: root, cgroup: true})
	if _, err := os.Stat("/proc/1/stat"); f.Process.ProcHides != (err != nil) {
		t.Errorf("/proc hides processes: %t, and a look says %v", f.Process.ProcHides, err)
	}
	if f.Process.UID != os.Geteuid() || f.Process.GID != os.Getegid() {
		t.Errorf("ids are %d:%d", f.Process.UID, f.Process.GID)
	}
	if !f.Kernel.UserNamespaces || f.Kernel.LastCapability < 40 {
		t.Errorf("kernel: %+v", f.Kernel)
	}
	if f.Rootfs.Kind != host.Directory || f.Rootfs.Path != root {
		t.Errorf("rootfs: %+v", f.Rootfs)
	}
	if null := f.Sources["/dev/null"]; null.Kind != host.Character || null.Rdev != unix.Mkdev(1, 3) {
		t.Errorf("/dev/null: %+v", null)
	}
	if got := f.Targets["/proc"]; got != (host.Target{Resolved: "proc", Kind: host.Directory, Mode: 0o755}) {
		t.Errorf("/proc: %+v", got)
	}
	known := 0
	for _, target := range f.Targets {
		if target.Unknown == "" {
			known++
		}
	}
	if known != 3 || f.Targets["/dev/pts"].Unknown != host.Covered {
		t.Errorf("targets below earlier mounts were looked at: %v", f.Targets)
	}
	core := host.Missing
	if _, err := os.Stat("/proc/kcore"); err == nil {
		core = host.Regular
	}
	if got, looked := f.Proc["/proc/kcore"]; got != core || !looked {
		t.Errorf("/proc/kcore: %q, %t", got, looked)
	}
	if f.Process.Rlimits["RLIMIT_NOFILE"] == 0 {
		t.Errorf("rlimits: %v", f.Process.Rlimits)
	}
	if f.Cgroup == nil || f.Cgroup.Path == "" {
		t.Errorf("cgroup: %+v", f.Cgroup)
	}
}

// TestDeterministic: the same host gives the same bytes, and they come back.
func TestDeterministic(t *testing.T) {
	root := makeRootfs(t)
	r := request{spec: rootlessSpec(t), bundle: filepath.Dir(root), rootfs: root}
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
	f := measure(t, request{spec: &specs.Spec{}, rootfs: "/nonexistent"})
	if f.Rootfs.Error != "ENOENT" {
		t.Errorf("rootfs: %+v", f.Rootfs)
	}
	if f.Targets != nil || f.Namespaces != nil || f.Process.Rlimits != nil || f.Cgroup != nil || f.Terminal.Size != nil {
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
	r := request{spec: spec, bundle: filepath.Dir(root), rootfs: root, cgroup: true}
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
