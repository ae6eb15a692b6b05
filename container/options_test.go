package container

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNew: bad options are refused when they are given, not when they are used.
func TestNew(t *testing.T) {
	for name, test := range map[string]struct {
		options Options
		want    string
	}{
		"all":      {Options{Root: "/r", Manager: "systemd", Cache: "/c", Helpers: Helpers{"/h", "/n", "/s", "/l"}}, ""},
		"root":     {Options{Root: "/r"}, ""},
		"no root":  {Options{}, `the path of the state root is not absolute: ""`},
		"relative": {Options{Root: "r"}, `the path of the state root is not absolute: "r"`},
		"manager":  {Options{Root: "/r", Manager: "x"}, "unknown cgroup manager x: want auto, systemd, cgroupfs or disabled"},
		"cache":    {Options{Root: "/r", Cache: "c"}, `the path of the cache is not absolute: "c"`},
		"homerun":  {Options{Root: "/r", Helpers: Helpers{Homerun: "h"}}, `the path of homerun is not absolute: "h"`},
		"log":      {Options{Root: "/r", Helpers: Helpers{Log: "l"}}, `the path of homerun-log is not absolute: "l"`},
		"net":      {Options{Root: "/r", Helpers: Helpers{Net: "./n"}}, `the path of homerun-net is not absolute: "./n"`},
		"seccomp":  {Options{Root: "/r", Helpers: Helpers{Seccomp: "s"}}, `the path of homerun-seccomp is not absolute: "s"`},
	} {
		r, err := New(test.options)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != test.want || (r == nil) != (err != nil) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// TestHelpers: a path that is given wins over what is installed, and is the only
// one that counts; else helpers are beside this program or in its libexec
// directory. What is no program is none. Tried besides: a directory, a file that
// may not be executed, a name on the PATH.
func TestHelpers(t *testing.T) {
	dir := t.TempDir()
	program, plain := filepath.Join(dir, "homerun-net"), filepath.Join(dir, "plain")
	for name, mode := range map[string]os.FileMode{program: 0o755, plain: 0o644} {
		if err := os.WriteFile(name, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	if found, places := (Helpers{Net: program}).net(); found != program || len(places) != 1 {
		t.Errorf("given: %q of %q", found, places)
	}
	for _, none := range []string{plain, dir, filepath.Join(dir, "missing")} {
		if found, places := (Helpers{Net: none}).net(); found != "" || len(places) != 1 || places[0] != none {
			t.Errorf("given %s: %q of %q", none, found, places)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	found, places := Helpers{}.net()
	if found != "" || len(places) != 2 || places[0] != filepath.Join(filepath.Dir(self), "homerun-net") ||
		!strings.HasSuffix(places[1], "/libexec/homerun/homerun-net") {
		t.Errorf("not given: %q of %q", found, places)
	}
	libexec := filepath.Dir(places[1])
	if err := os.MkdirAll(libexec, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(libexec) })
	if err := os.Symlink(program, places[1]); err != nil {
		t.Fatal(err)
	}
	if found, _ := (Helpers{}).net(); found != places[1] {
		t.Errorf("installed: %q", found)
	}
}
