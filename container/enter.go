package container

import (
	"context"
	"os"
	"path"
	"strings"

	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/proc"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// A process may be started in a cgroup, or moved, only by who may write to the
// lowest cgroup above both where it comes from and where it goes. A login by
// ssh is in a scope that belongs to the system, and the container in one of the
// user's manager: above both is root's. Then the process of an exec waits until
// systemd, which may, has moved it.

// cannotEnter tells whether this process cannot start one in the container's
// cgroup, while systemd can put one there.
func (c *Container) cannotEnter() bool {
	if c.State.Cgroup.Scope == "" || os.Geteuid() == 0 && proc.InInitialUserNamespace() {
		return false
	}
	if unix.Access(c.State.Cgroup.Path, unix.F_OK) != nil {
		return false // there is nothing that systemd could move it to
	}
	own, err := live.OfProcess(0)
	if err != nil {
		return false
	}
	// Both directories are below the same mount point.
	init, err := live.OfProcess(c.State.Pid)
	if err != nil {
		return false
	}
	further := belowCgroup(c.State.Cgroup.Path, init)
	mountPoint := strings.TrimSuffix(c.State.Cgroup.Path, strings.TrimSuffix(init, further))
	common := commonPath(own, init)
	return unix.Access(path.Join(mountPoint, common, "cgroup.procs"), unix.W_OK) != nil
}

// commonPath is the lowest directory at or above both.
func commonPath(a, b string) string {
	for at := a; len(at) > 1; at = path.Dir(at) {
		if at == b || strings.HasPrefix(b, at+"/") {
			return at
		}
	}
	return "/"
}

// enter has systemd move a process into the container's cgroup.
func (c *Container) enter(ctx context.Context, target string, pid int) error {
	conn, err := connectSystemd(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Attach(ctx, c.State.Cgroup.Scope, strings.TrimPrefix(target, scopeOf(target)), uint32(pid))
}
