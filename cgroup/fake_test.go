package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/store"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// These tests have ordinary directories for cgroups, so they need no privilege. The
// kernel's files are missing in them, and are made where a test is about one.

// fake is a tree with a container that has no cgroup yet; its init is this process.
func fake(t *testing.T) (c Cgroup, mount string) {
	t.Helper()
	mount = t.TempDir()
	var st unix.Statfs_t
	if err := unix.Statfs(mount, &st); err != nil {
		t.Fatal(err)
	}
	return Cgroup{State: &store.State{Pid: os.Getpid(), StartTime: 7, Cgroup: store.Cgroup{Manager: "cgroupfs"}}, Tree: live.Tree(st.Type)}, mount
}

// dir makes a directory of the tree with files in it.
func dir(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	if err := os.MkdirAll(name, 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(name, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return name
}

func text(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func inode(t *testing.T, name string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// in makes a cgroup the container's.
func (c Cgroup) in(t *testing.T, name string) {
	t.Helper()
	c.State.Cgroup.Path, c.State.Cgroup.Inode = name, inode(t, name)
}

func choice(mount string) action.MakeCgroup {
	return action.MakeCgroup{Mount: mount, Choice: cgroupv2.Choice{Base: "/", Path: "/a/web"}, Below: "container"}
}

// What is missing is listed before, without its number, and as it was made after that.
// It is undone from the inside, with what is in the container's own.
func TestMakeAndRemove(t *testing.T) {
	c, mount := fake(t)
	dir(t, mount+"/a", nil)
	a := choice(mount)
	list := ToBeMade(a)
	if want := (action.Undos{action.RemoveCgroup{Path: mount + "/a/web"}, action.RemoveCgroup{Path: mount + "/a/web/container"}}); !slices.Equal(list, want) {
		t.Fatalf("%+v, want %+v", list, want)
	}
	earlier := action.RemoveFile{Path: "/p"}
	c.State.Undo.Add(earlier)
	c.State.Undo.Add(list...)
	m := Making{Cgroup: c}
	if done, err := m.Do(t.Context(), a); !done || err != nil {
		t.Fatal(done, err)
	}
	web, own := mount+"/a/web", mount+"/a/web/container"
	want := action.Undos{earlier, action.RemoveCgroup{Path: web, Inode: inode(t, web)}, action.RemoveCgroup{Path: own, Inode: inode(t, own)}}
	if !slices.Equal(c.State.Undo, want) {
		t.Errorf("%+v, want %+v", c.State.Undo, want)
	}
	if g := (store.Cgroup{Manager: "cgroupfs", Path: own, Inode: inode(t, own), LimitsAbove: true}); c.State.Cgroup != g {
		t.Errorf("%+v, want %+v", c.State.Cgroup, g)
	}
	fd, err := m.Descriptor()
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Ino != inode(t, own) {
		t.Errorf("another cgroup, %v", err)
	}
	unix.Close(fd)
	if ToBeMade(a) != nil {
		t.Error("what is there is to be made")
	}
	m.Close()
	m.Close()
	dir(t, own+"/of/the/program", nil)
	for _, u := range slices.Backward(c.State.Undo[1:]) {
		for range 2 { // what is gone is no error
			if err := c.Remove(t.Context(), u.(action.RemoveCgroup)); err != nil {
				t.Error(err)
			}
		}
	}
	if left, err := os.ReadDir(mount + "/a"); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

// A cgroup that was there is not listed, and one in which others run is refused, with
// nothing recorded of it.
func TestMakeInOthers(t *testing.T) {
	c, mount := fake(t)
	there := dir(t, mount+"/a/web", map[string]string{"cgroup.events": "populated 0\n"})
	m := Making{Cgroup: c}
	c.State.Undo.Add(ToBeMade(choice(mount))...)
	if _, err := m.Do(t.Context(), choice(mount)); err != nil {
		t.Fatal(err)
	}
	if own := there + "/container"; len(c.State.Undo) != 1 || c.State.Undo[0] != (action.RemoveCgroup{Path: own, Inode: inode(t, own)}) {
		t.Errorf("%+v", c.State.Undo)
	}
	m.Close()
	// Its own is there, too.
	c.State.Undo = nil
	again := Making{Cgroup: c}
	if _, err := again.Do(t.Context(), choice(mount)); err != nil || c.State.Undo != nil {
		t.Errorf("%+v, %v", c.State.Undo, err)
	}
	again.Close()
	dir(t, there, map[string]string{"cgroup.events": "populated 1\n", "cgroup.procs": "5\n6\n"})
	used := Making{Cgroup: c}
	defer used.Close()
	_, err := used.Do(t.Context(), choice(mount))
	if want := "use the cgroup " + there + " (linux.cgroupsPath): container's cgroup is not empty: 2 process(es) found"; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if c.State.Cgroup != (store.Cgroup{Manager: "cgroupfs"}) || c.State.Undo != nil {
		t.Errorf("%+v, %+v", c.State.Cgroup, c.State.Undo)
	}
}

// What cannot be made is an error; so is one that stands still.
func TestMakeRefused(t *testing.T) {
	c, mount := fake(t)
	m := Making{Cgroup: c}
	a := choice(mount)
	a.Choice.Base = "/none"
	if _, err := m.Do(t.Context(), a); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	dir(t, mount+"/a/web", map[string]string{"container": ""})
	if _, err := m.Do(t.Context(), choice(mount)); err == nil {
		t.Error("a file is taken for a cgroup")
	}
	m.Close()
	frozen := choice(mount)
	frozen.Choice.Path = "/a/x"
	dir(t, mount+"/a/x/container", map[string]string{"cgroup.freeze": "0\n"})
	dir(t, mount+"/a/x", map[string]string{"cgroup.freeze": "1\n"})
	m = Making{Cgroup: c}
	defer m.Close()
	if _, err := m.Do(t.Context(), frozen); err == nil || !strings.HasSuffix(err.Error(), "/a/x/container is frozen, or one above it is: nothing can start in it") {
		t.Error(err)
	}
}

// Limits are written where they belong; what may depend on a later one may fail once.
func TestWrite(t *testing.T) {
	c, mount := fake(t)
	above := dir(t, mount+"/a/web", map[string]string{"pids.max": ""})
	own := dir(t, above+"/container", map[string]string{"pids.max": "", "memory.high": "5\n"})
	m := Making{Cgroup: c}
	defer m.Close()
	if _, err := m.Do(t.Context(), choice(mount)); err != nil {
		t.Fatal(err)
	}
	one := func(a action.WriteCgroup) error {
		t.Helper()
		done, err := m.Do(t.Context(), a)
		if !done {
			t.Error("not done")
		}
		return err
	}
	limit := cgroupv2.Write{File: "pids.max", Value: "3"}
	if err := one(action.WriteCgroup{Write: limit, Above: true}); err != nil || text(t, above+"/pids.max") != "3" || text(t, own+"/pids.max") != "" {
		t.Errorf("%v, %q, %q", err, text(t, above+"/pids.max"), text(t, own+"/pids.max"))
	}
	if err := one(action.WriteCgroup{Write: limit}); err != nil || text(t, own+"/pids.max") != "3" {
		t.Errorf("%v, %q", err, text(t, own+"/pids.max"))
	}
	if err := os.Chmod(own+"/memory.high", 0o444); err != nil {
		t.Fatal(err)
	}
	if err := one(action.WriteCgroup{Write: cgroupv2.Write{File: "memory.high", Value: "5"}, Prove: true}); err != nil || text(t, own+"/memory.high") != "5\n" {
		t.Errorf("what holds is written: %v, %q", err, text(t, own+"/memory.high"))
	}
	if err := one(action.WriteCgroup{Write: cgroupv2.Write{File: "cpu.max", Value: "1"}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
	invalid := fmt.Errorf("write: %w", unix.EINVAL)
	for _, test := range []struct {
		retry, again bool
		err          error
		want         bool
	}{{false, false, invalid, false}, {true, false, invalid, true}, {true, true, invalid, false}, {true, false, unix.EACCES, false}, {true, false, nil, false}} {
		if got := early(action.WriteCgroup{Write: cgroupv2.Write{Retry: test.retry}, Again: test.again}, test.err); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

// A cgroup in the scope, and one for the program below: init is moved there, and the
// container's root gets it.
func TestBelowTheScope(t *testing.T) {
	c, mount := fake(t)
	scope := dir(t, mount+"/x.scope", map[string]string{"cgroup.controllers": "", "cgroup.subtree_control": "", "cgroup.procs": ""})
	opened, err := c.Tree.Open(scope)
	if err != nil {
		t.Fatal(err)
	}
	own := dir(t, scope+"/container", map[string]string{"cgroup.procs": "", "cgroup.controllers": "", "cgroup.subtree_control": ""})
	below := dir(t, own+"/init", map[string]string{"cgroup.procs": ""})
	m := Making{Cgroup: c, own: opened}
	defer m.Close()
	pid := strconv.Itoa(os.Getpid())
	if _, err := m.Do(t.Context(), action.MakeSubgroup{Name: "container"}); err != nil || text(t, own+"/cgroup.procs") != pid {
		t.Errorf("%v, moved %q", err, text(t, own+"/cgroup.procs"))
	}
	if c.State.Cgroup.Path != own || c.State.Cgroup.Inode != inode(t, own) {
		t.Errorf("%+v", c.State.Cgroup)
	}
	mine := &action.GiveCgroup{UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	for name, a := range map[string]action.MoveDown{"given": {Name: "init", Give: mine}, "kept": {Name: "init"}} {
		dir(t, below, map[string]string{"cgroup.procs": ""})
		if _, err := m.Do(t.Context(), a); err != nil || text(t, below+"/cgroup.procs") != pid {
			t.Errorf("%s: %v, moved %q", name, err, text(t, below+"/cgroup.procs"))
		}
	}
	if c.State.Cgroup.Path != own {
		t.Errorf("%+v", c.State.Cgroup)
	}
	if _, err := m.Do(t.Context(), *mine); err != nil {
		t.Error(err)
	}
	// Who may not give it away has it already, or shares it.
	if os.Geteuid() != 0 {
		if _, err := m.Do(t.Context(), action.GiveCgroup{UID: 1, GID: 1}); err != nil {
			t.Error(err)
		}
	}
	for name, a := range map[string]plan.Action{"subgroup": action.MakeSubgroup{Name: "none"}, "down": action.MoveDown{Name: "none"}, "controller": action.MakeSubgroup{Name: "init", Controllers: []string{"moon"}}} {
		if _, err := m.Do(t.Context(), a); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if done, err := m.Do(t.Context(), action.Leave{}); done || err != nil {
		t.Errorf("another's action: %v, %v", done, err)
	}
	if done, err := m.Do(t.Context(), action.LoadDevices{Program: make([]cgroupv2.Instruction, 1)}); !done || err == nil {
		t.Errorf("no filter: %v, %v", done, err)
	}
}

// Only what was made for the container is removed: another cgroup of its name stays,
// and one above it if somebody has made one in it.
func TestRemoveNothingElse(t *testing.T) {
	c, mount := fake(t)
	own := dir(t, mount+"/web/container/nested", nil)
	own = filepath.Dir(own)
	c.in(t, own)
	for name, u := range map[string]action.RemoveCgroup{
		"another of its name": {Path: own, Inode: inode(t, own) + 1},
		"not known":           {Path: own + "/nested/none"},
	} {
		if err := c.Remove(t.Context(), u); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Stat(own + "/nested"); err != nil {
		t.Error(err)
	}
	// Not known to be the container's, so only if it is empty; an ordinary directory
	// says ENOTEMPTY, where a cgroup says EBUSY.
	if err := c.Remove(t.Context(), action.RemoveCgroup{Path: own}); !errors.Is(err, unix.ENOTEMPTY) {
		t.Error(err)
	}
	if err := c.Remove(t.Context(), action.RemoveCgroup{Path: own + "/nested"}); err != nil {
		t.Error(err)
	}
	above := filepath.Dir(own)
	if err := c.Remove(t.Context(), action.RemoveCgroup{Path: above, Inode: inode(t, above)}); !errors.Is(err, unix.ENOTEMPTY) {
		t.Error(err)
	}
	if _, err := os.Stat(own); err != nil {
		t.Error(err)
	}
	if err := (Cgroup{State: c.State}).Remove(t.Context(), action.RemoveCgroup{Path: own, Inode: inode(t, own)}); err == nil || !strings.Contains(err.Error(), "is not on a cgroup2 file system") {
		t.Errorf("the kernel's tree: %v", err)
	}
}

// The recorded cgroup is opened if it is still the one.
func TestOpen(t *testing.T) {
	c, mount := fake(t)
	if d, err := c.Open(); d != nil || err != nil || c.Frozen() {
		t.Errorf("none: %v, %v", d, err)
	}
	c.Thaw()
	own := dir(t, mount+"/web", map[string]string{"cgroup.events": "frozen 1\n", "cgroup.freeze": ""})
	c.in(t, own)
	if !c.Frozen() {
		t.Error("not frozen")
	}
	if c.Thaw(); text(t, own+"/cgroup.freeze") != "0" {
		t.Error("not thawed")
	}
	dir(t, own, map[string]string{"cgroup.events": "frozen 0\n", "cgroup.freeze": ""})
	if c.Thaw(); c.Frozen() || text(t, own+"/cgroup.freeze") != "" {
		t.Error("thawed, and it was not frozen")
	}
	d, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckThawed(d); err != nil {
		t.Error(err)
	}
	d.Close()
	c.State.Cgroup.Inode++
	if _, err := c.Open(); !errors.Is(err, os.ErrNotExist) || c.Frozen() {
		t.Errorf("another: %v", err)
	}
	c.Thaw()
}

// A process that joins is started in init's cgroup, or in one that is asked for.
func TestTarget(t *testing.T) {
	c, mount := fake(t)
	own := dir(t, mount+"/web", nil)
	dir(t, own+"/sub/deep", nil)
	c.in(t, own)
	for under, want := range map[string]string{"": own, "/": own, "sub": own + "/sub", "/sub/deep": own + "/sub/deep"} {
		d, err := c.Target(under)
		if err != nil {
			t.Errorf("%q: %v", under, err)
			continue
		}
		if d.Path() != want {
			t.Errorf("%q: %s, want %s", under, d.Path(), want)
		}
		fd, err := Descriptor(d)
		if err != nil {
			t.Error(err)
		}
		unix.Close(fd)
		d.Close()
		if fd, err := Descriptor(d); fd != -1 || err == nil {
			t.Errorf("a closed one is kept open: %d", fd)
		}
	}
	for _, under := range []string{"none", "../other", "sub/../.."} {
		if d, err := c.Target(under); err == nil {
			t.Errorf("%q: %s", under, d.Path())
		}
	}
	// Init below the container's own cgroup, as far as its path can tell.
	at, err := live.OfProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	inner := c
	inner.in(t, dir(t, mount+path.Dir(at)+"/", nil))
	inner.State.Cgroup.Path = mount + path.Clean("/"+path.Dir(at))
	dir(t, mount+at, nil)
	if d, err := inner.Target(""); err != nil || path.Clean(d.Path()) != path.Clean(mount+at) && path.Dir(at) != "/" {
		t.Errorf("%v, %v", d, err)
	}
	if got := relative("//a/b"); got != "a/b" {
		t.Errorf("%q", got)
	}
	gone := c
	gone.State.Cgroup.Inode++
	if _, err := gone.Target("sub"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if d, err := gone.Target(""); err == nil && !strings.HasPrefix(d.Path(), "/sys/fs/cgroup") { // where init is
		t.Errorf("%s", d.Path())
	}
	gone.State.Pid = 1 << 22
	if _, err := gone.Target(""); err == nil {
		t.Error("the cgroup of an init that has ended is found")
	}
	if got := gone.within(""); got != "." {
		t.Errorf("%q", got)
	}
}

// A scope that is gone, or is another by now, is left alone; ours is ended.
func TestStopScope(t *testing.T) {
	c, mount := fake(t)
	scope := dir(t, mount+"/x.scope", nil)
	own := dir(t, scope+"/container", nil)
	c.in(t, own)
	c.State.Cgroup.Scope = "x.scope"
	if err := c.Stop(t.Context(), action.StopScope{Unit: "x.scope", Inode: inode(t, scope) + 1}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(own); err != nil {
		t.Error(err)
	}
	time.AfterFunc(20*time.Millisecond, func() { _ = os.RemoveAll(scope) }) // as systemd does
	if err := c.Stop(t.Context(), action.StopScope{Unit: "x.scope", Inode: inode(t, scope)}); err != nil {
		t.Error(err)
	}
	if err := c.Stop(t.Context(), action.StopScope{Unit: "x.scope", Inode: 5}); err != nil {
		t.Errorf("it is gone: %v", err)
	}
	dir(t, scope, nil)
	if err := (Cgroup{State: c.State}).Stop(t.Context(), action.StopScope{Unit: "x.scope", Inode: inode(t, scope)}); err == nil {
		t.Error("what is no cgroup is stopped")
	}
}

// The number of a scope is recorded where its name was.
func TestFoundScope(t *testing.T) {
	c, _ := fake(t)
	c.State.Undo = action.Undos{action.StopScope{Unit: "y.scope"}, action.StopScope{Unit: "x.scope"}, action.StopScope{Unit: "x.scope", Inode: 3}}
	m := Making{Cgroup: c}
	m.foundScope("x.scope", 5)
	want := action.Undos{action.StopScope{Unit: "y.scope"}, action.StopScope{Unit: "x.scope", Inode: 5}, action.StopScope{Unit: "x.scope", Inode: 3}}
	if !slices.Equal(c.State.Undo, want) {
		t.Errorf("%+v, want %+v", c.State.Undo, want)
	}
	if got := scopeMark(c.State); got != fmt.Sprintf(" (init %d, started at 7)", os.Getpid()) {
		t.Errorf("%q", got)
	}
}
