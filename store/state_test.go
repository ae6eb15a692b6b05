package store

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/proc"
	"golang.org/x/sys/unix"
)

// full is a state with every member, and text is how state.json has it: other
// programs read it, and containers of an older homerun are deleted by a newer one.
func full() (s State, text string) {
	return State{Version: 1, ID: "c", OCIVersion: "1.3.0", Bundle: "/b", Rootfs: "/b/rootfs", Annotations: map[string]string{"k": "v"},
			Created: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), UID: 1000, Pid: 4711, StartTime: 99, Waiter: &proc.ID{Pid: 12, StartTime: 98},
			Namespaces: 0x20000, Members: &Members{Inode: 3, ID: 4}, Steps: 5, Chroot: true,
			Cgroup: Cgroup{Manager: "systemd", Path: "/c/x.scope/container", Inode: 6, Scope: "x.scope", OOMKills: 2},
			Undo: action.Undos{action.RemoveCgroup{Path: "/c", Inode: 7}, action.StopScope{Unit: "x.scope"}, action.EndNetwork{Directory: "/r/c"}, action.LeaveClass{Class: "/rdt/c"},
				action.RemoveFile{Path: "/p"}, action.RemoveMade{Path: "run"}}},
		`{"version":1,"id":"c","ociVersion":"1.3.0","bundle":"/b","rootfs":"/b/rootfs","annotations":{"k":"v"},` +
			`"created":"2026-01-02T03:04:05.000000006Z","uid":1000,"pid":4711,"startTime":99,"waiter":{"pid":12,"startTime":98},` +
			`"namespaces":131072,"members":{"mountInode":3,"mountID":4},"steps":5,"chroot":true,` +
			`"cgroup":{"manager":"systemd","path":"/c/x.scope/container","inode":6,"scope":"x.scope","oomKills":2},` +
			`"undo":[{"kind":"cgroup","name":"/c","inode":7},{"kind":"scope","name":"x.scope"},{"kind":"network","name":"/r/c"},` +
			`{"kind":"intelrdt","name":"{\"Class\":\"/rdt/c\",\"Monitor\":\"\"}"},{"kind":"file","name":"/p"},{"kind":"made","name":"run"}]}` + "\n"
}

