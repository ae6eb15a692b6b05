package container

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/spec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// A plan's runtime steps are data, so trouble is made at each of them: in each kind
// of plan each step fails, or the caller cancels there, or what there is of the
// container's side dies there, or the runtime is killed there. After each, nothing
// is left; after a kill, nothing once delete --force was there; and another
// container runs on. The container's side is a real one, as anybody can have it.

// stepKind is a kind of plan.
type stepKind struct {
	name   string
	create bool
	// manager makes the cgroup, in the tree that is in facts; one that is nil is
	// measured. helper: a process of ours stays beside init.
	manager cgroupv2.Manager
	tree    *host.Cgroup
	helper  bool
	change  func(t *testing.T, r *Request)
}

func stepKinds(p place) []stepKind {
	hook := func(names ...string) []specs.Hook {
		var list []specs.Hook
		for _, n := range names {
			list = append(list, specs.Hook{Path: "/bin/true", Args: []string{n}})
		}
		return list
	}
	return []stepKind{
		{name: "run", change: func(*testing.T, *Request) {}},
		{name: "create", create: true, change: func(*testing.T, *Request) {}},
		{name: "detached", change: func(_ *testing.T, r *Request) { r.Detached = true }},
		{name: "files", change: func(t *testing.T, r *Request) {
			r.PidFile, r.RemoveMade = filepath.Join(t.TempDir(), "pid"), true
			r.Network = &netns.Connection{Network: netns.Network{Mode: netns.None}}
		}},
		{name: "hooks", change: func(_ *testing.T, r *Request) {
			r.Bundle.Config.Hooks = &specs.Hooks{CreateRuntime: hook("a", "b"), CreateContainer: hook("c"), StartContainer: hook("d"), Poststart: hook("e")}
		}},
		{name: "created with hooks", create: true, change: func(_ *testing.T, r *Request) {
			r.Bundle.Config.Hooks = &specs.Hooks{CreateRuntime: hook("a"), StartContainer: hook("b")}
		}},
		{name: "terminal", change: func(_ *testing.T, r *Request) { r.Bundle.Config.Process.Terminal = true }},
		{name: "surroundings", helper: true, change: func(_ *testing.T, r *Request) {
			r.Network = &netns.Connection{Network: netns.Network{Mode: netns.Pasta}, Explicit: true}
			p.surround(r.Bundle.Config)
		}},
		{name: "created in surroundings", create: true, helper: true, change: func(_ *testing.T, r *Request) { p.surround(r.Bundle.Config) }},
	}
}

// scopeKinds are those for which a service manager makes the cgroup, a fake one.
func scopeKinds(p place) []stepKind {
	return []stepKind{
		{name: "scope", manager: cgroupv2.Systemd, tree: fakeTree(), change: p.inScope},
		{name: "created in a scope", create: true, manager: cgroupv2.Systemd, tree: fakeTree(), change: p.inScope},
		{name: "connected in a scope", helper: true, manager: cgroupv2.Systemd, tree: fakeTree(), change: func(t *testing.T, r *Request) {
			p.inScope(t, r)
			r.Network = &netns.Connection{Network: netns.Network{Mode: netns.Pasta}, Explicit: true}
		}},
	}
}

// prepare is Runtime.prepare for a kind.
func (k stepKind) prepare(ctx context.Context, r *Runtime, request *Request) (*preparation, error) {
	own := *r
	if k.manager != "" {
		own.options.Manager = k.manager
	}
	if k.tree == nil {
		return own.prepare(ctx, request, intent{create: k.create})
	}
	tree := *k.tree
	tree.Unified = true
	return own.prepareIn(ctx, &tree, request, intent{create: k.create})
}

// cgroupKinds are those in cgroups of the kernel's own.
func cgroupKinds(place) []stepKind {
	tree := realTree()
	limited := func(_ *testing.T, r *Request) {
		r.Bundle.Config.Linux.CgroupsPath = "homerun-test-" + strconv.Itoa(os.Getpid()) // that of no other test
		r.Bundle.Config.Linux.Resources = &specs.LinuxResources{Unified: map[string]string{"cgroup.max.depth": "3", "cgroup.max.descendants": "5"}}
		if limit := int64(50); tree.Unified {
			r.Bundle.Config.Linux.Resources.Pids = &specs.LinuxPids{Limit: &limit}
		}
	}
	return []stepKind{
		{name: "limits", manager: cgroupv2.Cgroupfs, tree: tree, change: limited},
		{name: "created with limits", manager: cgroupv2.Cgroupfs, tree: tree, create: true, change: limited},
	}
}

// realTree is the caller's place in the cgroup tree, also where controllers of
// version 1 are beside it.
func realTree() *host.Cgroup {
	p, err := probe.New([3]int{0, 1, 2})
	if err == nil {
		err = p.Measure(context.Background(), &host.Needs{Cgroup: "default"})
	}
	if err != nil {
		panic(err)
	}
	return p.Facts.Cgroup
}

