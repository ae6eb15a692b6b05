package container_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/store"
	"github.com/homerun-oci/homerun/tests/again"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestUnfilled: what nobody filled is an error, and neither a panic nor another
// directory. Tried: a Runtime that New has not made, requests without a bundle, a
// config, a process.
func TestUnfilled(t *testing.T) {
	t.Chdir(t.TempDir())
	ctx := t.Context()
	runtime, b, remove := scratch("sleep", "60")
	defer remove()
	init, err := runtime.Run(ctx, container.Request{ID: "web", Bundle: b})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		init.Signal(unix.SIGKILL)
		_, err := init.Wait(ctx)
		if err = errors.Join(err, init.Delete(ctx)); err != nil {
			t.Error(err)
		}
	}()
	request, none := container.Request{ID: "a", Bundle: b}, new(container.Runtime)
	const noRoot, noConfig, noProcess = "the state root has no path", "the request has no bundle with a config", "the request has no process to start"
	for name, c := range map[string]struct {
		do   func() error
		want string
	}{
		"Run, no runtime":         {func() error { _, err := none.Run(ctx, request); return err }, noRoot},
		"Create, no runtime":      {func() error { _, err := none.Create(ctx, request); return err }, noRoot},
		"Peek, no runtime":        {func() error { _, err := none.Peek("a"); return err }, noRoot},
		"Open, no runtime":        {func() error { _, err := none.Open(ctx, "a"); return err }, noRoot},
		"IDs, no runtime":         {func() error { _, err := none.IDs(); return err }, noRoot},
		"ForceDelete, no runtime": {func() error { return none.ForceDelete(ctx, "a") }, noRoot},
		"Run, no bundle":          {func() error { _, err := runtime.Run(ctx, container.Request{ID: "a"}); return err }, noConfig},
		"Create, no config": {func() error {
			_, err := runtime.Create(ctx, container.Request{ID: "a", Bundle: new(bundle.Bundle)})
			return err
		}, noConfig},
		"PlanRun, no bundle":    {func() error { _, err := runtime.PlanRun(ctx, container.Request{}); return err }, noConfig},
		"PlanCreate, no bundle": {func() error { _, err := runtime.PlanCreate(ctx, container.Request{}); return err }, noConfig},
		"Exec, no process":      {func() error { _, err := runtime.Exec(ctx, "web", container.ExecRequest{}); return err }, noProcess},
		"PlanExec, no process": {func() error {
			c, err := runtime.Peek("web")
			if err == nil {
				defer c.Close()
				_, err = c.PlanExec(ctx, container.ExecRequest{})
			}
			return err
		}, noProcess},
	} {
		if err := c.do(); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if list, err := os.ReadDir("."); err != nil || len(list) > 0 {
		t.Errorf("%v in the current directory, %v", list, err)
	}
}

// TestAfterTheEnd: Wait says the same again, and takes no other child of that number;
// what is closed is os.ErrClosed; and the container of an exec is not the process's to
// delete.
func TestAfterTheEnd(t *testing.T) {
	ctx := t.Context()
	runtime, b, remove := scratch("sleep", "60")
	defer remove()
	init, err := runtime.Run(ctx, container.Request{ID: "web", Bundle: b})
	if err != nil {
		t.Fatal(err)
	}
	if init.Ended() != nil {
		t.Error("it has ended before it has")
	}
	process := *b.Config.Process
	process.Args = []string{"sh", "-c", "kill -9 $$"}
	p, err := runtime.Exec(ctx, "web", container.ExecRequest{Process: &process})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if status, err := p.Wait(ctx); status != 137 || err != nil {
			t.Errorf("%d, %v", status, err)
		}
	}
	if e := p.Ended(); e == nil || e.Signal != "SIGKILL" {
		t.Errorf("it ended as %v", e)
	}
	if err := errors.Join(p.Delete(ctx)); err == nil || !strings.Contains(err.Error(), "no container of its own") {
		t.Error(err)
	}
	if err := p.RecordExit(); err == nil || !strings.Contains(err.Error(), "no container of its own") {
		t.Error(err)
	}
	init.Signal(unix.SIGTERM)
	init.Signal(unix.SIGKILL)
	for range 2 {
		if status, err := init.Wait(ctx); status != 137 && status != 143 || err != nil {
			t.Errorf("%d, %v", status, err)
		}
	}
	if err := init.Delete(ctx); err != nil {
		t.Error(err)
	}
	if err := init.Delete(ctx); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	init.Close()
}

