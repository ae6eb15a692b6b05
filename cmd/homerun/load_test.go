package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/spec"
)

// TestCollectLate: collections are put off for a large config.json, and for no other,
// which would pay for nothing.
func TestCollectLate(t *testing.T) {
	for size, want := range map[int]int{0: 100, largeConfig: -1} {
		c := spec.Template(true)
		c.Process.Env = append(c.Process.Env, "LONG="+strings.Repeat("x", size))
		text, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644); err != nil {
			t.Fatal(err)
		}
		debug.SetGCPercent(100)
		if _, err := new(options).loadBundle(dir, ""); err != nil {
			t.Fatal(err)
		}
		got := debug.SetGCPercent(100)
		debug.SetMemoryLimit(math.MaxInt64)
		if got != want {
			t.Errorf("%d bytes more: collections at %d %%, want %d", size, got, want)
		}
	}
}
