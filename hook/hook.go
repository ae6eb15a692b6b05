// Package hook runs the hooks of config.json: runtime.md, "Lifecycle", and config.md,
// "POSIX-platform Hooks".
//
// # Theory of operation
//
// A hook gets the container's state on standard input. Its exit status decides, and
// what it says on standard error explains; with crun's annotations its output is
// appended to files instead, and the failure names the file. It is killed when its
// timeout has passed, and when the caller's context ends, and which of these it was
// the error says. A process that it leaves behind is nobody's concern (package talk).
//
// Who starts its process, with which rights and in which namespaces, is the caller's:
// see Start.
package hook

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/plain"
	"github.com/homerun-oci/homerun/proc/talk"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Start starts a hook's process, a child of this one, with these standard streams,
// and returns its id. It is given up when ctx ends.
type Start func(ctx context.Context, stdio [3]int) (pid int, err error)

// Hook is one hook, and what it is told.
type Hook struct {
	// Action says which it is.
	Action action.RunHook
	// Config is what config.json says of it.
	Config *specs.Hook
	// State is what it reads.
	State specs.State
	// Bundle is the directory from which the names of its output files count, which
	// Annotations have.
	Bundle      string
	Annotations map[string]string
}

// Annotations that name a file, which counts from the bundle, to append hooks'
// output to, as crun has them.
const (
	Stdout = "run.oci.hooks.stdout"
	Stderr = "run.oci.hooks.stderr"
)

// List are the hooks of a kind: prestart, createRuntime and so on.
func List(h *specs.Hooks, kind string) []specs.Hook {
	switch kind {
	case "prestart":
		return h.Prestart //nolint:staticcheck // deprecated, and still what callers write
	case "createRuntime":
		return h.CreateRuntime
	case "createContainer":
		return h.CreateContainer
	case "startContainer":
		return h.StartContainer
	case "poststart":
		return h.Poststart
	}
	return h.Poststop
}

// Code is the code of the failure of a hook: runtime.md, "Lifecycle", ends the
// container for it, and runs the last hooks.
const Code = "E_HOOK"

// Failed reports whether an error is, or has in it, that of a hook.
func Failed(err error) bool {
	for e := range fault.All(err) {
		if e.Code == Code {
			return true
		}
	}
	return false
}

// Run runs the hook, and returns when it has ended. The error is a *fault.Error with
// that code.
func (h *Hook) Run(ctx context.Context, start Start) error {
	state, err := json.Marshal(h.State)
	if err == nil {
		err = h.timed(ctx, state, start)
	}
	if err != nil {
		a := &h.Action
		return &fault.Error{What: "hook " + a.Kind + " " + plain.Text(a.Path), Place: a.Pointer(),
			Why: err.Error(), Cause: err, Code: Code}
	}
	return nil
}

// timed runs the hook, for as long as it may take at most.
func (h *Hook) timed(ctx context.Context, state []byte, start Start) error {
	limited := ctx
	if h.Config.Timeout != nil {
		seconds := min(*h.Config.Timeout, int(math.MaxInt64/time.Second))
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
		defer cancel()
	}
	t, file, err := h.talk(state)
	if err != nil {
		return err
	}
	defer t.Close()
	pid, err := start(limited, t.Stdio())
	if err == nil {
		err = t.Attend(limited, pid)
	}
	switch {
	case err == nil:
		return nil // also when its time has run out since
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		return fmt.Errorf("killed after its timeout of %d s", *h.Config.Timeout)
	case file != "":
		return fmt.Errorf("%w (what it said is in %s)", err, plain.Text(file))
	}
	if text := t.Words(); text != "" {
		return fmt.Errorf("%w: %s", err, text)
	}
	return err
}

// talk makes the hook's standard streams. file is what its standard error goes to, if
// that is a file.
func (h *Hook) talk(state []byte) (t *talk.Talk, file string, err error) {
	stdout, _, err := h.output(Stdout)
	if err != nil {
		return nil, "", err
	}
	stderr, file, err := h.output(Stderr)
	if err != nil {
		if stdout >= 0 {
			unix.Close(stdout)
		}
		return nil, "", err
	}
	t, err = talk.New(state, stdout, stderr)
	return t, file, err
}

// output opens the file that an annotation names; -1 without one. A FIFO that
// nobody reads is an error, and not a reason to wait.
func (h *Hook) output(annotation string) (fd int, name string, err error) {
	name = h.Annotations[annotation]
	if name == "" {
		return -1, "", nil
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(h.Bundle, name)
	}
	fd, err = unix.Open(name, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err == nil {
		err = unix.SetNonblock(fd, false)
	}
	if err != nil {
		return -1, name, fmt.Errorf("open its output %s (annotations[%s]): %w", plain.Text(name), annotation, err)
	}
	return fd, name, nil
}
