package container_test

import (
	"io"
	"os"
	"path/filepath"
	goruntime "runtime"
	"testing"

	"github.com/homerun-oci/homerun/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestOptionsReachPrograms: all programs that are started have the timer slack and the
// limit on open files of the options: the container's, one that exec starts, and hooks.
func TestOptionsReachPrograms(t *testing.T) {
	if goruntime.GOARCH != "amd64" {
		t.Skip("the limit is what this process began with")
	}
	const tell, want = "cat /proc/self/timerslack_ns; ulimit -Sn; ulimit -Hn", "70000\n321\n4000\n"
	ctx := t.Context()
	options := container.Options{TimerSlack: 70000, OpenFiles: &unix.Rlimit{Cur: 321, Max: 4000}}
	runtime, b, remove := scratchWith(options, "sh", "-c", tell+"; read line")
	defer remove()
	seen := filepath.Join(t.TempDir(), "seen")
	b.Config.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "{ " + tell + "; } >" + seen}}}}
	in, open, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer open.Close()
	say := func(start func(container.Streams) (*container.Process, error)) (p *container.Process) {
		t.Helper()
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		p, err = start(container.Streams{In: in, Out: w, Err: os.Stderr})
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
		text := make([]byte, len(want))
		if _, err := io.ReadFull(r, text); err != nil || string(text) != want {
			t.Errorf("the program has %q, %v; want %q", text, err, want)
		}
		return p
	}
	init := say(func(s container.Streams) (*container.Process, error) {
		return runtime.Run(ctx, container.Request{ID: "web", Bundle: b, Streams: s})
	})
	process := *b.Config.Process
	process.Args = []string{"sh", "-c", tell}
	other := say(func(s container.Streams) (*container.Process, error) {
		return runtime.Exec(ctx, "web", container.ExecRequest{Process: &process, Streams: s})
	})
	if _, err := other.Wait(ctx); err != nil {
		t.Error(err)
	}
	open.Close()
	if _, err := init.Wait(ctx); err != nil {
		t.Error(err)
	}
	if err := init.Delete(ctx); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(seen); err != nil || string(text) != want {
		t.Errorf("the hook has %q, %v; want %q", text, err, want)
	}
}