// TestErrorsAreTold: an error that a program may want to tell from others is found by
// errors.Is, whatever its words are, which callers match too.
func TestErrorsAreTold(t *testing.T) {
	ctx := t.Context()
	runtime, b, remove := scratch("sleep", "60")
	defer remove()
	request, exec := container.Request{ID: "web", Bundle: b}, container.ExecRequest{Process: b.Config.Process}
	limit := &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: new(int64)}}
	*limit.Pids.Limit = 16
	check := func(what string, err, want error, words string) {
		t.Helper()
		if !errors.Is(err, want) || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %v with %q", what, err, want, words)
		}
	}
	start := func() error { return runtime.Start(ctx, "web") }
	check("start of none", start(), store.ErrNotExist, "does not exist")
	c, err := runtime.Create(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	_, err = runtime.Create(ctx, request)
	check("create again", err, store.ErrExists, "already exists")
	if err := start(); err != nil {
		t.Fatal(err)
	}
	check("start again", start(), container.ErrStatus, "cannot start an already running container")
	check("delete", runtime.Delete(ctx, "web"), container.ErrStatus, "it is not stopped")
	check("resume", runtime.Resume(ctx, "web"), container.ErrStatus, "the container is running, not paused")
	check("pause", runtime.Pause(ctx, "web"), container.ErrNoCgroup, "cannot be frozen")
	check("update", runtime.Update(ctx, "web", limit), container.ErrNoCgroup, "cannot have limits")
	_, err = runtime.Stats("web")
	check("stats", err, container.ErrNoCgroup, "nothing counts")
	inside := exec
	inside.Cgroup = "below"
	_, err = runtime.Exec(ctx, "web", inside)
	check("exec in a cgroup", err, container.ErrNoCgroup, "no cgroup")
	missing := *b.Config.Process
	missing.Args = []string{"no-such-program"}
	_, err = runtime.Exec(ctx, "web", container.ExecRequest{Process: &missing})
	check("exec of none", err, os.ErrNotExist, "process.args")
	if f := new(fault.Error); !errors.As(err, &f) || f.Place != "process.args" || f.Errno != unix.ENOENT {
		t.Errorf("%+v", f)
	}
	if err := runtime.Kill(ctx, "web", unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_, _ = unix.Wait4(c.State.Pid, nil, 0, nil)
	_, err = runtime.Exec(ctx, "web", exec)
	check("exec in what has stopped", err, container.ErrNotRunning, "container not running")
	check("start of what has stopped", start(), container.ErrNotRunning, "cannot start a container that has stopped")
	check("kill", runtime.Kill(ctx, "web", unix.SIGTERM), container.ErrNotRunning, "container not running")
	check("pause of what has stopped", runtime.Pause(ctx, "web"), container.ErrNotRunning, "container not running")
	if err := runtime.Delete(ctx, "web"); err != nil {
		t.Error(err)
	}
}

// condition is what of a process the library could change for all of its goroutines.
type condition struct {
	directory string
	env       []string
	// status are lines of /proc/self/status: signals, umask, rights.
	status    []string
	cgroup    string
	subreaper bool
	limits    string
}

func ownCondition(t *testing.T) (c condition) {
	t.Helper()
	read := func(name string) string {
		text, err := os.ReadFile("/proc/self/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	c.directory, _ = os.Getwd()
	c.env, c.cgroup, c.limits = os.Environ(), read("cgroup"), read("limits")
	for line := range strings.Lines(read("status")) {
		name, _, _ := strings.Cut(line, ":")
		if slices.Contains([]string{"Umask", "SigBlk", "SigIgn", "SigCgt", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Uid", "Gid", "Groups"}, name) {
			c.status = append(c.status, line)
		}
	}
	c.subreaper = orphansComeToUs(t)
	return c
}

// orphansComeToUs reports whether this process is a subreaper, by the parent of an
// orphan that it makes.
func orphansComeToUs(t *testing.T) bool {
	t.Helper()
	cmd := exec.Command("sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!")
	out, err := cmd.Output()
	pid, _ := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil || pid == 0 {
		t.Fatal(err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Kill(pid, unix.SIGKILL)
	ours := strings.Fields(string(stat))[3] == strconv.Itoa(os.Getpid())
	if ours {
		_, _ = unix.Wait4(pid, nil, 0, nil)
	}
	return ours
}

// TestCallerStaysAsItIs: nothing of the calling process is another after a container
// has run in each way. A subreaper it becomes where it asks for that.
func TestCallerStaysAsItIs(t *testing.T) {
	const alone = "HOMERUN_TEST_CALLER"
	if os.Getenv(alone) == "" { // in a process of its own, which may become a subreaper
		again.Pass(t, &exec.Cmd{Env: append(os.Environ(), alone+"=1")}, t.Name())
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	runtime, b, remove := scratchWith(container.Options{Helpers: container.Helpers{Homerun: self}}, "true")
	defer remove()
	covered := filepath.Join(b.Dir, "covered")
	if err := os.MkdirAll(filepath.Join(covered, "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.Config.Mounts = append(b.Config.Mounts, specs.Mount{Destination: covered, Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}})
	unix.Umask(0o27)
	before := ownCondition(t)
	run := func(r container.Request) {
		t.Helper()
		r.ID, r.Bundle = "web", b
		p, err := runtime.Run(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		if r.Detached {
			_, err = runtime.Wait(ctx, "web")
		} else {
			_, err = p.Wait(ctx)
		}
		if err != nil {
			t.Error(err)
		}
		if err := p.Delete(ctx); err != nil {
			t.Error(err)
		}
	}
	for _, r := range []container.Request{{}, {Detached: true}, {EndsWithCaller: true}, {Reaper: true}} {
		run(r)
	}
	c, err := runtime.Create(ctx, container.Request{ID: "web", Bundle: b})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := runtime.ForceDelete(ctx, "web"); err != nil {
		t.Error(err)
	}
	_, _ = unix.Wait4(c.State.Pid, nil, 0, nil)
	after := ownCondition(t)
	if !slices.Equal(after.env, before.env) { // which is nobody's to read in a log
		t.Error("the environment is another")
	}
	if after.env, before.env = nil, nil; !reflect.DeepEqual(after, before) {
		t.Errorf("it was\n%+v\nand is\n%+v", before, after)
	}
	b.Config.Linux.Namespaces = slices.DeleteFunc(b.Config.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.PIDNamespace })
	b.Config.Mounts = slices.DeleteFunc(b.Config.Mounts, func(m specs.Mount) bool { return m.Type == "proc" })
	run(container.Request{Subreaper: true})
	if after := ownCondition(t); !after.subreaper {
		t.Error("it has not become a subreaper")
	}
}
