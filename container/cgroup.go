package container

import (
	"context"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/cgroup"
	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/launch"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// doOnCgroup does the actions on the container's cgroup.
func (s *starting) doOnCgroup(ctx context.Context, a plan.Action) (done bool, err error) {
	done, err = s.cgroup.Do(ctx, a)
	switch a.(type) {
	case action.MakeCgroup:
		if err == nil {
			err = s.setCgroup(s.cgroup.Descriptor())
		}
	case action.EnterScope:
		done, err = true, s.c.cgroup().Enter(ctx, s.target.Path(), s.launch.Init())
	}
	if err != nil && s.c.State.Pid != 0 && s.c.State.Init().Ending() {
		err = launch.ErrDied // and its scope went with it
	}
	return done, err
}

// setCgroup gives the stage the cgroup in which it makes its process.
func (s *starting) setCgroup(fd int, err error) error {
	if err == nil {
		s.launch.SetInput(compile.InputCgroup, fd)
	}
	return err
}

// resources are those of a config; nil when it has none.
func resources(s *specs.Spec) *specs.LinuxResources {
	if s.Linux == nil {
		return nil
	}
	return s.Linux.Resources
}

// cgroup is the container's cgroup.
func (c *Container) cgroup() cgroup.Cgroup { return cgroup.Cgroup{State: &c.State, Bus: c.bus} }

// closeBus closes the connection to the service manager that the start has left, for
// a program that ends at once. One that runs on is not worth a place at the bus, of
// which a user has some hundreds.
func (c *Container) closeBus() {
	if c.bus != nil {
		c.bus.Close()
		c.bus = nil
	}
}

// openCgroup opens the container's cgroup; nil when it has none. One that is gone
// is os.ErrNotExist.
func (c *Container) openCgroup() (*live.Dir, error) { return c.cgroup().Open() }
