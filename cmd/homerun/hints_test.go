package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/fault/faulttest"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestHints: what helps is shown. tests/mistakes_test.go makes most of these mistakes.
func TestHints(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) {
		here := place(t)
		o := &options{id: "web"}
		show := func(root string, e fault.Error, args ...string) {
			e.Errno = max(e.Errno, 1)
			f := &runFlags{rootfs: rootfsFlags{path: root, config: &specs.Spec{Process: &specs.Process{}, Mounts: []specs.Mount{{Source: "a", Destination: "/a"}}}}}
			f.rootfs.volumes = []string{"a:/a"}
			s.Error(o.inFlags(f, &e, args))
		}
		for _, place := range []string{"process.cwd", "mounts[0]"} {
			show("/", fault.Error{Place: place, Errno: unix.EROFS})
			show("root", fault.Error{Place: place, Errno: unix.EROFS})
		}
		show("root", fault.Error{Place: "mounts[0]", Errno: unix.ENOENT})
		show("alpine", fault.Error{Place: "root.path", Errno: unix.ENOENT})
		show("/nowhere", fault.Error{Place: "root.path", Errno: unix.ENOENT})
		show("./nowhere", fault.Error{Place: "root.path", Errno: unix.ENOENT})
		show("/", fault.Error{What: `exec "x"`, Place: "process.args", Errno: unix.ENOENT}, "x")
		s.Error(o.inFlags(&runFlags{rootfs: rootfsFlags{path: "/", config: &specs.Spec{Process: &specs.Process{User: specs.User{UID: 1}}}}},
			&fault.Error{Place: "linux.sysctl.kernel.msgmax", Errno: unix.EACCES}, nil))
		show("x.tar", fault.Error{Place: "root.path", Errno: unix.ENOTDIR})
		show("/proc", fault.Error{Place: "mounts[1]", Errno: unix.ENOENT})
		for _, name := range []string{"", "ls -la", "cd", "./x", "mine", "none"} {
			show("root", fault.Error{Place: "process.args", Errno: unix.ENOENT}, name)
		}
		show("empty", fault.Error{Place: "process.args", Errno: unix.ENOENT}, "sh")
		covered := &runFlags{rootfs: rootfsFlags{path: "root", config: &specs.Spec{Process: &specs.Process{}}}}
		covered.rootfs.person.elsewhere = map[string]string{here: "covered"}
		s.Error(o.inFlags(covered, &fault.Error{Place: "process.args", Errno: unix.ENOENT}, []string{"mine"}))
		bundle := &runFlags{create: createFlags{bundle: "."}}
		s.Error(o.inFlags(bundle, errOneID, nil))
		s.Error(o.inFlags(bundle, errOneID, []string{"image", "sh"}))
		s.Error(o.inFlags(bundle, errOneID, []string{"root", "sh"}))
		s.Error(o.inFlags(bundle, errOneID, []string{"sh", "--rootfs", "/"}))
		s.Error(o.inFlags(bundle, errOneID, []string{"\u2014rootfs", "/", "sh"}))
		s.Error((&options{verb: "unit", id: "web"}).inFlags(bundle, errOneID, nil))
		if err := os.Mkdir("usr", 0o755); err != nil {
			t.Fatal(err)
		}
		o.root = here
		s.Error(o.inFlags(bundle, errOneID, []string{"sh"}))
		s.Error(o.inFlags(bundle, taken(t), nil))
		s.Error(o.becomeDoctor(false)) // which is not beside a test
	})
}

// place makes a directory with some of what people name, and goes there.
func place(t *testing.T) string {
	t.Helper()
	t.Chdir(t.TempDir())
	for _, dir := range []string{"bin", "root/bin", "empty"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("bin/mine", nil, 0o755); err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Join(here, "bin"))
	return here
}

// taken is the error for an id that a container has.
func taken(t *testing.T) error {
	t.Helper()
	root := t.TempDir()
	o := &options{root: root, cgroupManager: "disabled", logFormat: "text", verb: "run"}
	if err := os.Mkdir(filepath.Join(root, "web"), 0o700|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	f := &runFlags{rootfs: rootfsFlags{path: root, name: "web"}}
	_, err := o.begin(t.Context(), f, nil)
	if err == nil {
		err = errors.New("it is not taken")
	}
	return fmt.Errorf("%w", err)
}