// The form of state.json does not change within a version.
func TestStateFile(t *testing.T) {
	_, d := scratch(t)
	want, text := full()
	if err := d.WriteState(&want); err != nil {
		t.Fatal(err)
	}
	if got := read(t, d.FilePath(StateFile)); got != text {
		t.Errorf("%s\n%s", got, text)
	}
	if got, err := d.ReadState(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	if got := want.Init(); got != (proc.ID{Pid: 4711, StartTime: 99}) {
		t.Errorf("%+v", got)
	}
	empty := State{Version: StateVersion, ID: "c"}
	const least = `{"version":1,"id":"c","ociVersion":"","bundle":"","rootfs":"","created":"0001-01-01T00:00:00Z","uid":0,"namespaces":0}` + "\n"
	if err := d.WriteState(&empty); err != nil || read(t, d.FilePath(StateFile)) != least {
		t.Errorf("%s, %v", read(t, d.FilePath(StateFile)), err)
	}
	// Members may be added within a version.
	if err := os.WriteFile(d.FilePath(StateFile), []byte(`{"version":1,"id":"c","pid":5,"colour":"red"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := d.ReadState(); err != nil || got.Pid != 5 {
		t.Errorf("%+v, %v", got, err)
	}
}

// A container without state.json is still being made; one that is gone is not.
func TestNoState(t *testing.T) {
	_, d := scratch(t)
	if s, err := d.ReadState(); err != nil || !reflect.DeepEqual(s, State{Version: StateVersion, ID: "c"}) {
		t.Errorf("%+v, %v", s, err)
	}
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadState(); !errors.Is(err, ErrNotExist) {
		t.Errorf("%v", err)
	}
	d.Close()
	if _, err := d.ReadState(); err == nil {
		t.Error("the state of a closed one")
	}
}

// Whatever became of state.json is damage, with advice, and no state; but not
// that it is of a version to come.
func TestDamagedState(t *testing.T) {
	_, whole := full()
	put := func(text string) func(string) error {
		return func(f string) error { return os.WriteFile(f, []byte(text), 0o600) }
	}
	for name, test := range map[string]struct {
		damage func(file string) error
		says   string
	}{
		"empty":        {put(""), "it is empty"},
		"truncated":    {put(whole[:30]), "the string has no end"},
		"one byte off": {put(whole[:len(whole)-2]), "found the end of the file"},
		"zeros":        {put(strings.Repeat("\x00", 200)), "expected an object, found '\\x00'"},
		"null":         {put("null"), "expected an object, found null"},
		"no version":   {put(`{"id":"c"}`), "no version"},
		"version -1":   {put(`{"id":"c","version":-1}`), "no version"},
		"negative pid": {put(`{"version":1,"id":"c","pid":-1}`), "negative pid"},
		"pid 1.5":      {put(`{"version":1,"id":"c","pid":1.5}`), "found 1.5"},
		"kind 3":       {put(`{"version":1,"id":"c","undo":[{"kind":3}]}`), "undo[0].kind: expected a string, found a number"},
		"another's":    {put(`{"version":1,"id":"other"}`), `that of container "other"`},
		"nobody's":     {put(`{"version":1}`), `that of container ""`},
		"a directory":  {func(f string) error { return os.Mkdir(f, 0o700) }, "is a directory"},
		"a FIFO":       {func(f string) error { return unix.Mkfifo(f, 0o600) }, "regular"},
		"a link":       {func(f string) error { return errors.Join(put(whole)(f+".real"), os.Symlink(f+".real", f)) }, "symbolic links"},
	} {
		t.Run(name, func(t *testing.T) {
			_, d := scratch(t)
			if err := test.damage(d.FilePath(StateFile)); err != nil {
				t.Fatal(err)
			}
			s, err := d.ReadState()
			if !errors.Is(err, ErrDamaged) || !strings.HasPrefix(err.Error(), d.FilePath(StateFile)+" is damaged: ") || !strings.Contains(err.Error(), test.says) ||
				!strings.Contains(fault.Hint(err), "delete --force c") || !reflect.DeepEqual(s, State{}) {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
	_, d := scratch(t)
	if err := put(`{"version":2,"id":"c","pid":7}`)(d.FilePath(StateFile)); err != nil {
		t.Fatal(err)
	}
	if s, err := d.ReadState(); err == nil || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "is of version 2, newer than this homerun") || s.Pid != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

// On a full disk the old state stays, and the error says whose it is.
func TestStateFullDisk(t *testing.T) {
	_, d := scratch(t)
	s, text := full()
	if err := d.WriteState(&s); err != nil {
		t.Fatal(err)
	}
	s.Pid = 5
	var err error
	filesOfAtMost(t, 10, func() { err = d.WriteState(&s) })
	if !errors.Is(err, unix.EFBIG) || !strings.HasPrefix(err.Error(), `write the state of container "c": `) {
		t.Errorf("%v", err)
	}
	if got := read(t, d.FilePath(StateFile)); got != text {
		t.Errorf("%s", got)
	}
	s.Created = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) // which JSON has no form for
	if err := d.WriteState(&s); err == nil || read(t, d.FilePath(StateFile)) != text {
		t.Errorf("%v", err)
	}
}

// The link says who init is as state.json does, and of the cgroup whether it goes
// with the container.
func TestInit(t *testing.T) {
	made := func(name string) action.Undo { return action.RemoveCgroup{Path: name, Inode: 7} }
	for want, s := range map[string]State{
		"5 6 0 - ":         {},
		"5@9 6 0 - ":       {PIDNamespace: 9},
		"5 6 7 + /c/a b/é": {Cgroup: Cgroup{Path: "/c/a b/é", Inode: 7}, Undo: action.Undos{made("/c"), made("/c/a b/é")}},
		"5 6 7 - /c/x\nw":  {Cgroup: Cgroup{Path: "/c/x\nw", Inode: 7}, Undo: action.Undos{made("/c"), action.RemoveFile{Path: "/c/x\nw"}}},
		"5 6 18446744073709551615 a.scope /c/a.scope/container": {
			Cgroup: Cgroup{Path: "/c/a.scope/container", Inode: 1<<64 - 1, Scope: "a.scope"}, Undo: action.Undos{made("/c/a.scope/container")}},
	} {
		_, d := scratch(t)
		s.Pid, s.StartTime = 5, 6
		if err := d.WriteInit(&s); err != nil {
			t.Fatal(err)
		}
		if got, err := os.Readlink(d.FilePath(InitLink)); err != nil || got != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
		got, err := d.ReadInit()
		if err != nil || got.Init() != s.Init() || got.PIDNamespace != s.PIDNamespace || got.Cgroup != s.Cgroup || got.Version != StateVersion {
			t.Errorf("%q: %+v, %v", want, got, err)
		}
		if strings.Contains(want, "+") != (len(got.Undo) == 1 && got.Undo[0] == made(s.Cgroup.Path)) || len(got.Undo) > 1 {
			t.Errorf("%q: %+v", want, got.Undo)
		}
		if err := d.WriteInit(&s); !errors.Is(err, unix.EEXIST) || !strings.Contains(err.Error(), `record init of container "c"`) {
			t.Errorf("a second time: %v", err)
		}
	}
}

// What does not say who init is says nothing.
func TestDamagedInit(t *testing.T) {
	for _, text := range []string{"x", "5 6 7 +", "-5 6 7 + /c", "0 6 7 + /c", "x 6 7 + /c", "5@ 6 7 + /c", "5@x 6 7 + /c", "@9 6 7 + /c", "5 x 7 + /c", "5 -6 7 + /c", "5 6 x + /c", "5 6 -7 + /c", "5  6 7 + /c",
		"5.0 6 7 + /c", "99999999999999999999 6 7 + /c"} {
		_, d := scratch(t)
		if err := os.Symlink(text, d.FilePath(InitLink)); err != nil {
			t.Fatal(err)
		}
		if s, err := d.ReadInit(); err == nil || !reflect.DeepEqual(s, State{}) {
			t.Errorf("%q: %+v, %v", text, s, err)
		}
	}
	if s, err := parseInit("1 2 3 - "); err != nil || s.Pid != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	_, d := scratch(t)
	if _, err := d.ReadInit(); err != unix.ENOENT {
		t.Errorf("without a link: %v", err)
	}
	if err := d.WriteFile(InitLink, []byte("5 6 7 + /c")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.ReadInit(); err != unix.EINVAL {
		t.Errorf("a file: %v", err)
	}
}

// FuzzState reads any bytes as state.json and as the link: an error, or a state
// that is written as it was read.
func FuzzState(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte, link string) {
		if s, err := parseState(text); err == nil {
			again, err := json.Marshal(&s)
			if err != nil {
				t.Fatal(err)
			}
			if other, err := parseState(again); err != nil || !s.Created.Equal(other.Created) {
				t.Fatalf("%s: %v", again, err)
			} else if other.Created = s.Created; !reflect.DeepEqual(s, other) && !same(s, other) {
				t.Fatalf("%+v becomes %+v", s, other)
			}
			if s.Pid < 0 || s.Version < 1 {
				t.Fatalf("%+v", s)
			}
		}
		s, err := parseInit(link)
		if err != nil {
			return
		}
		again, err := parseInit(initText(&s))
		if err != nil || !same(s, again) || s.Pid < 1 {
			t.Fatalf("%q: %+v becomes %+v, %v", link, s, again, err)
		}
	})
}

// same reports whether two states differ by lists and maps without members only,
// which are not written.
func same(a, b State) bool {
	x, errA := json.Marshal(&a)
	y, errB := json.Marshal(&b)
	return errA == nil && errB == nil && string(x) == string(y)
}
