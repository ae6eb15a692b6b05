package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/host/probe"
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
// Each is started by a plan, so that it has no open descriptors but its streams,
// nothing of the caller's own signal mask, and no Go in the container. Hooks for
// the runtime's namespaces join nothing, and run in the bundle. Of those for the
// container's, createContainer's are files of the host and act as the caller.
// startContainer's are files of the image: they are as confined as the program,
// in its working directory.

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
	prepare := c.callersHook
	if set.asProgram {
		prepare = c.imagesHook
	}
	l, err := prepare(b, set, h, t.stdio())
	if err != nil {
		return 0, err
	}
	defer l.closeInputs()
	pid, err = l.start(ctx)
	return pid, plainly(err)
}

// plainly says why a hook did not start; which one it is is said elsewhere.
func plainly(err error) error {
	var e *compile.StepError
	switch {
	case !errors.As(err, &e) || e.Pointer != "hooks" || e.Errno == 0:
		return err
	case strings.HasPrefix(e.What, "exec "):
		return e.Errno
	}
	return fmt.Errorf("%s: %w", e.What, e.Errno)
}

// callersHook prepares a hook with the caller's rights, in the runtime's
// namespaces or in the container's. The path is resolved in the runtime's file
// system, which before the pivot is still the root in the container.
func (c *Container) callersHook(b *bundle.Bundle, set hookSet, h *specs.Hook, stdio [3]int) (*launch, error) {
	facts := &host.Facts{Process: host.Process{IgnoredSignals: probe.IgnoredSignals()}}
	j := compile.Join{Process: &specs.Process{Env: os.Environ(), Cwd: b.Dir}, Hook: h, AsCaller: true}
	if set.inside {
		j.Namespaces = c.State.Namespaces
	}
	l, err := c.join(j, facts)
	if err == nil {
		l.stdio = stdio
	}
	return l, err
}

// imagesHook prepares a hook whose path is resolved in the container.
func (c *Container) imagesHook(b *bundle.Bundle, _ hookSet, h *specs.Hook, stdio [3]int) (*launch, error) {
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
