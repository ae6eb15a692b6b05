package container

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/host"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// Hooks get the container's state on standard input and exactly their own
// environment: never the image's, whose LD_PRELOAD would run in a hook with the
// caller's rights (CVE-2025-23266). Those for the runtime's namespaces are
// ordinary processes. Those for the container's are started by a plan that
// joins them, so that there, too, no Go runs in the container.

// hookSet is one kind of hooks.
type hookSet struct {
	name   string
	list   []specs.Hook
	status string
	// inside runs them in the container's namespaces.
	inside bool
}

// createHooks runs what comes before the pivot.
func (c *Container) createHooks(ctx context.Context, b *bundle.Bundle) error {
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
	return c.runHooks(ctx, b, hookSet{name: "startContainer", list: b.Config.Hooks.StartContainer, status: Created, inside: true})
}

// poststart runs behind the program's start. crun and runc treat a failure as
// one of start, and end the container.
func (c *Container) poststart(ctx context.Context, b *bundle.Bundle) error {
	if b.Config.Hooks == nil {
		return nil
	}
	err := c.runHooks(ctx, b, hookSet{name: "poststart", list: b.Config.Hooks.Poststart, status: Running})
	if err != nil {
		return c.abandonStart(ctx, err)
	}
	return nil
}

// poststop runs when the container is gone. A failure is a warning, and all run.
func (c *Container) poststop(ctx context.Context, b *bundle.Bundle) {
	if b.Config.Hooks == nil {
		return
	}
	for i := range b.Config.Hooks.Poststop {
		set := hookSet{name: "poststop", list: b.Config.Hooks.Poststop[i : i+1], status: Stopped}
		if err := c.runHooks(ctx, b, set); err != nil {
			c.runtime.warn("%v", err)
		}
	}
}

// runHooks runs hooks one after the other, up to the first failure.
func (c *Container) runHooks(ctx context.Context, b *bundle.Bundle, set hookSet) error {
	if len(set.list) == 0 {
		return nil
	}
	state, err := json.Marshal(c.hookState(set.status))
	if err != nil {
		return err
	}
	for i := range set.list {
		if err := c.runHook(ctx, b, set, &set.list[i], state); err != nil {
			return fmt.Errorf("hook %s %s (hooks.%s[%d]): %w", set.name, set.list[i].Path, set.name, i, err)
		}
	}
	return nil
}

// hookState is the state that hooks read: runtime.md, "State".
func (c *Container) hookState(status string) specs.State {
	s := specs.State{Version: c.State.OCIVersion, ID: c.ID, Status: specs.ContainerState(status), Pid: c.State.Pid,
		Bundle: c.State.Bundle, Annotations: c.State.Annotations}
	if status == Stopped {
		s.Pid = 0
	}
	return s
}

// runHook runs one hook and gives its last words with its failure.
func (c *Container) runHook(ctx context.Context, b *bundle.Bundle, set hookSet, h *specs.Hook, state []byte) error {
	if h.Timeout != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*h.Timeout)*time.Second)
		defer cancel()
	}
	var words bytes.Buffer
	var err error
	if set.inside {
		err = c.insideHook(ctx, b, h, state, &words)
	} else {
		err = outsideHook(ctx, b.Dir, h, state, &words)
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("killed after its timeout of %d s", *h.Timeout)
	}
	if text := lastWords(words.String()); err != nil && text != "" {
		return fmt.Errorf("%w: %s", err, text)
	}
	return err
}

// lastWords is what a hook wrote to standard error, in one line of bounded
// length.
func lastWords(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 500 {
		s = "..." + s[len(s)-500:]
	}
	return s
}

// outsideHook runs a hook in the runtime's namespaces, in the bundle.
func outsideHook(ctx context.Context, dir string, h *specs.Hook, state []byte, words *bytes.Buffer) error {
	cmd := exec.CommandContext(ctx, h.Path)
	if len(h.Args) > 0 {
		cmd.Args = h.Args
	}
	cmd.Env, cmd.Dir, cmd.Stdin, cmd.Stderr = h.Env, dir, bytes.NewReader(state), words
	if cmd.Env == nil {
		cmd.Env = []string{} // nil would give it ours
	}
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if errors.Is(err, unix.EPIPE) {
		return nil // it need not read its input
	}
	return err
}

// insideHook runs a hook in the container's namespaces. The path of
// createContainer's is resolved in the runtime's file system, which before the
// pivot is still the root there; startContainer's in the container's.
func (c *Container) insideHook(ctx context.Context, b *bundle.Bundle, h *specs.Hook, state []byte, words *bytes.Buffer) error {
	args := h.Args
	if len(args) == 0 {
		args = []string{h.Path}
	}
	process := &specs.Process{Args: args, Env: h.Env, Cwd: "/"}
	p, err := c.join(compile.Join{Process: process, Path: h.Path, Namespaces: c.State.Namespaces, Hook: true}, &host.Facts{})
	if err != nil {
		return err
	}
	defer p.closeInputs()
	return p.runPiped(ctx, state, words)
}
