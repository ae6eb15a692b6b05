package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// The state root is /run's for root of the host, else in the runtime directory if
// that is the user's own, else in /tmp.
func TestDefaultRoot(t *testing.T) {
	own := t.TempDir()
	file := filepath.Join(own, "file")
	link := filepath.Join(own, "link")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink(own, link)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		uid  int
		dir  string
		want string
	}{
		{0, own, "/run/homerun"},
		{1 << 30, own, own + "/homerun"},
		{-1, own, own + "/homerun"},
		{1 << 30, "", "/tmp/homerun-1073741824"},
		{1 << 30, ".", "/tmp/homerun-1073741824"},
		{1 << 30, own + "/none", "/tmp/homerun-1073741824"},
		{1 << 30, file, "/tmp/homerun-1073741824"},
		{1 << 30, link, "/tmp/homerun-1073741824"},
	} {
		environment := func(name string) string { return map[string]string{"XDG_RUNTIME_DIR": test.dir}[name] }
		if got := defaultRoot(test.uid, environment); got != test.want {
			t.Errorf("user %d, XDG_RUNTIME_DIR %q: %s, want %s", test.uid, test.dir, got, test.want)
		}
	}
	environment := func(name string) string { return map[string]string{"XDG_RUNTIME_DIR": own}[name] }
	root := DefaultRoot(environment)
	cache := DefaultCache(root)
	if filepath.Dir(cache) != filepath.Dir(root) || cache == root || filepath.Base(root) != "homerun" {
		t.Errorf("%s, %s: the cache is no state root, and not in one", root, cache)
	}
}

// The user outside a namespace in which somebody made us root.
func TestOuterUID(t *testing.T) {
	own := t.TempDir()
	for _, test := range []struct {
		uid         int
		initial     bool
		podman, dir string
		want        int
	}{
		{1000, true, "5", own, 1000},
		{1000, false, "5", own, 1000},
		{0, true, "5", own, 0},
		{0, false, "5", own, 5},
		{0, false, "x", own, -1},
		{0, false, "", own, -1},
		{0, false, "", "", 0},
		{0, false, "", own + "/none", 0},
	} {
		environment := func(name string) string {
			return map[string]string{"XDG_RUNTIME_DIR": test.dir, "_CONTAINERS_ROOTLESS_UID": test.podman}[name]
		}
		if got := outerUID(test.uid, test.initial, environment); got != test.want {
			t.Errorf("%+v: %d", test, got)
		}
	}
}