// hasTree skips a test whose caller may make no cgroups.
func hasTree(t *testing.T) {
	t.Helper()
	tree := realTree()
	tree.Unified = tree.MountPoint != ""
	if d := live.ProbeDelegation(*tree); d.Unit == "" && d.Writable == "" {
		mayNot(t, "needs cgroup v2, and a cgroup in which the caller may make others")
	}
}

// stepRequest describes the container web for a kind.
func stepRequest(t *testing.T, k stepKind) *Request {
	t.Helper()
	config, err := spec.Rootfs{Path: "/", ReadOnly: true, Args: []string{"sleep", "1000"}}.Config()
	if err != nil {
		t.Fatal(err)
	}
	config.Linux.Resources = nil
	r := &Request{ID: "web", Bundle: &bundle.Bundle{Dir: t.TempDir(), Config: config}, Streams: OwnStreams()}
	k.change(t, r)
	return r
}

// attempt makes the container, and calls trouble before step at.
func attempt(ctx context.Context, r *Runtime, request *Request, k stepKind, at int, trouble func(*starting)) (steps int, err error) {
	p, err := k.prepare(ctx, r, request)
	if err != nil {
		return 0, err
	}
	s := p.starting
	defer s.close()
	s.serves = !k.create
	s.launch.Do = s.doWithFakes(place(filepath.Dir(r.options.Root)))
	s.launch.Debug = func(string) {
		if steps == at {
			trouble(s)
		}
		steps++
	}
	if err = s.run(ctx); err == nil {
		s.c.Close()
	}
	return steps, err
}

var errTrouble = errors.New("trouble")

// troubles are what happens at a step, and what is said of it. Step is what the
// plan does there.
func troubles() map[string]func(cancel func(), s *starting) {
	return map[string]func(cancel func(), s *starting){
		"cancelled": func(cancel func(), _ *starting) { cancel() },
		"fails": func(_ func(), s *starting) {
			s.launch.Do = func(context.Context, plan.Action) error { return errTrouble }
		},
		"dies": func(_ func(), s *starting) {
			for _, pid := range []int{s.launch.Init(), s.launch.First()} {
				if pid > 0 {
					unix.Kill(pid, unix.SIGKILL)
				}
			}
		},
	}
}

func TestTroubleAtEachStep(t *testing.T) {
	p := newPlace(t)
	p.trouble(t, stepKinds(p))
}

func TestTroubleInCgroup(t *testing.T) {
	hasTree(t)
	p := newPlace(t)
	p.trouble(t, cgroupKinds(p))
}

func TestTroubleInScope(t *testing.T) {
	if asUser(t) {
		return
	}
	p := newPlace(t)
	startManager(t, string(p), &scopes{})
	p.trouble(t, scopeKinds(p))
}

// trouble makes all trouble at each step of each kind.
func (p place) trouble(t *testing.T, kinds []stepKind) {
	t.Helper()
	r := p.runtime()
	other := bystander(t, r)
	noChildren(t, "what other tests left")
	const others = 1
	for _, k := range kinds {
		steps, err := attempt(t.Context(), r, stepRequest(t, k), k, -1, nil)
		if err != nil {
			t.Fatalf("%s: %v", k.name, err)
		}
		cgroups := cgroupsOf(t, r)
		if k.manager == cgroupv2.Cgroupfs && len(cgroups) < 2 {
			t.Errorf("%s: cgroups %v", k.name, cgroups)
		}
		beside := others
		if k.helper {
			beside++
		}
		if left := children(t); len(left) > 1+beside {
			t.Errorf("%s: beside init and the other container there are: %v", k.name, left)
		}
		remove(t, r)
		for name, trouble := range troubles() {
			for at := range steps {
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() {
					_, err := attempt(ctx, r, stepRequest(t, k), k, at, func(s *starting) { trouble(cancel, s) })
					done <- err
				}()
				select {
				case err = <-done:
				case <-time.After(20 * time.Second):
					t.Fatalf("%s, %s at step %d: hangs", k.name, name, at+1)
				}
				cancel()
				where := k.name + ", " + name + " at step " + strconv.Itoa(at+1)
				if left := children(t); name != "dies" && err != nil && len(left) > others {
					t.Errorf("%s: who was started was not waited for: %v", where, left)
				}
				checkTrouble(t, r, where, err)
				p.check(t, where, cgroups)
				if name == "cancelled" && !errors.Is(err, context.Canceled) {
					t.Errorf("%s: %v", where, err)
				}
			}
		}
	}
	if s := other(); s != Running {
		t.Errorf("the other container is %s", s)
	}
}

// checkTrouble wants that a failure left nothing. What has succeeded, since the
// trouble came too late or was none, is there as a whole.
func checkTrouble(t *testing.T, r *Runtime, where string, err error) {
	t.Helper()
	_, there := os.Lstat(filepath.Join(r.options.Root, "web"))
	if (err == nil) != (there == nil) {
		t.Errorf("%s: %v, and the container: %v", where, err, there)
	}
	if there == nil {
		remove(t, r)
	}
	noChildren(t, where)
}

