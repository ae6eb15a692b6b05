package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/homerun-oci/homerun/runflags"
	"github.com/homerun-oci/homerun/spec"
)

// TestHomes: a home is a directory that is there and the caller's; / is none, and the same
// one is not listed twice.
func TestHomes(t *testing.T) {
	dir, uid := t.TempDir(), uint32(os.Geteuid())
	for _, c := range []struct {
		home string
		uid  uint32
		want bool
	}{
		{dir, uid, true}, {dir + "/", uid, true}, {dir, uid + 1, false}, {dir + "/none", uid, false}, {"/", uid, false}, {"/etc/passwd", uid, false}, {".", uid, false}, {"", uid, false},
	} {
		t.Setenv("HOME", c.home)
		p := spec.Person{UID: c.uid}
		(&personFlags{}).homes(&p)
		listed := slices.ContainsFunc(p.Homes, func(home string) bool { return home == filepath.Clean(c.home) })
		if listed != c.want || (p.Home == dir) != c.want {
			t.Errorf("HOME=%s of %d: %q, %q", c.home, c.uid, p.Home, p.Homes)
		}
	}
}

// TestPersonRefuses what would be no confinement, or nobody's.
func TestPersonRefuses(t *testing.T) {
	t.Setenv("HOME", "/nonexistent")
	for want, c := range map[string]struct {
		flags personFlags
		here  string
	}{
		"--home rx: want ro or rw": {personFlags{home: "rx"}, ""},
		"--here in /: that is the whole file system; change into the directory that you mean, or use --writable": {personFlags{}, "/"},
	} {
		if c.here != "" {
			t.Chdir(c.here)
		}
		if _, err := c.flags.person("/", c.here); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestKeepID: it is not had together with what is somebody else.
func TestKeepID(t *testing.T) {
	h := handFlags{values: runflags.Values{"userns": {"keep-id"}}}
	if p := (personFlags{}); h.person(&p, "/") != nil || !p.keepID || p.asRoot {
		t.Errorf("%+v", p)
	}
	for name, p := range map[string]personFlags{"--overlay": {overlay: inMemory}, "--as-root": {asRoot: true}} {
		if h.person(&p, "/") == nil {
			t.Errorf("%s with keep-id is taken", name)
		}
	}
}
