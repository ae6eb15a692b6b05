package container_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// twin is a copy of a value that shares nothing with it. What has no JSON form is
// lost in both: the value is replaced by what JSON makes of it, too.
func twin[T any](t *testing.T, v *T) *T {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var again, copied T
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &copied); err != nil {
		t.Fatal(err)
	}
	*v = again
	return &copied
}

// same wants a value to be what its twin is.
func same[T any](t *testing.T, what string, got, twin T) {
	t.Helper()
	if !reflect.DeepEqual(got, twin) {
		before, _ := json.Marshal(twin)
		after, _ := json.Marshal(got)
		t.Errorf("%s was changed from\n%s to\n%s", what, before, after)
	}
}

// allowing is a helper that answers every profile with a filter that allows all.
func allowing(t *testing.T) string {
	t.Helper()
	answer, err := seccomp.EncodeOutput(&seccomp.Filter{Program: []byte{6, 0, 0, 0, 0, 0, 0xff, 0x7f}}, 0x20500)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "homerun-seccomp")
	for name, text := range map[string]string{filepath.Join(dir, "answer"): string(answer), program: "#!/bin/sh\ncat >/dev/null; cat " + dir + "/answer\n"} {
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return program
}

// roomy is a list with room for more, which whoever appends to it would write to.
func roomy[T any](list []T) []T { return append(make([]T, 0, len(list)+16), list...) }

// appended reports whether somebody has.
func appended[T any](list []T) bool {
	return slices.ContainsFunc(list[len(list):cap(list)], func(v T) bool { return !reflect.ValueOf(v).IsZero() })
}

// demanding fills a config with what a container is made of beside what it says:
// mounts, variables and namespaces of the runtime's.
func demanding(s *specs.Spec) {
	s.Process.NoNewPrivileges = true
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}, Permitted: []string{"CAP_KILL", "CAP_UNKNOWN"}}
	s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 256, Hard: 256}}
	s.Annotations = map[string]string{"a": "b"}
	s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/true"}}, StartContainer: []specs.Hook{{Path: "/bin/true"}},
		Poststop: []specs.Hook{{Path: "/bin/true"}}}
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/tmp/../tmp", Type: "tmpfs", Source: "tmpfs"})
	s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActErrno}}}
	s.Linux.Devices = append(s.Linux.Devices, specs.LinuxDevice{Path: "/dev/null", Type: "c", Major: 1, Minor: 3})
}