// remove deletes the container by force, as its parent.
func remove(t *testing.T, r *Runtime) {
	t.Helper()
	if err := r.ForceDelete(t.Context(), "web"); err != nil {
		t.Fatal(err)
	}
	noChildren(t, "delete")
}

// noChildren reaps what has ended, and wants nothing else to be there but the
// bystander.
func noChildren(t *testing.T, where string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		left := children(t)
		switch {
		case err == nil && pid > 0:
		case len(left) <= 1: // the bystander
			return
		case time.Now().After(deadline):
			t.Fatalf("%s: processes are left: %v", where, left)
		}
	}
}

// children lists this process's but the bus, with their command lines.
func children(t *testing.T) (list []string) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tasks {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		for _, pid := range strings.Fields(string(text)) {
			line, _ := os.ReadFile("/proc/" + pid + "/cmdline")
			if !strings.HasPrefix(string(line), "dbus-daemon") {
				list = append(list, pid+" "+strings.ReplaceAll(string(line), "\x00", " "))
			}
		}
	}
	return list
}

// bystander is another container; it reports its status.
func bystander(t *testing.T, r *Runtime) func() string {
	t.Helper()
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	request := stepRequest(t, stepKinds("")[0])
	request.ID = "other"
	request.Bundle.Config.Process.Args = []string{"sleep", "3600"} // longer than the test, on a busy machine too
	p, err := r.Run(t.Context(), *request)
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	t.Cleanup(func() {
		if err := r.ForceDelete(context.Background(), "other"); err != nil {
			t.Error(err)
		}
		unix.Wait4(p.Pid, nil, 0, nil)
		_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	})
	return func() string {
		c, err := r.Peek("other")
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		status, err := c.Status()
		if err != nil {
			return err.Error()
		}
		return status
	}
}

// killVariable makes this program the runtime that is killed: the kind, the step,
// and the state root.
const killVariable = "HOMERUN_TEST_KILL_AT_STEP"

// TestKilledAtEachStep: what a runtime that is killed leaves goes with delete --force.
func TestKilledAtEachStep(t *testing.T) {
	if text := os.Getenv(killVariable); text != "" {
		killedRuntime(t, stepKinds, strings.SplitN(text, " ", 3))
		return
	}
	p := newPlace(t)
	p.kill(t, stepKinds(p))
}

func TestKilledInCgroup(t *testing.T) {
	if text := os.Getenv(killVariable); text != "" {
		killedRuntime(t, cgroupKinds, strings.SplitN(text, " ", 3))
		return
	}
	hasTree(t)
	p := newPlace(t)
	p.kill(t, cgroupKinds(p))
}

func TestKilledInScope(t *testing.T) {
	if text := os.Getenv(killVariable); text != "" {
		killedRuntime(t, scopeKinds, strings.SplitN(text, " ", 3))
		return
	}
	if asUser(t) {
		return
	}
	p := newPlace(t)
	startManager(t, string(p), &scopes{})
	p.kill(t, scopeKinds(p))
}

// kill kills the runtime at each step of each kind.
func (p place) kill(t *testing.T, kinds []stepKind) {
	t.Helper()
	r := p.runtime()
	other := bystander(t, r)
	temporary := t.TempDir() // of those who are killed, who remove nothing
	for i, k := range kinds {
		steps, err := attempt(t.Context(), r, stepRequest(t, k), k, -1, nil)
		if err != nil {
			t.Fatalf("%s: %v", k.name, err)
		}
		cgroups := cgroupsOf(t, r)
		remove(t, r)
		for at := range steps {
			where := k.name + ", killed at step " + strconv.Itoa(at+1)
			cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
			cmd.Env = append(os.Environ(), killVariable+"="+strconv.Itoa(i)+" "+strconv.Itoa(at)+" "+r.options.Root, "TMPDIR="+temporary)
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr // no pipe, which a program that runs on would hold
			err := cmd.Run()
			if status, ok := cmd.ProcessState.Sys().(interface{ Signaled() bool }); !ok || !status.Signaled() {
				t.Fatalf("%s: %v", where, err)
			}
			if err := r.ForceDelete(t.Context(), "web"); err != nil {
				t.Errorf("%s: %v", where, err)
			}
			if _, err := os.Lstat(filepath.Join(r.options.Root, "web")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%s: the container is there: %v", where, err)
			}
			noChildren(t, where)
			p.check(t, where, cgroups)
		}
	}
	if s := other(); s != Running {
		t.Errorf("the other container is %s", s)
	}
}

// killedRuntime makes a container and ends in the middle of it.
func killedRuntime(t *testing.T, kinds func(place) []stepKind, words []string) {
	kind, err1 := strconv.Atoi(words[0])
	at, err2 := strconv.Atoi(words[1])
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	p := place(filepath.Dir(words[2]))
	k := kinds(p)[kind]
	_, err := attempt(t.Context(), p.runtime(), stepRequest(t, k), k, at, func(*starting) {
		unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	})
	t.Fatalf("it lives: %v", err)
}
