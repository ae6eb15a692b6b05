package container

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/launch"
	"github.com/homerun-oci/homerun/store"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// verbs are all that read a state root, each for the container web.
func verbs(r *Runtime) map[string]func() error {
	ctx := context.Background()
	return map[string]func() error{
		"list":         func() error { return r.List(func(*Container) error { return nil }) },
		"ids":          func() error { _, err := r.IDs(); return err },
		"state":        func() error { _, err := r.Peek("web"); return err },
		"open":         func() error { _, err := r.Open(context.Background(), "web"); return err },
		"create":       func() error { _, err := made(r, "new"); return err },
		"start":        func() error { return r.Start(ctx, "web") },
		"exec":         func() error { _, err := r.Exec(ctx, "web", ExecRequest{}); return err },
		"kill":         func() error { return r.Kill(ctx, "web", unix.SIGKILL) },
		"kill all":     func() error { return r.KillAll(ctx, "web", unix.SIGKILL) },
		"delete":       func() error { return r.Delete(ctx, "web") },
		"delete force": func() error { return r.ForceDelete(ctx, "web") },
		"pause":        func() error { return r.Pause(ctx, "web") },
		"resume":       func() error { return r.Resume(ctx, "web") },
		"update":       func() error { return r.Update(ctx, "web", &specs.LinuxResources{}) },
		"stats":        func() error { _, err := r.Stats("web"); return err },
		"events":       func() error { return r.Events(ctx, "web", 0, func(Event) error { return nil }) },
		"mounts":       func() error { return r.AddMounts(ctx, "web", nil) },
	}
}

// made makes a container's directory.
func made(r *Runtime, id string) (*Container, error) {
	c, err := r.unmade(id)
	if err != nil {
		return nil, err
	}
	return c, c.dir.Make(context.Background())
}

// planted makes a state root with a container in it, which has stopped.
func planted(t *testing.T) *Runtime {
	t.Helper()
	r := &Runtime{Options{Root: filepath.Join(t.TempDir(), "root")}}
	c, err := made(r, "web")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.State = store.State{Version: store.StateVersion, ID: "web", Pid: 1 << 22, StartTime: 1, Namespaces: unix.CLONE_NEWPID}
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	return r
}

// A state root that somebody else owns or can write is refused by every verb,
// and stays as it is: by everybody, sticky or not, by a group, through an access
// control list (which the group's bits show), through a link.
func TestForeignRoot(t *testing.T) {
	for name, test := range map[string]struct {
		spoil      func(t *testing.T, r *Runtime)
		says, hint string
	}{
		"everybody":   {chmod(0o777), "can be written by everybody (mode 0777)", "chmod go-w"},
		"sticky":      {chmod(0o1703), "can be written by everybody (mode 1703)", "chmod go-w"},
		"umask 002":   {chmod(0o775), "can be written by group", "chmod g-w"},
		"link":        {linked, "is a symbolic link", ""},
		"not a place": {notDirectory, "is not a directory", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := planted(t)
			test.spoil(t, r)
			for verb, do := range verbs(r) {
				err := do()
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("%s: %v", verb, err)
				}
				if test.hint != "" && !strings.Contains(fault.Hint(err), test.hint) {
					t.Errorf("%s: no hint: %v", verb, err)
				}
			}
		})
	}
	t.Run("owner", func(t *testing.T) {
		r := &Runtime{Options{Root: "/usr"}} // root's
		if os.Geteuid() == 0 {
			r = planted(t)
			if err := os.Chown(r.options.Root, 1, -1); err != nil {
				t.Fatal(err)
			}
		}
		for verb, do := range verbs(r) {
			if err := do(); err == nil || !strings.Contains(err.Error(), "belongs to user") {
				t.Errorf("%s: %v", verb, err)
			}
		}
	})
}

func chmod(mode uint32) func(*testing.T, *Runtime) {
	return func(t *testing.T, r *Runtime) {
		if err := unix.Chmod(r.options.Root, mode); err != nil {
			t.Fatal(err)
		}
	}
}

func linked(t *testing.T, r *Runtime) {
	if err := errors.Join(os.Rename(r.options.Root, r.options.Root+".real"), os.Symlink(r.options.Root+".real", r.options.Root)); err != nil {
		t.Fatal(err)
	}
}

