package container

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"syscall"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plain"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Theory of operation
//
// A hook gets the container's state on standard input, and exactly the
// environment that it lists. One that lists none gets the environment of whom it
// acts for, as with runc and crun: a hook of the host that of this process, a
// hook of the image that of the program. Never has a hook with the caller's
// rights what an image says: its LD_PRELOAD would be code of the image with
// those rights (CVE-2025-23266).
//
// Hooks for the runtime's namespaces are ordinary processes, in the bundle. Those
// for the container's are started by a plan that joins them, so that there, too,
// no Go runs in the container. Of these createContainer's are files of the host
// and act as the caller. startContainer's are files of the image: they are as
// confined as the program, in its working directory.

// hookSet is one kind of hooks.
type hookSet struct {
	name   string
	list   []specs.Hook
	status string
	// inside runs them in the container's namespaces; asProgram with no more
	// rights than its program has.
	inside, asProgram bool
}

// createHooks runs what comes before the pivot. Whatever fails from now on, the
// last hooks run too.
func (c *Container) createHooks(ctx context.Context, b *bundle.Bundle) error {
	c.hooked = b
	h := b.Config.Hooks
	if h == nil {
		return nil
	}
	for _, set := range []hookSet{
		{name: "prestart", list: h.Prestart, status: Creating}, //nolint:staticcheck // deprecated, and still what callers write
		{name: "createRuntime", list: h.CreateRuntime, status: Creating},
		{name: "createContainer", list: h.CreateContainer, status: Creating, inside: true},
	} {
		if err := c.runHooks(ctx, b, set); err != nil {
			return err
		}
	}
	return nil
}

func (c *Container) startContainerHooks(ctx context.Context, b *bundle.Bundle) error {
	if b.Config.Hooks == nil {
		return nil
	}
	return c.runHooks(ctx, b, hookSet{name: "startContainer", list: b.Config.Hooks.StartContainer, status: Created, inside: true, asProgram: true})
}

// poststart runs after the program's start.
func (c *Container) poststart(ctx context.Context, b *bundle.Bundle) error {
	if b.Config.Hooks == nil {
		return nil
	}
	return c.runHooks(ctx, b, hookSet{name: "poststart", list: b.Config.Hooks.Poststart, status: Running})
}

// poststop runs when the container is gone. A failure is a warning, and all run.
func (c *Container) poststop(ctx context.Context, b *bundle.Bundle) {
	if b.Config.Hooks == nil {
		return
	}
	set := hookSet{name: "poststop", list: b.Config.Hooks.Poststop, status: Stopped}
	for i := range set.list {
		if err := c.runHook(ctx, b, set, i); err != nil {
			c.runtime.warn("%v", err)
		}
	}
}

// runHooks runs hooks one after the other, up to the first failure.
func (c *Container) runHooks(ctx context.Context, b *bundle.Bundle, set hookSet) error {
	for i := range set.list {
		if err := c.runHook(ctx, b, set, i); err != nil {
			return err
		}
	}
	return nil
}

// hookError is the failure of a hook: runtime.md, "Lifecycle", ends the
// container for it, and runs the last hooks.
type hookError struct {
	kind, path string
	index      int
	err        error
}

func (e *hookError) Error() string {
	return fmt.Sprintf("hook %s %s (hooks.%s[%d]): %v", e.kind, plain.Text(e.path), e.kind, e.index, e.err)
}

func (e *hookError) Unwrap() error { return e.err }

// runHook runs one hook of a set.
func (c *Container) runHook(ctx context.Context, b *bundle.Bundle, set hookSet, i int) error {
	state, err := json.Marshal(c.hookState(set))
	if err == nil {
		err = c.timedHook(ctx, b, set, &set.list[i], state)
	}
	if err != nil {
		return &hookError{set.name, set.list[i].Path, i, err}
	}
	return nil
}

// hookState is the state that hooks read: runtime.md, "State".
func (c *Container) hookState(set hookSet) specs.State {
	s := specs.State{Version: c.State.OCIVersion, ID: c.ID, Status: specs.ContainerState(set.status), Pid: c.State.Pid,
		Bundle: c.State.Bundle, Annotations: c.State.Annotations}
	switch {
	case set.status == Stopped:
		s.Pid = 0
	case set.inside:
		s.Pid = insidePID(s.Pid)
	}
	return s
}

// timedHook runs a hook, for as long as it may take at most.
func (c *Container) timedHook(ctx context.Context, b *bundle.Bundle, set hookSet, h *specs.Hook, state []byte) error {
	limited := ctx
	if h.Timeout != nil {
		seconds := min(*h.Timeout, int(math.MaxInt64/time.Second))
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
		defer cancel()
	}
	t, err := newTalk(state, b)
	if err != nil {
		return err
	}
	defer t.close()
	pid, err := c.startHook(limited, b, set, h, t)
	if err == nil {
		err = t.attend(limited, pid)
	}
	switch {
	case err == nil:
		return nil // also when its time has run out since
	case ctx.Err() != nil:
		return ctx.Err()
	case limited.Err() != nil:
		return fmt.Errorf("killed after its timeout of %d s", *h.Timeout)
	}
	return t.withWords(err)
}

// startHook starts a hook's process.
func (c *Container) startHook(ctx context.Context, b *bundle.Bundle, set hookSet, h *specs.Hook, t *talk) (pid int, err error) {
	if !set.inside {
		return outsideHook(b.Dir, h, t.stdio())
	}
	l, err := c.insideHook(b, set, h, t.stdio())
	if err != nil {
		return 0, err
	}
	defer l.closeInputs()
	return l.start(ctx)
}

// outsideHook starts a hook in the runtime's namespaces, in the bundle.
func outsideHook(dir string, h *specs.Hook, stdio [3]int) (pid int, err error) {
	args, env := h.Args, h.Env
	if len(args) == 0 {
		args = []string{h.Path}
	}
	if env == nil {
		env = os.Environ()
	}
	pid, err = syscall.ForkExec(h.Path, args, &syscall.ProcAttr{Dir: dir, Env: env,
		Files: []uintptr{uintptr(stdio[0]), uintptr(stdio[1]), uintptr(stdio[2])}})
	if err != nil && !isDirectory(dir) {
		return 0, fmt.Errorf("enter the bundle %s: %w", dir, err)
	}
	return pid, err
}

// insideHook prepares a hook in the container's namespaces. The path of
// createContainer's is resolved in the runtime's file system, which before the
// pivot is still the root there; startContainer's in the container's.
func (c *Container) insideHook(b *bundle.Bundle, set hookSet, h *specs.Hook, stdio [3]int) (*launch, error) {
	if !set.asProgram {
		l, err := c.join(compile.Join{Process: &specs.Process{Env: os.Environ(), Cwd: b.Dir}, Hook: h, AsCaller: true,
			Namespaces: c.State.Namespaces}, &host.Facts{})
		if err == nil {
			l.stdio = stdio
		}
		return l, err
	}
	p := *b.Config.Process
	p.Terminal = false
	l, err := c.joinAsProgram(b, compile.Join{Process: &p, Hook: h, ID: c.ID}, stdio, Created)
	if err != nil {
		return nil, err
	}
	if err := c.execCgroup(l, ""); err != nil {
		l.closeInputs()
		return nil, err
	}
	return l, nil
}
