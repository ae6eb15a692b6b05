package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/container"
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

// TestNotOwn: where homerun keeps states and filters no program may write, nor below, nor in what they are in; beside
// it is no matter. A state root of one's own may be in the current directory, and is not seen.
func TestNotOwn(t *testing.T) {
	usual, own := container.DefaultOptions(os.Getenv), t.TempDir()
	for dir, refused := range map[string]bool{usual.Root: true, usual.Root + "/web": true, usual.Cache + "/a": true, own: true, own + "/web/b": true,
		filepath.Dir(own): false, own + "2": false, "/": false, filepath.Dir(usual.Root): true, filepath.Dir(usual.Root) + "/a": false} {
		if err := (&options{root: own}).notOwn("--here", dir, "leave it"); (err != nil) != refused {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if err := new(options).notOwn("--here", usual.Root, "leave it"); err == nil {
		t.Error("without --root the usual one is not homerun's own")
	}
	here := spec.Dir{Real: filepath.Dir(own), Name: "/here"}
	if got := (&options{root: own}).ownRoot(spec.Seen{Here: here}); !slices.Equal(got, []string{"/here/" + filepath.Base(own)}) {
		t.Errorf("covered: %q", got)
	}
	if got := (&options{root: own}).ownRoot(spec.Seen{Home: here}); !slices.Equal(got, []string{"/here/" + filepath.Base(own)}) {
		t.Errorf("covered in the home: %q", got)
	}
	for root, here := range map[string]spec.Dir{"": here, own: {Real: own + "2", Name: "/here"}} {
		if got := (&options{root: root}).ownRoot(spec.Seen{Here: here}); len(got) > 0 {
			t.Errorf("%q: covered: %q", root, got)
		}
	}
}
