package cgroup

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path"
	"strings"

	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/proc"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// A process may be started in a cgroup, or moved, only by who may write to the
// lowest cgroup above both where it comes from and where it goes. A login by
// ssh is in a scope that belongs to the system, and the container in one of the
// user's manager: above both is root's. Then the process of an exec waits until
// systemd, which may, has moved it. The container of a unit with Delegate=yes has
// no scope: there it is the unit that systemd moves the process to.

// CannotEnter reports whether this process cannot start one in the container's
// cgroup, while systemd can put one there.
func (c Cgroup) CannotEnter() bool {
	g := &c.State.Cgroup
	if g.Path == "" || os.Geteuid() == 0 && proc.InInitialUserNamespace() {
		return false
	}
	if unix.Access(g.Path, unix.F_OK) != nil {
		return false // there is nothing that systemd could move it to
	}
	own, err := live.OfProcess(0)
	if err != nil {
		return false
	}
	theirs, err := live.OfProcess(c.State.Pid)
	return err == nil && !mayMove(own, theirs, g.Path)
}

// mayMove reports whether this process may write to the lowest cgroup above both where
// it is and where init is, as /proc shows them. dir is the directory of init's cgroup,
// from which the mount point is known.
func mayMove(own, theirs, dir string) bool {
	mountPoint := strings.TrimSuffix(dir, strings.TrimSuffix(theirs, below(dir, theirs)))
	return unix.Access(path.Join(mountPoint, commonPath(own, theirs), "cgroup.procs"), unix.W_OK) == nil
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

// Enter has systemd move a process into the container's cgroup.
func (c Cgroup) Enter(ctx context.Context, target string, pid int) error {
	conn, err := c.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if scope := c.State.Cgroup.Scope; scope != "" {
		return conn.Attach(ctx, scope, strings.TrimPrefix(target, ScopeOf(&c.State.Cgroup)), uint32(pid))
	}
	unit, group, err := conn.UnitOf(ctx, uint32(c.State.Pid))
	if err != nil {
		return notManaged(err)
	}
	_, sub, _ := strings.Cut(target+"/", group+"/")
	return conn.Attach(ctx, unit, strings.TrimRight(sub, "/"), uint32(pid))
}

// notManaged is the error of a cgroup that is none of the user's own service manager.
func notManaged(err error) error {
	return &fault.Error{What: "the container's cgroup cannot be entered from this one", Why: err.Error(), Cause: err,
		Hint: "run it as a unit of your own service manager (systemctl --user), which lets you in from every login; this one is another manager's"}
}

// Target opens the cgroup for a process that joins the container: init's, or one
// below the container's. Somebody with the right to may have moved init out of the
// container's, and removed that.
func (c Cgroup) Target(under string) (*live.Dir, error) {
	dir, err := c.Open()
	if err != nil {
		if under == "" && errors.Is(err, unix.ENOENT) {
			return c.ofInit()
		}
		return nil, err
	}
	defer dir.Close()
	return dir.Sub(c.within(under))
}

// ofInit opens the cgroup that init is in.
func (c Cgroup) ofInit() (*live.Dir, error) {
	own, err := live.OfProcess(c.State.Pid)
	if err != nil {
		return nil, err
	}
	return c.Tree.Open(probe.CgroupMountPoint() + own)
}

// within is the path of an exec's cgroup below the container's. Init may
// have moved itself further down, to give controllers to cgroups of its own;
// then the container's cgroup takes no more processes (EBUSY).
func (c Cgroup) within(under string) string {
	if under != "" {
		return relative(under)
	}
	own, err := live.OfProcess(c.State.Pid)
	if err != nil {
		return "."
	}
	return relative(below(c.State.Cgroup.Path, own))
}

// below is what a process's path, as /proc shows it, has after that of
// the cgroup whose directory is dir; empty if it is not below.
func below(dir, own string) string {
	for at := own; len(at) > 1; at = path.Dir(at) {
		if strings.HasSuffix(dir, at) {
			return own[len(at):]
		}
	}
	return ""
}

func relative(p string) string { return cmp.Or(strings.TrimLeft(p, "/"), ".") }
