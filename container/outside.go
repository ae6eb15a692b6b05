package container

import (
	"context"
	"fmt"
	"strconv"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/intelrdt"
	"github.com/homerun-oci/homerun/intelrdt/live"
	"github.com/homerun-oci/homerun/netns/device/rtnetlink"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// moveDevices gives the container devices of the host: config-linux.md,
// "Network Devices". The kernel gives physical ones back when the namespace
// ends.
func (s *starting) moveDevices(a action.MoveDevices) error {
	namespace, err := unix.Open("/proc/"+strconv.Itoa(s.c.State.Pid)+"/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		e := a.List[0].Failed("open the container's network namespace", err)
		e.Hint = "only root can give a container devices of the host"
		return e
	}
	defer unix.Close(namespace)
	return rtnetlink.Move(a.List, namespace)
}

// classToBeMade is what undoes a class that is to be made.
func classToBeMade(a action.JoinClass) action.LeaveClass {
	return action.LeaveClass(live.Missing(a.Plan, a.Root))
}

// leaveClass removes what was made of a class.
func leaveClass(u action.LeaveClass) error { return live.Created(u).Remove() }

// joinClass puts init into its class of the resctrl file system. What that was to
// make is recorded; what it has made is recorded in its place: a class that others
// made meanwhile is theirs.
func (c *Container) joinClass(a action.JoinClass) error {
	made, err := live.Apply(a.Plan, a.Root, c.State.Pid)
	if err != nil {
		return err
	}
	for i, u := range c.State.Undo {
		if _, ok := u.(action.LeaveClass); ok {
			c.State.Undo[i] = action.LeaveClass(made)
		}
	}
	return c.save()
}

// UpdateClass gives the container's class of resctrl other schemata. Lines that
// it does not name stay as they are. A class that was there before the container
// belongs to others too, and a container without linux.intelRdt is in theirs:
// both are an error.
func (r *Runtime) UpdateClass(ctx context.Context, id string, rdt *specs.LinuxIntelRdt) error {
	c, err := r.openUpdatable(ctx, id)
	if err != nil {
		return err
	}
	defer c.Close()
	plan, err := intelrdt.New(rdt, c.ID)
	if err != nil {
		return err
	}
	var made live.Created
	for _, u := range c.State.Undo {
		if class, ok := u.(action.LeaveClass); ok {
			made = live.Created(class)
		}
	}
	if err := made.Change(plan.Schemata); err != nil {
		return fmt.Errorf("set the schemata of linux.intelRdt: %w", err)
	}
	return nil
}
