package container

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/intelrdt"
	"github.com/homerun-oci/homerun/intelrdt/live"
	"github.com/homerun-oci/homerun/netns/device"
	"github.com/homerun-oci/homerun/netns/device/rtnetlink"
	"github.com/homerun-oci/homerun/store"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// moveDevices gives the container devices of the host: config-linux.md,
// "Network Devices". The kernel gives physical ones back when the namespace
// ends.
func (s *starting) moveDevices(a action.MoveDevices) error {
	namespace, err := unix.Open("/proc/"+strconv.Itoa(s.c.State.Pid)+"/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		host := a.List[0].Host
		return &device.Error{Pointer: "linux.netDevices." + host, What: "move the network device " + host,
			Why: "open the container's network namespace: " + err.Error(), Err: err, Hint: "only root can give a container devices of the host"}
	}
	defer unix.Close(namespace)
	return rtnetlink.Move(a.List, namespace)
}

// joinClass puts init into its class of the resctrl file system. What that makes
// is recorded before, and then as it was made: a class that others made meanwhile
// is theirs.
func (c *Container) joinClass(root string, plan *intelrdt.Plan, pid int) error {
	before := len(c.State.Undo)
	if err := c.recordClass(before, live.Missing(plan, root)); err != nil {
		return err
	}
	made, err := live.Apply(plan, root, pid)
	if err != nil {
		return err
	}
	return c.recordClass(before, made)
}

// recordClass writes what is made of a class into the state, in place of the
// entries from before on.
func (c *Container) recordClass(before int, made live.Created) error {
	text, err := json.Marshal(made)
	if err != nil {
		return err
	}
	c.State.Undo = c.State.Undo[:before]
	return c.willUndo(store.Undo{Kind: store.UndoClass, Name: string(text)})
}

// leaveClass removes what joinClass made.
func leaveClass(text string) error {
	made, err := classOf(text)
	if err != nil {
		return err
	}
	return made.Remove()
}

func classOf(text string) (made live.Created, err error) {
	if err := json.Unmarshal([]byte(text), &made); err != nil {
		return made, fmt.Errorf("state.json lists the resource class %q to undo: %w", text, err)
	}
	return made, nil
}

// UpdateClass gives the container's class of resctrl other schemata. Lines that
// it does not name stay as they are. A class that was there before the container
// belongs to others too, and a container without linux.intelRdt is in theirs:
// both are an error.
func (r *Runtime) UpdateClass(id string, rdt *specs.LinuxIntelRdt) error {
	c, err := r.openUpdatable(id)
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
		if u.Kind == store.UndoClass {
			if made, err = classOf(u.Name); err != nil {
				return err
			}
		}
	}
	if err := made.Change(plan.Schemata); err != nil {
		return fmt.Errorf("set the schemata of linux.intelRdt: %w", err)
	}
	return nil
}
