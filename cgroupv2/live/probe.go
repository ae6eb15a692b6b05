package live

import (
	"fmt"
	"path"
	"strings"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/host"
	"golang.org/x/sys/unix"
)

// ProbeDelegation looks which cgroups around the runtime's own the caller may
// use. It writes nothing. On a host without unified cgroup v2 it is empty; the
// caller does not call it for --cgroup-manager=disabled.
func ProbeDelegation(c host.Cgroup) cgroupv2.Delegation {
	var found cgroupv2.Delegation
	if !c.Unified {
		return found
	}
	own := path.Clean("/" + c.Path)
	if unit(c.MountPoint, own) {
		found.Unit, found.Top = own, own
	}
	ancestors(&found, c.MountPoint, own)
	if found.Unit == "" {
		found.Maybe = ownUnit(c.MountPoint, own)
	}
	if own == "/" && found.Unit == "" && writable(c.MountPoint) {
		found.Writable, found.Top = "/", "/"
	}
	return found
}

// ancestors walks up as long as the caller may write.
func ancestors(found *cgroupv2.Delegation, mountPoint, own string) {
	for at := own; at != "/"; {
		at = path.Dir(at)
		if !writable(path.Join(mountPoint, at)) {
			break
		}
		if at == path.Dir(own) && found.Unit == "" && !isUnit(own) && delegated(path.Join(mountPoint, at)) {
			found.Unit = at
		}
		if found.Writable == "" {
			found.Writable = at
		}
		found.Top = at
	}
}

// ownUnit is the service or scope that own is, or is a part of, when the caller may
// write there.
func ownUnit(mountPoint, own string) string {
	if !isUnit(own) {
		own = path.Dir(own)
	}
	if (strings.HasSuffix(own, ".service") || strings.HasSuffix(own, ".scope")) && writable(path.Join(mountPoint, own)) {
		return own
	}
	return ""
}

// unit is true when own is a unit that was delegated, or the root of a cgroup
// namespace. The root of the whole tree, which has no cgroup.events, may hold
// processes and children with controllers at the same time.
func unit(mountPoint, own string) bool {
	dir := path.Join(mountPoint, own)
	if !writable(dir) {
		return false
	}
	if own == "/" {
		return unix.Access(path.Join(dir, "cgroup.events"), unix.F_OK) == nil
	}
	return delegated(dir)
}

// isUnit tells a unit's cgroup from one that a unit made below itself (as
// DelegateSubgroup= does).
func isUnit(name string) bool {
	return strings.HasSuffix(name, ".scope") || strings.HasSuffix(name, ".service") || strings.HasSuffix(name, ".slice")
}

// delegated looks for the mark that root's systemd leaves on a cgroup with
// Delegate=yes (core/cgroup.c, cgroup_xattr_apply: trusted.delegate, readable
// by root, and since version 251 user.delegate). A user manager leaves none.
func delegated(dir string) bool {
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		mark := make([]byte, 8)
		if n, err := unix.Getxattr(dir, name, mark); err == nil && n == 1 && mark[0] == '1' {
			return true
		}
	}
	return false
}

// writable: making a child takes the directory, starting a process in it
// cgroup.procs of the common ancestor, limiting it cgroup.subtree_control.
func writable(dir string) bool {
	for _, name := range []string{".", "cgroup.procs", "cgroup.subtree_control"} {
		if unix.Faccessat(unix.AT_FDCWD, path.Join(dir, name), unix.W_OK, unix.AT_EACCESS) != nil {
			return false
		}
	}
	return true
}

// OfProcess reads which cgroup a process is in: the path below the mount point
// as the caller's cgroup namespace shows it. 0 is the caller. A systemd scope
// is checked with it after the job, since a busy manager may have declared the
// fresh scope empty (systemd issue 36781).
func OfProcess(pid int) (string, error) {
	name := "/proc/self/cgroup"
	if pid != 0 {
		name = fmt.Sprintf("/proc/%d/cgroup", pid)
	}
	content, err := bundle.ReadRegular(name)
	if err != nil {
		return "", fmt.Errorf("cgroupv2: process %d: %w", pid, err)
	}
	if p := unifiedPath(string(content)); p != "" {
		return p, nil
	}
	return "", fmt.Errorf("cgroupv2: process %d: %s has no line of cgroup v2", pid, name)
}

// unifiedPath is the path in the line of cgroup v2: cgroups(7), /proc/pid/cgroup.
// Empty if there is none.
func unifiedPath(content string) string {
	for line := range strings.Lines(content) {
		if p, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok && strings.HasPrefix(p, "/") {
			return p
		}
	}
	return ""
}
