package container

import (
	"context"
	"errors"
	"fmt"

	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/launch"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// AddMounts makes mounts in a container that runs, in their order, as
// config.json describes them; missing destinations are made. Sources are the
// host's, opened with the caller's rights. When one fails, those before it
// stay.
func (r *Runtime) AddMounts(ctx context.Context, id string, list []specs.Mount) error {
	return r.changeMounts(ctx, id, compile.Mounts{List: list})
}

// RemoveMounts unmounts the topmost mount at each destination of the list, the
// last first, also where it is in use.
func (r *Runtime) RemoveMounts(ctx context.Context, id string, list []specs.Mount) error {
	return r.changeMounts(ctx, id, compile.Mounts{List: list, Remove: true})
}

func (r *Runtime) changeMounts(ctx context.Context, id string, m compile.Mounts) error {
	c, err := r.Open(ctx, id)
	if err != nil {
		return err
	}
	defer c.Close()
	status, err := c.Status()
	if err != nil {
		return err
	}
	if status == Stopped || status == Creating {
		return fmt.Errorf("the container is %s: %w", status, ErrNotRunning)
	}
	m.ContainerID = c.ID
	m.BundleDir, m.Namespaces, m.Chroot = c.State.Bundle, c.State.Namespaces, c.State.Chroot
	if m.Namespaces&unix.CLONE_NEWNS == 0 {
		return errors.New("the container has no mount namespace of its own, so it would change the host's mounts")
	}
	b, err := c.bundle()
	if err != nil {
		return err
	}
	m.Spec = b.Config
	facts, err := mountFacts(ctx, m)
	if err != nil {
		return err
	}
	result, err := compile.CompileMounts(m, facts)
	if err != nil {
		return err
	}
	return c.runMounts(ctx, result, facts)
}

// mountFacts measures what the plan depends on.
func mountFacts(ctx context.Context, m compile.Mounts) (*host.Facts, error) {
	p, err := probe.New([3]int{0, 1, 2})
	if err != nil {
		return nil, err
	}
	needs, err := compile.MountsNeeds(m, p.Facts)
	if err == nil {
		err = p.Measure(ctx, &needs)
	}
	return p.Facts, err
}

// runMounts runs the plan to its end.
func (c *Container) runMounts(ctx context.Context, result *compile.Result, facts *host.Facts) error {
	s := c.joining(nil, launch.Options{Result: result, Facts: facts, Stdio: [3]int{0, 1, 2}})
	defer s.close()
	if err := s.openContainer(c.State.Namespaces, c.State.Chroot); err != nil {
		return err
	}
	if err := s.launch.Run(ctx); err != nil {
		return err
	}
	p := &Process{Pid: s.launch.Init(), pidfd: s.launch.TakePidfd()}
	status, err := p.Wait(ctx)
	if err != nil && ctx.Err() != nil { // which a file system may keep from ending
		p.Signal(unix.SIGKILL)
		_, _ = p.Wait(context.WithoutCancel(ctx))
	}
	if err == nil && status != 0 {
		err = fmt.Errorf("the process that changes mounts ended with status %d", status)
	}
	return err
}
