package security

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	configs "github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/seccomp"
	"github.com/homerun-oci/homerun/seccomp/compiler"
)

// TestProgramsProfile: a Go program that asks for a seccomp filter in Config,
// where specs-go has it, gets one or an error. Tried: without the helper; Run,
// Create with Start, and Exec in both; a bundle that is made and one that is
// loaded and changed. The helper is one of the test's own, beside the test, which
// is where the library looks.
func TestProgramsProfile(t *testing.T) {
	need(t)
	for _, c := range callers()[:2] { // the library acts as who runs the test
		t.Run(c.name, func(t *testing.T) {
			b := newBundle(t, c, "report")
			r, made := programs(t, b, false)
			if _, err := r.Run(t.Context(), container.Request{ID: b.id(), Bundle: made, Streams: container.OwnStreams()}); !errors.Is(err, compiler.ErrNotInstalled) {
				t.Fatalf("without a helper: %v", err)
			}
			helper(t)
			for _, loaded := range []bool{false, true} {
				filtered(t, b, loaded)
			}
		})
	}
}

// helper answers whatever it is asked with a filter that allows everything.
func helper(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	answer, err := seccomp.EncodeOutput(&seccomp.Filter{Program: []byte{6, 0, 0, 0, 0, 0, 0xff, 0x7f}}, 0x20500)
	file, program := filepath.Join(t.TempDir(), "answer"), filepath.Join(filepath.Dir(self), compiler.Name)
	must(t, err, os.WriteFile(file, answer, 0o644))
	must(t, os.WriteFile(program, []byte("#!/bin/sh\ncat >/dev/null; cat "+file+"\n"), 0o755))
	t.Cleanup(func() { os.Remove(program) })
}

// programs is what a Go program starts with: its own config, or a file's.
func programs(t *testing.T, b *bundle, loaded bool) (*container.Runtime, *configs.Bundle) {
	t.Helper()
	b.save()
	made, err := configs.Load(b.dir, "")
	must(t, err)
	if !loaded {
		made = &configs.Bundle{Dir: b.dir, Config: made.Config}
	}
	made.Config.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow,
		Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActErrno}}}
	r, err := container.New(container.Options{Root: w.path("root"), Manager: cgroupv2.None})
	must(t, err)
	return r, made
}

// filtered wants a filter in all processes of a container.
func filtered(t *testing.T, b *bundle, loaded bool) {
	t.Helper()
	ctx := t.Context()
	r, made := programs(t, b, loaded)
	defer r.ForceDelete(context.WithoutCancel(ctx), b.id())
	hears(t, "Run", func(out *os.File) (*container.Process, error) {
		return r.Run(ctx, container.Request{ID: b.id(), Bundle: made, Streams: container.Streams{Out: out, Err: os.Stderr}})
	})
	must(t, r.ForceDelete(ctx, b.id()))
	made.Config.Process.Args = []string{"/inside", "sleep"}
	_, err := r.Create(ctx, container.Request{ID: b.id(), Bundle: made, Streams: container.OwnStreams()})
	must(t, err, r.Start(ctx, b.id()))
	c, err := r.Peek(b.id())
	must(t, err)
	text, err := os.ReadFile("/proc/" + strconv.Itoa(c.State.Pid) + "/status")
	if err != nil || !strings.Contains(string(text), "\nSeccomp:\t2\n") {
		t.Errorf("Create, loaded %t: init has no filter: %v", loaded, err)
	}
	process := *made.Config.Process
	process.Args = []string{"/inside", "report"}
	hears(t, "Exec", func(out *os.File) (*container.Process, error) {
		return r.Exec(ctx, b.id(), container.ExecRequest{Process: &process, Streams: container.Streams{Out: out, Err: os.Stderr}})
	})
}

// hears runs a process that reports, and wants it to have a filter.
func hears(t *testing.T, what string, start func(out *os.File) (*container.Process, error)) {
	t.Helper()
	in, out, err := os.Pipe()
	must(t, err)
	defer in.Close()
	p, err := start(out)
	out.Close()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	text, err := io.ReadAll(in)
	must(t, err)
	if status, err := p.Wait(t.Context()); err != nil || status != 0 {
		t.Fatalf("%s: status %d, %v", what, status, err)
	}
	if got := (result{stdout: string(text)}).report(t).Status["Seccomp"]; got != "2" {
		t.Errorf("%s: Seccomp is %q", what, got)
	}
}

// TestMissingHandler: a container that was to be a virtual machine, or was to have
// its calls answered by a plugin, is never a plain one. Tried: run, create; the
// handlers of crun 1.28; its other annotations are in package compile's test.
func TestMissingHandler(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		for annotation, value := range map[string]string{"run.oci.handler": "krun", "run.oci.seccomp.plugins": "/usr/lib/plugin.so"} {
			for _, verb := range []string{"run", "create"} {
				b := newBundle(t, c, "ok")
				b.spec.Annotations = map[string]string{annotation: value}
				b.save()
				r := c.homerun(t, verb, "-b", b.dir, b.id())
				if r.status != 1 || !strings.Contains(r.stderr, `(annotations["`+annotation+`"])`) {
					t.Errorf("%s with %s: status %d: %q", verb, annotation, r.status, r.stderr)
				}
				if r := c.homerun(t, "delete", "--force", b.id()); r.status != 0 {
					t.Error(r.stderr)
				}
			}
		}
	})
}
