package netns

import (
	"fmt"
	"net/netip"
)

// Connection is how one container is connected to the network.
type Connection struct {
	Network Network
	// Explicit: a network that cannot be had is an error. Without it the container
	// runs without one, and a note says why.
	Explicit bool
	// Notes has the driver's choice said.
	Notes bool
	Ports []Forward
	DNS   []netip.Addr
	Hosts []HostEntry
}

// Check refuses what does not fit together.
func (c *Connection) Check() error {
	if len(c.Ports) > 0 && !c.Network.NeedsHelper() {
		return fmt.Errorf("ports cannot be published with --net %s", c.Network.Mode)
	}
	if err := CheckForwards(c.Ports); err != nil {
		return err
	}
	return CheckDNS(c.Network, c.DNS)
}

// Shared reports whether the container is in a network namespace that others
// have set up, where the host's files are right.
func (c *Connection) Shared() bool { return c.Network.Mode == Host || c.Network.Mode == Join }

// Files lists the files that a container gets for its network.
func Files() []string { return []string{"/etc/hosts", "/etc/resolv.conf"} }
