package container

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/store"
)

// Inspection is all that is known of a container: what `inspect` prints.
type Inspection struct {
	OCIState
	// Directory is where its state is kept.
	Directory string `json:"directory"`
	// Command is the program with its arguments.
	Command []string `json:"command,omitempty"`
	// CgroupManager made the cgroup; Limits are that cgroup's files, as the kernel
	// has them now, while it is there.
	CgroupManager string            `json:"cgroupManager,omitempty"`
	CgroupPath    string            `json:"cgroupPath,omitempty"`
	Limits        map[string]string `json:"limits,omitempty"`
	// UIDMap and GIDMap are those of init while it lives.
	UIDMap []host.Mapping `json:"uidMap,omitempty"`
	GIDMap []host.Mapping `json:"gidMap,omitempty"`
	// Ports are published now.
	Ports []netns.Published `json:"ports,omitempty"`
	// Config is the config.json that the container was made from.
	Config json.RawMessage `json:"config,omitempty"`
}

// portLimit is how long the network's helper may take to say what it publishes.
const portLimit = 2 * time.Second

// Inspect looks at all there is of a container. What cannot be seen of it is left out.
func (c *Container) Inspect(ctx context.Context) (i Inspection, err error) {
	if i.OCIState, err = c.OCIState(); err != nil {
		return i, err
	}
	s := &c.State
	i.Directory, i.Command, i.CgroupManager, i.CgroupPath = c.dir.Path(), c.Command(), s.Cgroup.Manager, s.Cgroup.Path
	if text, err := c.dir.ReadFile(store.ConfigFile); err == nil && json.Valid(text) {
		i.Config = text
	}
	if dir, err := c.openCgroup(); err == nil && dir != nil {
		i.Limits = dir.Limits()
		dir.Close()
	}
	if i.Pid != 0 {
		proc := "/proc/" + strconv.Itoa(i.Pid)
		i.UIDMap, _ = probe.IDMap(proc + "/uid_map")
		i.GIDMap, _ = probe.IDMap(proc + "/gid_map")
		ctx, cancel := context.WithTimeout(ctx, portLimit)
		defer cancel()
		i.Ports, _ = c.Ports(ctx)
	}
	return i, nil
}

// Command is the program of config.json with its arguments; nil where that has none or
// cannot be read.
func (c *Container) Command() []string {
	b, err := c.bundle()
	if err != nil || b.Config.Process == nil {
		return nil
	}
	return b.Config.Process.Args
}
