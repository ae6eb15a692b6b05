package container

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/limits"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/store"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

const withPIDNamespace = `{"ociVersion":"1.3.0","annotations":{"a":"b"},"linux":{"namespaces":[{"type":"pid"}]}}`

// withInit makes a container whose init is a child of the test, alive or not.
func withInit(t *testing.T, config string, lives bool) (r *Runtime, pid int, warned *[]string) {
	t.Helper()
	warned = &[]string{}
	r = &Runtime{Options{Root: filepath.Join(t.TempDir(), "root"), Warn: func(s string) { *warned = append(*warned, s) }}}
	c, err := made(r, "web")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pid = child(t)
	init, err := proc.Of(pid)
	if err != nil {
		t.Fatal(err)
	}
	if !lives {
		init.StartTime += 1000
	}
	c.State = store.State{Version: store.StateVersion, ID: "web", Pid: pid, StartTime: init.StartTime, Namespaces: unix.CLONE_NEWPID}
	if config != "" {
		err = c.dir.WriteFile(store.ConfigFile, []byte(config))
	}
	if err := errors.Join(err, c.dir.WriteInit(&c.State), c.save()); err != nil {
		t.Fatal(err)
	}
	return r, pid, warned
}

// A container of another PID namespace stays, also when what says so is the second
// record.
func TestDamagedElsewhere(t *testing.T) {
	r, pid, _ := withInit(t, withPIDNamespace, true)
	c, err := r.Open(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	c.State.PIDNamespace = 7
	c.dir.RemoveFile(store.InitLink)
	c.dir.RemoveFile(store.StateFile)
	err = c.dir.WriteInit(&c.State)
	c.Close()
	if err != nil {
		t.Fatal(err)
	}
	err = r.ForceDelete(t.Context(), "web")
	if _, gone := r.Peek("web"); !errors.Is(err, errElsewhere) || !runs(pid) || errors.Is(gone, store.ErrNotExist) {
		t.Errorf("%v; init lives: %v; the container: %v", err, runs(pid), gone)
	}
}

// runs reports whether a process has not ended.
func runs(pid int) bool {
	id, err := proc.Of(pid)
	return err == nil && id.Alive()
}

// Whatever became of state.json, delete --force ends init and clears the
// container away, and says by what it found it; other verbs say that it is
// damaged, and what helps.
func TestDamagedState(t *testing.T) {
	whole := ""
	for name, damage := range map[string]func(file string) error{
		"empty":        func(f string) error { return os.Truncate(f, 0) },
		"truncated":    func(f string) error { return os.Truncate(f, 30) },
		"one byte off": func(f string) error { return os.Truncate(f, int64(len(whole)-2)) },
		"zeros":        func(f string) error { return os.WriteFile(f, make([]byte, 200), 0o600) },
		"null":         func(f string) error { return os.WriteFile(f, []byte("null"), 0o600) },
		"another's":    func(f string) error { return os.WriteFile(f, []byte(`{"version":1,"id":"other"}`), 0o600) },
		"negative pid": func(f string) error { return os.WriteFile(f, []byte(`{"version":1,"id":"web","pid":-1}`), 0o600) },
		"missing":      os.Remove,
		"a directory":  func(f string) error { return errors.Join(os.Remove(f), os.Mkdir(f, 0o700)) },
		"a FIFO":       func(f string) error { return errors.Join(os.Remove(f), unix.Mkfifo(f, 0o600)) },
		"a link":       func(f string) error { return errors.Join(os.Rename(f, f+".real"), os.Symlink(f+".real", f)) },
	} {
		t.Run(name, func(t *testing.T) {
			r, pid, warned := withInit(t, withPIDNamespace, true)
			file := filepath.Join(r.options.Root, "web", store.StateFile)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			whole = string(text)
			if err := damage(file); err != nil {
				t.Fatal(err)
			}
			if name != "missing" { // which is as while it is made
				_, err := r.Peek("web")
				if !strings.Contains(fault.Hint(err), "delete --force web") || !strings.Contains(err.Error(), "is damaged") {
					t.Errorf("state: %v", err)
				}
			}
			if err := r.Delete(context.Background(), "web"); err == nil {
				t.Error("deleted without --force")
			}
			if !runs(pid) {
				t.Fatal("init has ended")
			}
			if err := r.ForceDelete(context.Background(), "web"); err != nil {
				t.Error(err)
			}
			if runs(pid) {
				t.Error("init lives")
			}
			if list, err := os.ReadDir(r.options.Root); err != nil || len(list) != 0 {
				t.Errorf("%v, %v", list, err)
			}
			if text := strings.Join(*warned, "; "); !strings.Contains(text, "found init") || strings.Contains(text, "hint:") {
				t.Errorf("warned %q", text)
			}
		})
	}
}

// What cannot be found is not taken for gone: the container stays, and so does
// its init.
func TestLostState(t *testing.T) {
	const noPIDNamespace = `{"ociVersion":"1.3.0","linux":{"namespaces":[{"type":"mount"}]}}`
	for name, test := range map[string]struct {
		config string
		lives  bool
		damage func(dir string) error
		says   string
	}{
		"no link":      {withPIDNamespace, true, func(d string) error { return os.Remove(d + "/init") }, "nothing else says who init is"},
		"another link": {withPIDNamespace, true, relinked("x"), "nothing else says who init is"},
		"no number":    {withPIDNamespace, true, relinked("-5 1 0 - "), "nothing else says who init is"},
		"init ended":   {noPIDNamespace, false, func(string) error { return nil }, "neither a PID namespace nor a cgroup"},
		"no config":    {"", false, func(string) error { return nil }, "config.json is unreadable too"},
		"bad config":   {"{", false, func(string) error { return nil }, "config.json is unreadable too"},
	} {
		t.Run(name, func(t *testing.T) {
			r, pid, _ := withInit(t, test.config, test.lives)
			dir := filepath.Join(r.options.Root, "web")
			if err := errors.Join(os.Truncate(dir+"/state.json", 0), test.damage(dir)); err != nil {
				t.Fatal(err)
			}
			err := r.ForceDelete(context.Background(), "web")
			if !strings.Contains(fault.Hint(err), "rm -r "+dir) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v", err)
			}
			if _, err := os.Stat(dir); err != nil {
				t.Error(err)
			}
			if !runs(pid) {
				t.Error("the process was ended")
			}
		})
	}
}

