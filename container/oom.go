package container

import (
	"context"
	"errors"

	"github.com/homerun-oci/homerun/cgroup"
	"github.com/homerun-oci/homerun/cgroupv2/oom"
	"github.com/homerun-oci/homerun/launch"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// watchOOM begins to count whom the kernel kills for memory.
func (c *Container) watchOOM() *oom.Watch {
	g := &c.State.Cgroup
	return oom.New(cgroup.Whole(g), g.Scope != "", g.OOMKills)
}

// oomKills counts the processes of the container that the kernel killed for
// memory, as far as it is known.
func (c *Container) oomKills() uint64 {
	w := c.watchOOM()
	w.Close()
	return w.Kills
}

// keepOOMKills writes the count to state.json when there is something to tell.
// The container may be gone.
func (c *Container) keepOOMKills(ctx context.Context, n uint64) {
	if n == c.State.Cgroup.OOMKills {
		return
	}
	c.State.Cgroup.OOMKills = n
	now, err := c.runtime.Open(ctx, c.ID)
	if err != nil {
		return
	}
	defer now.Close()
	if now.State.Init() != c.State.Init() {
		return
	}
	now.State.Cgroup.OOMKills = n
	if err := now.save(); err != nil {
		c.runtime.warn("%v", err)
	}
}

// explainOOM recognizes a start that failed for want of memory.
func (c *Container) explainOOM(err error, s *specs.Spec) error {
	res := resources(s)
	if err == nil || res == nil || res.Memory == nil || res.Memory.Limit == nil || *res.Memory.Limit < 0 {
		return err
	}
	return oom.Explain(err, *res.Memory.Limit, c.oomKills(), errors.Is(err, launch.ErrDied))
}