// TestNothingIsChanged: what a caller gives is the caller's before and after. Tried:
// the config, measured facts and given ones, the network, a process, resources and
// mounts; plans of run, create and exec, run, create, exec, update, and joining a
// network.
func TestNothingIsChanged(t *testing.T) {
	notify := filepath.Join(t.TempDir(), "notify")
	listenOn(t, notify)
	runtime, made, remove := scratchWith(container.Options{NotifySocket: notify, Helpers: container.Helpers{Seccomp: allowing(t)}}, "sleep", "60")
	defer remove()
	ctx := t.Context()
	demanding(made.Config)
	config := twin(t, made.Config)
	process, linux := made.Config.Process, made.Config.Linux
	process.Env, process.Args, made.Config.Mounts, linux.Namespaces = roomy(process.Env), roomy(process.Args), roomy(made.Config.Mounts), roomy(linux.Namespaces)
	whole := *made
	hosts := &netns.Connection{Network: netns.Network{Mode: netns.None}, DNS: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	network := twin(t, hosts)
	request := container.Request{ID: "web", Bundle: made, Network: hosts, Listen: host.Listen{Count: 1, Names: "x"}, Files: []*os.File{os.Stderr}}
	unchanged := func(what string) {
		t.Helper()
		same(t, what+": the config", made.Config, config)
		if appended(process.Env) || appended(process.Args) || appended(made.Config.Mounts) || appended(linux.Namespaces) {
			t.Errorf("%s: lists of the config were appended to", what)
		}
		same(t, what+": the bundle", *made, whole)
		same(t, what+": the network", hosts, network)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	p, err := runtime.PlanRun(ctx, request)
	must(err)
	unchanged("PlanRun")
	_, err = runtime.PlanCreate(ctx, request)
	must(err)
	unchanged("PlanCreate")
	joining := request
	joining.Network = &netns.Connection{Network: netns.Network{Mode: netns.Join, Path: "/proc/self/ns/net"}}
	joins, err := runtime.PlanRun(ctx, joining)
	must(err)
	unchanged("PlanRun of a network that is joined")
	if text, _ := json.Marshal(joins.Config.Linux.Namespaces); !strings.Contains(string(text), `"/proc/self/ns/net"`) {
		t.Errorf("the network is not joined: %s", text)
	}
	given := request
	given.Facts = p.Facts
	facts := twin(t, given.Facts)
	_, err = runtime.PlanRun(ctx, given)
	must(err)
	same(t, "PlanRun: the facts", given.Facts, facts)

	init, err := runtime.Run(ctx, request)
	must(err)
	unchanged("Run")
	changeNothingInside(t, runtime)
	init.Signal(unix.SIGKILL)
	_, err = init.Wait(ctx)
	must(err)
	must(init.Delete(ctx))
	unchanged("Delete")

	c, err := runtime.Create(ctx, request)
	must(err)
	unchanged("Create")
	c.Close()
	must(runtime.ForceDelete(ctx, "web"))
	_, _ = unix.Wait4(c.State.Pid, nil, 0, nil)
}

// changeNothingInside does in the container web, which runs, what takes something of
// the caller's.
func changeNothingInside(t *testing.T, runtime *container.Runtime) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	another := &specs.Process{Args: []string{"true"}, Cwd: "/", Env: []string{"A=b"}, NoNewPrivileges: true}
	copied := twin(t, another)
	another.Args, another.Env = roomy(another.Args), roomy(another.Env)
	e, err := runtime.Exec(ctx, "web", container.ExecRequest{Process: another})
	must(err)
	_, err = e.Wait(ctx)
	must(err)
	if same(t, "Exec: the process", another, copied); appended(another.Args) || appended(another.Env) {
		t.Error("Exec: lists of the process were appended to")
	}
	var unlimited int64 = -1
	limits := &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &unlimited}, Unified: map[string]string{}}
	before := twin(t, limits)
	for range 2 { // the second goes on from what the first one kept
		must(runtime.Update(ctx, "web", limits))
		same(t, "Update: the resources", limits, before)
	}
	mounts := []specs.Mount{{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"}}
	list := twin(t, &mounts)
	must(runtime.AddMounts(ctx, "web", mounts))
	must(runtime.RemoveMounts(ctx, "web", mounts))
	same(t, "AddMounts: the mounts", mounts, *list)
}

// TestProfileOfAConfig: a config that a program made, and never was a file, gets the
// seccomp filter that it asks for: in run, in create and start, in exec, and in what
// is planned. H10.
func TestProfileOfAConfig(t *testing.T) {
	options := container.Options{Helpers: container.Helpers{Seccomp: allowing(t)}}
	show := []string{"sh", "-c", "grep ^Seccomp: /proc/self/status >&3; sleep 60"}
	runtime, made, remove := scratchWith(options, show...)
	defer remove()
	made.Config.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	made.Config.Process.NoNewPrivileges = true
	ctx := t.Context()
	filtered := func(what string, start func(*os.File) error) {
		t.Helper()
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		err = start(in)
		in.Close()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		var text [64]byte
		n, err := out.Read(text[:])
		if got := string(text[:n]); got != "Seccomp:\t2\n" || err != nil {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
	var p *container.Process
	filtered("run", func(out *os.File) (err error) {
		p, err = runtime.Run(ctx, container.Request{ID: "web", Bundle: made, Files: []*os.File{out}})
		return err
	})
	filtered("exec", func(out *os.File) error {
		e, err := runtime.Exec(ctx, "web", container.ExecRequest{Process: &specs.Process{Args: []string{"sh", "-c", "grep ^Seccomp: /proc/self/status >&3"},
			Cwd: "/", NoNewPrivileges: true, Env: made.Config.Process.Env}, Files: []*os.File{out}})
		if err == nil {
			_, err = e.Wait(ctx)
		}
		return err
	})
	p.Signal(unix.SIGKILL)
	if _, err := p.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if err := p.Delete(ctx); err != nil {
		t.Fatal(err)
	}
	var c *container.Container
	filtered("create and start", func(out *os.File) (err error) {
		if c, err = runtime.Create(ctx, container.Request{ID: "web", Bundle: made, Files: []*os.File{out}}); err == nil {
			err = runtime.Start(ctx, "web")
		}
		return err
	})
	c.Close()
	gone(t, runtime)
	_, _ = unix.Wait4(c.State.Pid, nil, 0, nil)
	plan, err := runtime.PlanRun(ctx, container.Request{ID: "web", Bundle: made})
	if err != nil {
		t.Fatal(err)
	}
	lines := ""
	for i := range plan.Result.Plan.Len() {
		lines += plan.Result.Plan.Line(i) + "\n"
	}
	if !strings.Contains(lines, "seccomp(SECCOMP_SET_MODE_FILTER") {
		t.Error("the plan has no filter")
	}
	if made.Seccomp != nil {
		t.Error("the bundle was changed")
	}
	if _, err := container.Filter(ctx, &bundle.Bundle{Config: made.Config}, options.Helpers); err != nil {
		t.Error(err)
	}
}
