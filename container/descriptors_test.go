package container_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// openDescriptors lists what this process has open, by what it is.
func openDescriptors(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		if name, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// A verb leaves no descriptor open in the process that calls it, whether it works
// or fails: an engine's shim that holds the package calls them for months. Each is
// called so often that one a call is seen beside what Go's runtime opens once.
func TestVerbsLeaveNoDescriptor(t *testing.T) {
	const times = 8
	for _, verb := range leakVerbs() {
		t.Run(verb.name, func(t *testing.T) {
			w := &leakWorld{t: t}
			var remove func()
			w.runtime, w.bundle, remove = scratch("sleep", "60")
			defer remove()
			verb.call(w) // what is opened once for all
			before := openDescriptors(t)
			for range times {
				verb.call(w)
			}
			if after := openDescriptors(t); len(after) >= len(before)+times {
				t.Errorf("%d open before, %d after %d calls:\n%s", len(before), len(after), times, strings.Join(after, "\n"))
			}
		})
	}
}

// leakWorld is what a verb is called in.
type leakWorld struct {
	t       *testing.T
	runtime *container.Runtime
	bundle  *bundle.Bundle
}

func (w *leakWorld) request() container.Request {
	return container.Request{ID: "web", Bundle: w.bundle, Streams: container.OwnStreams()}
}

// must and mustNot say that a call had the wrong end: then it was not the path
// that is to be looked at.
func (w *leakWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *leakWorld) mustNot(err error) {
	w.t.Helper()
	if err == nil {
		w.t.Fatal("it did not fail")
	}
}

// change runs something with another config.
func (w *leakWorld) change(change func(*specs.Spec), do func()) {
	old := w.bundle.Config
	config, process, hooks := *old, *old.Process, specs.Hooks{}
	config.Process, config.Hooks, config.Annotations = &process, &hooks, map[string]string{}
	change(&config)
	w.bundle.Config = &config
	do()
	w.bundle.Config = old
}

// live makes a container that runs, and ends it.
func (w *leakWorld) live(do func(ctx context.Context)) {
	ctx := w.t.Context()
	c, err := w.runtime.Create(ctx, w.request())
	w.must(err)
	defer c.Close()
	w.must(w.runtime.Start(ctx, "web"))
	do(ctx)
	w.must(w.runtime.ForceDelete(ctx, "web"))
	_, _ = unix.Wait4(c.State.Pid, nil, 0, nil)
}

func (w *leakWorld) run(args ...string) {
	w.change(func(s *specs.Spec) { s.Process.Args = args }, func() {
		p, err := w.runtime.Run(w.t.Context(), w.request())
		w.must(err)
		_, err = p.Wait(w.t.Context())
		w.must(err)
		w.must(p.Delete(w.t.Context()))
	})
}

// fails runs and creates something that cannot be.
func (w *leakWorld) fails(change func(*specs.Spec, *container.Request)) {
	w.change(func(*specs.Spec) {}, func() {
		request := w.request()
		change(w.bundle.Config, &request)
		_, err := w.runtime.Run(w.t.Context(), request)
		w.mustNot(err)
		if c, err := w.runtime.Create(w.t.Context(), request); err == nil {
			c.Close()
		}
		w.must(w.runtime.ForceDelete(w.t.Context(), "web"))
		for pid := 1; pid > 0; { // whom a failed create left to be reaped
			pid, _ = unix.Wait4(-1, nil, unix.WNOHANG, nil)
		}
	})
}

func (w *leakWorld) exec(ctx context.Context, args ...string) error {
	p, err := w.runtime.Exec(ctx, "web", container.ExecRequest{Process: &specs.Process{Args: args, Cwd: "/"}, Streams: container.OwnStreams()})
	if err != nil {
		return err
	}
	_, err = p.Wait(w.t.Context())
	return err
}

type leakVerb struct {
	name string
	call func(*leakWorld)
}

func leakVerbs() []leakVerb {
	return append(leakFailures(), []leakVerb{
		{"run", func(w *leakWorld) { w.run("true") }},
		{"create, start, delete", func(w *leakWorld) { w.live(func(context.Context) {}) }},
		{"create with a parent that records the exit", func(w *leakWorld) {
			request := w.request()
			request.Detached = true
			c, err := w.runtime.Create(w.t.Context(), request)
			w.must(err)
			c.Close()
			w.must(w.runtime.ForceDelete(w.t.Context(), "web"))
			_, _ = unix.Wait4(-1, nil, 0, nil)
		}},
		{"exec", func(w *leakWorld) { w.live(func(ctx context.Context) { w.must(w.exec(ctx, "true")) }) }},
		{"looks", func(w *leakWorld) {
			w.live(func(ctx context.Context) {
				for range 3 {
					c, err := w.runtime.Peek("web")
					w.must(err)
					_, err = c.Processes(ctx)
					w.must(err)
					_, err = c.Status()
					w.must(err)
					c.Close()
					err = w.runtime.List(func(*container.Container) error { return nil })
					w.must(err)
				}
			})
		}},
		{"kill, wait", func(w *leakWorld) {
			w.live(func(ctx context.Context) {
				w.must(w.runtime.KillAll(ctx, "web", unix.SIGKILL))
				_, _ = w.runtime.Wait(ctx, "web")
			})
		}},
		{"no cgroup", func(w *leakWorld) {
			limit := int64(5)
			w.live(func(ctx context.Context) {
				w.mustNot(w.runtime.Pause(ctx, "web"))
				w.mustNot(w.runtime.Resume(ctx, "web"))
				_, err := w.runtime.Stats("web")
				w.mustNot(err)
				w.mustNot(w.runtime.Update(ctx, "web", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}))
				w.mustNot(w.runtime.UpdateClass(ctx, "web", &specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f"}))
			})
		}},
	}...)
}

func leakFailures() []leakVerb {
	type change = func(*specs.Spec, *container.Request)
	var list []leakVerb
	for name, c := range map[string]change{
		"no program": func(s *specs.Spec, _ *container.Request) { s.Process.Args = []string{"/nosuch"} },
		"no source": func(s *specs.Spec, r *container.Request) {
			s.Mounts = append(slices.Clone(s.Mounts), specs.Mount{Destination: "/mnt", Type: "bind", Source: "/nosuch", Options: []string{"bind"}})
		},
		"a limit":          func(s *specs.Spec, _ *container.Request) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_X"}} },
		"a hook":           func(s *specs.Spec, _ *container.Request) { s.Hooks.CreateRuntime = []specs.Hook{{Path: "/bin/false"}} },
		"a start hook":     func(s *specs.Spec, _ *container.Request) { s.Hooks.StartContainer = []specs.Hook{{Path: "/bin/false"}} },
		"a poststart hook": func(s *specs.Spec, _ *container.Request) { s.Hooks.Poststart = []specs.Hook{{Path: "/bin/false"}} },
		"a pid file":       func(_ *specs.Spec, r *container.Request) { r.PidFile = r.Bundle.Dir + "/missing/pid" },
		"a pidfd socket":   func(_ *specs.Spec, r *container.Request) { r.PidfdSocket = r.Bundle.Dir + "/missing/socket" },
		"a terminal": func(s *specs.Spec, r *container.Request) {
			s.Process.Terminal, r.ConsoleSocket = true, r.Bundle.Dir+"/missing/socket"
		},
		"a program with a terminal": func(s *specs.Spec, _ *container.Request) {
			s.Process.Terminal, s.Process.Args = true, []string{"/nosuch"}
		},
		"a namespace": func(s *specs.Spec, _ *container.Request) {
			linux := *s.Linux
			linux.Namespaces = append(slices.Clone(linux.Namespaces), specs.LinuxNamespace{Type: specs.TimeNamespace, Path: "/proc/self/ns/net"})
			s.Linux = &linux
		},
		"a delegated cgroup": func(s *specs.Spec, _ *container.Request) { s.Annotations["run.oci.delegate-cgroup"] = "a" },
	} {
		list = append(list, leakVerb{"run and create fail for " + name, func(w *leakWorld) { w.fails(c) }})
	}
	return append(list,
		leakVerb{"exec fails", func(w *leakWorld) { w.live(func(ctx context.Context) { w.mustNot(w.exec(ctx, "/nosuch")) }) }},
		leakVerb{"start twice", func(w *leakWorld) { w.live(func(ctx context.Context) { w.mustNot(w.runtime.Start(ctx, "web")) }) }},
		leakVerb{"create twice", func(w *leakWorld) {
			w.live(func(ctx context.Context) { _, err := w.runtime.Create(ctx, w.request()); w.mustNot(err) })
		}},
		leakVerb{"delete of one that runs", func(w *leakWorld) {
			w.live(func(ctx context.Context) { w.mustNot(w.runtime.Delete(ctx, "web")) })
		}},
		leakVerb{"nobody", func(w *leakWorld) {
			ctx := w.t.Context()
			for _, err := range []error{w.runtime.Start(ctx, "no"), w.runtime.Kill(ctx, "no", unix.SIGTERM), w.runtime.Delete(ctx, "no"),
				w.runtime.Pause(ctx, "no"), w.exec(ctx, "true")} {
				w.mustNot(err)
			}
		}})
}

// The test sees what it is for: one descriptor a call.
func TestLeakIsSeen(t *testing.T) {
	before := len(openDescriptors(t))
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if after := len(openDescriptors(t)); after <= before {
		t.Errorf("%d, and then %d", before, after)
	}
}
