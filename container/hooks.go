package container

import (
	"context"
	"os"
	"slices"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/hook"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/proc"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// Package hook runs a hook; here is by whom, and where. It gets exactly the
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

// runHook runs one hook.
func (s *starting) runHook(ctx context.Context, a action.RunHook) error {
	s.c.hooked = s.bundle
	return s.c.runHook(ctx, s.bundle, a)
}

// poststop runs when the container is gone. A failure is a warning, and all run.
func (c *Container) poststop(ctx context.Context, b *bundle.Bundle) {
	if b.Config.Hooks == nil {
		return
	}
	for i, h := range b.Config.Hooks.Poststop {
		if err := c.runHook(ctx, b, action.RunHook{Kind: "poststop", Index: i, Path: h.Path, Status: Stopped}); err != nil {
			c.runtime.warn("%v", err)
		}
	}
}

// runHook runs one hook.
func (c *Container) runHook(ctx context.Context, b *bundle.Bundle, a action.RunHook) error {
	h := &hook.Hook{Action: a, Config: hookOf(b, a), State: c.hookState(a), Bundle: b.Dir, Annotations: b.Config.Annotations}
	return h.Run(ctx, func(ctx context.Context, stdio [3]int) (pid int, err error) {
		return c.startHook(ctx, b, a, stdio)
	})
}

// hookState is the state that hooks read: runtime.md, "State".
func (c *Container) hookState(a action.RunHook) specs.State {
	s := specs.State{Version: c.State.OCIVersion, ID: c.ID, Status: specs.ContainerState(a.Status), Pid: c.State.Pid,
		Bundle: c.State.Bundle, Annotations: c.State.Annotations}
	switch {
	case a.Status == Stopped:
		s.Pid = 0
	case a.Inside:
		s.Pid = proc.Innermost(s.Pid)
	}
	return s
}

// startHook starts a hook's process.
func (c *Container) startHook(ctx context.Context, b *bundle.Bundle, a action.RunHook, stdio [3]int) (pid int, err error) {
	prepare := c.callersHook
	if a.AsProgram {
		prepare = c.imagesHook
	}
	s, err := prepare(ctx, b, a, stdio)
	if err != nil {
		return 0, err
	}
	defer s.close()
	err = s.launch.Run(ctx)
	return s.launch.Init(), err
}

// callersHook prepares a hook with the caller's rights, in the runtime's
// namespaces or in the container's. The path is resolved in the runtime's file
// system, which before the pivot is still the root in the container.
func (c *Container) callersHook(_ context.Context, b *bundle.Bundle, a action.RunHook, stdio [3]int) (*starting, error) {
	facts := &host.Facts{Process: host.Process{IgnoredSignals: probe.IgnoredSignals(), TimerSlack: c.runtime.options.TimerSlack}}
	j := compile.Join{ContainerID: c.ID, Process: &specs.Process{Env: os.Environ(), Cwd: b.Dir}, Hook: hookOf(b, a), AsCaller: true}
	if a.Inside {
		j.Namespaces = c.callersNamespaces(b.Config)
	}
	return c.join(b, j, facts, stdio)
}

func hookOf(b *bundle.Bundle, a action.RunHook) *specs.Hook {
	return &hook.List(b.Config.Hooks, a.Kind)[a.Index]
}

// callersNamespaces are those that a hook with the caller's rights joins. A user
// namespace that config.json names by path has others in it, and their root may
// trace the hook and act as the caller: user_namespaces(7), "Capabilities". So
// the hook stays out of that one, for which the caller must be root.
func (c *Container) callersNamespaces(s *specs.Spec) int {
	if s.Linux != nil && slices.ContainsFunc(s.Linux.Namespaces, func(ns specs.LinuxNamespace) bool {
		return ns.Type == specs.UserNamespace && ns.Path != ""
	}) {
		return c.State.Namespaces &^ unix.CLONE_NEWUSER
	}
	return c.State.Namespaces
}

// imagesHook prepares a hook whose path is resolved in the container.
func (c *Container) imagesHook(ctx context.Context, b *bundle.Bundle, a action.RunHook, stdio [3]int) (*starting, error) {
	p := *b.Config.Process
	p.Terminal = false
	s, err := c.joinAsProgram(ctx, b, compile.Join{Process: &p, Hook: hookOf(b, a)}, stdio, Created)
	if err != nil {
		return nil, err
	}
	if err := s.execCgroup("", false); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}