func relinked(text string) func(string) error {
	return func(dir string) error { return errors.Join(os.Remove(dir+"/init"), os.Symlink(text, dir+"/init")) }
}

// With its init dead a container with a PID namespace has no processes, and is
// cleared away; so is one that never had an init.
func TestDamagedStateWithoutInit(t *testing.T) {
	r, _, _ := withInit(t, withPIDNamespace, false)
	if err := os.Truncate(filepath.Join(r.options.Root, "web", store.StateFile), 0); err != nil {
		t.Fatal(err)
	}
	half, err := made(r, "half")
	if err != nil {
		t.Fatal(err)
	}
	half.Close()
	for _, id := range []string{"web", "half"} {
		if err := r.ForceDelete(context.Background(), id); err != nil {
			t.Error(err)
		}
	}
	if list := listed(t, r); list != nil {
		t.Errorf("%v", list)
	}
}

// What is recovered is what was recorded: a cgroup that was found is not removed,
// nor the one above that has the limits. That one's number is not recorded, so it
// is removed only if it is empty.
func TestRecoverCgroup(t *testing.T) {
	made := func(name string) action.Undo { return action.RemoveCgroup{Path: name, Inode: 7} }
	for _, test := range []struct {
		cgroup store.Cgroup
		undo   action.Undos
	}{
		{},
		{store.Cgroup{Path: "/c/a b/web", Inode: 7}, action.Undos{made("/c"), made("/c/a b/web")}},
		{store.Cgroup{Path: "/c/x/é\nweb", Inode: 7}, action.Undos{made("/c/x")}},
		{store.Cgroup{Path: "/c/web/container", Inode: 7, LimitsAbove: true},
			action.Undos{made("/c"), action.RemoveCgroup{Path: "/c/web"}, made("/c/web/container")}},
		{store.Cgroup{Path: "/c/web/container", Inode: 7}, action.Undos{made("/c"), made("/c/web/container")}},
		{store.Cgroup{Path: "/c/homerun-web.scope/container", Inode: 1 << 63, Scope: "homerun-web.scope"}, action.Undos{made("/c")}},
	} {
		r, pid, _ := withInit(t, withPIDNamespace, true)
		c, err := r.Open(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		start := c.State.StartTime
		c.State.Cgroup, c.State.Undo = test.cgroup, test.undo
		c.dir.RemoveFile(store.InitLink)
		if err := c.dir.WriteInit(&c.State); err != nil {
			t.Fatal(err)
		}
		if err := c.recover(errors.New("damaged")); err != nil {
			t.Fatal(err)
		}
		s := c.State
		if s.Pid != pid || s.StartTime != start || s.Cgroup != test.cgroup || s.Namespaces != unix.CLONE_NEWPID || s.Annotations["a"] != "b" {
			t.Errorf("%+v: %+v", test.cgroup, s)
		}
		want := action.Undos{action.EndNetwork{Directory: c.dir.Path()}}
		if len(test.undo) > 1 {
			want = append(slices.Clone(test.undo[1:]), want...)
		}
		if !slices.Equal(s.Undo, want) {
			t.Errorf("%+v: %+v, want %+v", test.cgroup, s.Undo, want)
		}
	}
}

// A state of a version to come is not taken for damage.
func TestNewerState(t *testing.T) {
	r, pid, _ := withInit(t, withPIDNamespace, true)
	if err := os.WriteFile(filepath.Join(r.options.Root, "web", store.StateFile), []byte(`{"version":2,"id":"web"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := r.ForceDelete(context.Background(), "web"); err == nil || !strings.Contains(err.Error(), "newer than this homerun") {
		t.Errorf("%v", err)
	}
	if !runs(pid) {
		t.Error("init was ended")
	}
}

// FuzzResources reads any bytes as resources.json: an error, or limits that are
// written as they were read, and that an update can be laid over.
func FuzzResources(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		res, err := bundle.DecodeResources(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(res)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bundle.DecodeResources(again); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		limit := int64(5)
		merged, touched := limits.Merge(res, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}})
		if _, _, err := limits.Of(touched); err != nil || merged.Pids == nil || *merged.Pids.Limit != limit {
			t.Fatalf("%s: %v, %+v", text, err, merged)
		}
	})
}
