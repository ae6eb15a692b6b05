package compile

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/host"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestGrowth: ten times the mounts take at most twelve times the allocations and
// bytes, so nothing is done for each pair of them.
func TestGrowth(t *testing.T) {
	for name, grow := range growths() {
		small, large := compileCost(t, grow, 100), compileCost(t, grow, 1000)
		t.Logf("%s: %d allocations and %d bytes for 100, %d and %d for 1000", name, small.Mallocs, small.TotalAlloc, large.Mallocs, large.TotalAlloc)
		if large.Mallocs > 12*small.Mallocs {
			t.Errorf("%s: %d allocations for 100, %d for 1000", name, small.Mallocs, large.Mallocs)
		}
		if large.TotalAlloc > 12*small.TotalAlloc {
			t.Errorf("%s: %d bytes for 100, %d for 1000", name, small.TotalAlloc, large.TotalAlloc)
		}
	}
}

// growths are ways in which a config.json grows.
func growths() map[string]func(*specs.Spec, int) {
	return map[string]func(*specs.Spec, int){
		"binds": func(s *specs.Spec, i int) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: fmt.Sprintf("/m/%d", i), Type: "bind", Source: "/srv/data", Options: []string{"bind", "ro"}})
		},
		"binds of the rootfs": func(s *specs.Spec, i int) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: fmt.Sprintf("/m/%d", i), Type: "bind", Source: fmt.Sprintf("rootfs/n/%d", i), Options: []string{"bind"}})
		},
		"file systems": func(s *specs.Spec, i int) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: fmt.Sprintf("/m/%d", i), Type: "tmpfs", Source: "tmpfs"})
		},
		"masks": func(s *specs.Spec, i int) {
			s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, fmt.Sprintf("/m/%d", i))
		},
		"environment": func(s *specs.Spec, i int) {
			s.Process.Env = append(s.Process.Env, fmt.Sprintf("V%d=value", i))
		},
	}
}

// compileCost is what n more take than none.
func compileCost(t testing.TB, grow func(*specs.Spec, int), n int) runtime.MemStats {
	t.Helper()
	with, without := compileMemory(t, grow, n), compileMemory(t, grow, 0)
	with.Mallocs -= without.Mallocs
	with.TotalAlloc -= without.TotalAlloc
	return with
}

func compileMemory(t testing.TB, grow func(*specs.Spec, int), n int) (used runtime.MemStats) {
	t.Helper()
	b, facts := grown(t, grow, n)
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := compileAnswered(b.Config, facts, Wishes{ID: "web", BundleDir: "/bundle"}); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&used)
	used.Mallocs -= before.Mallocs
	used.TotalAlloc -= before.TotalAlloc
	return used
}

func grown(t testing.TB, grow func(*specs.Spec, int), n int) (*bundle.Bundle, *host.Facts) {
	t.Helper()
	b, err := bundle.Decode(patched(t, "testdata/base.json", ""))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		grow(b.Config, i)
	}
	facts := new(host.Facts)
	strict(t, "facts.json", patched(t, "testdata/facts.json", ""), facts)
	return b, facts
}

// BenchmarkGrowth compiles 1000 of each.
func BenchmarkGrowth(b *testing.B) {
	for name, grow := range growths() {
		b.Run(name, func(b *testing.B) {
			bundle, facts := grown(b, grow, 1000)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := compileAnswered(bundle.Config, facts, Wishes{ID: "web", BundleDir: "/bundle"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
