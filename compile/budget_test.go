//go:build !race

package compile

import (
	"os"
	"runtime"
	"testing"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/tests/budget"
)

// TestBytes holds what compiling podman's config allocates: it is garbage that the
// runtime, which lives for milliseconds, pays for in page faults.
func TestBytes(t *testing.T) {
	text, err := os.ReadFile("../bundle/testdata/podman.json")
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	measured := new(host.Facts)
	strict(t, "facts.json", patched(t, "testdata/facts.json", ""), measured)
	w := wishes()
	first := Needs(b.Config, measured, w)
	facts := answered(&first, measured)
	const times = 20
	var sum uint64
	for range times {
		var before, between, after runtime.MemStats
		runtime.ReadMemStats(&before)
		begun, err := Begin(b.Config, facts, w)
		if err != nil {
			t.Fatal(err)
		}
		rest, err := begun.Needs()
		if err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&between)
		begun.c.facts = answered(&rest, facts)
		sum += between.TotalAlloc - before.TotalAlloc
		runtime.ReadMemStats(&before)
		if _, err := begun.Finish(w.Seccomp); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		sum += after.TotalAlloc - before.TotalAlloc
	}
	budget.Hold(t, "compile", "bytes", int(sum/times))
}