func notDirectory(t *testing.T, r *Runtime) {
	if err := errors.Join(os.RemoveAll(r.options.Root), os.WriteFile(r.options.Root, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// A container's directory that others can write is refused as well, though not
// by list, which has others to tell of.
func TestForeignDirectory(t *testing.T) {
	r := planted(t)
	var warned []string
	r.options.Warn = func(s string) { warned = append(warned, s) }
	if err := unix.Chmod(filepath.Join(r.options.Root, "web"), 0o1707); err != nil {
		t.Fatal(err)
	}
	for verb, do := range verbs(r) {
		err := do()
		if verb == "list" || verb == "ids" || verb == "create" {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), `container "web"`) || !strings.Contains(err.Error(), "written by everybody") {
			t.Errorf("%s: %v", verb, err)
		}
	}
	if list := listed(t, r); len(list) != 1 || list[0] != "new" || len(warned) == 0 {
		t.Errorf("%v, warned %v", list, warned)
	}
}

func listed(t *testing.T, r *Runtime) (ids []string) {
	t.Helper()
	if err := r.List(func(c *Container) error { ids = append(ids, c.ID); return nil }); err != nil {
		t.Fatal(err)
	}
	if all, err := r.IDs(); err != nil || !slices.Equal(all, ids) {
		t.Errorf("%v, %v: %v", ids, all, err)
	}
	return ids
}

// What no homerun made is no container: it is not listed, nothing works on it,
// and delete --force leaves it there. One that is being made is one.
func TestNoContainer(t *testing.T) {
	r := planted(t)
	half, err := made(r, "half")
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	strays := []string{"empty", ".cache", "other", "link", "file"}
	if err := errors.Join(os.Mkdir(r.options.Root+"/empty", 0o700), os.MkdirAll(r.options.Root+"/.cache/x", 0o700),
		os.CopyFS(r.options.Root+"/other", os.DirFS(r.options.Root+"/web")), os.Symlink("web", r.options.Root+"/link"), os.WriteFile(r.options.Root+"/file", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if list := listed(t, r); strings.Join(list, " ") != "half web" {
		t.Errorf("%v", list)
	}
	for _, id := range strays {
		if _, err := r.Peek(id); !errors.Is(err, store.ErrNotExist) {
			t.Errorf("%s: %v", id, err)
		}
		if err := r.ForceDelete(context.Background(), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if _, err := os.Lstat(filepath.Join(r.options.Root, id)); err != nil {
			t.Error(err)
		}
		if _, err := made(r, id); err == nil || !strings.Contains(err.Error(), "is not a container of homerun's") {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, root := range []string{"/etc", "/usr", "/proc"} {
		if os.Geteuid() == 0 {
			if list := listed(t, &Runtime{Options{Root: root}}); list != nil {
				t.Errorf("%s: %v", root, list)
			}
		}
	}
}

// Who puts another directory at the path of one that is open reaches nothing:
// state, config, other files, FIFOs, and what is removed are those of the
// directory that was opened and checked.
func TestOpenedOnce(t *testing.T) {
	r := planted(t)
	c, err := r.Open(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	config := []byte(`{"ociVersion":"1.3.0","hostname":"mine"}`)
	if err := errors.Join(c.dir.WriteFile(store.ConfigFile, config), c.dir.MakeShared("hosts"), c.dir.WriteInPlace("hosts", []byte("mine"))); err != nil {
		t.Fatal(err)
	}
	real := r.options.Root + ".moved"
	if err := os.Rename(r.options.Root, real); err != nil {
		t.Fatal(err)
	}
	fake := filepath.Join(r.options.Root, "web")
	theirs := map[string]string{"state.json": `{"version":1,"id":"web","pid":1}`, "hosts": "theirs", "resources.json": `{"pids":{"limit":1}}`,
		"config.json": `{"ociVersion":"1.3.0","hostname":"theirs"}`}
	theirs["exit"] = "     "
	for name, text := range theirs {
		if err := errors.Join(os.MkdirAll(fake, 0o700), os.WriteFile(filepath.Join(fake, name), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(fake+"/start", 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := unix.Open(fake+"/start", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(reader)
	if err := c.load(); err != nil || c.State.Pid == 1 {
		t.Errorf("state: %v, %+v", err, c.State)
	}
	if b, err := c.bundle(); err != nil || b.Config.Hostname != "mine" {
		t.Errorf("config: %v, %+v", err, b)
	}
	if res, err := c.resources(); err != nil || res != nil {
		t.Errorf("resources: %v, %+v", err, res)
	}
	if e, err := c.Exit(); err != nil || e != nil {
		t.Errorf("exit record: %v, %+v", err, e)
	}
	if c.waits() {
		t.Error("the FIFO of the other directory was opened")
	}
	err = errors.Join(c.save(), c.dir.WriteInPlace("hosts", []byte("mine")), c.keepResources(&specs.LinuxResources{}), c.makeFIFOsAlone(),
		c.dir.WriteExit(9), c.dir.WriteInit(&c.State))
	if err != nil {
		t.Error(err)
	}
	if err := c.dir.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(real + "/web"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the container's own directory is left: %v", err)
	}
	for name, want := range theirs {
		if text, err := os.ReadFile(filepath.Join(fake, name)); err != nil || string(text) != want {
			t.Errorf("%s of the other directory: %q, %v", name, text, err)
		}
	}
}

// makeFIFOsAlone makes the FIFOs for no launch.
func (c *Container) makeFIFOsAlone() error {
	s := c.newStarting(nil)
	s.launch = launch.New(launch.Options{})
	defer s.close()
	return s.makeFIFOs()
}

// A run's own delete clears its own container, and not one of the same name that
// was made since.
func TestDeleteOwn(t *testing.T) {
	r := planted(t)
	c, err := r.Open(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	c.dir.Unlock()
	p := &Process{pidfd: -1, container: c, bundle: &bundle.Bundle{Config: &specs.Spec{}}}
	if err := r.Delete(context.Background(), "web"); err != nil {
		t.Fatal(err)
	}
	again, err := made(r, "web")
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if err := p.Delete(context.Background()); err != nil {
		t.Error(err)
	}
	if list := listed(t, r); len(list) != 1 {
		t.Errorf("%v", list)
	}
}
