package cgroupv2

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// The fixes, one line each. They keep clear of the phrases by which podman and
// docker classify a runtime's message.
const (
	hintDelegate = `as root, put the lines "[Service]" and "Delegate=cpu cpuset io memory pids" into ` +
		`/etc/systemd/system/user@.service.d/delegate.conf, run systemctl daemon-reload, then log out and in again ` +
		`(for a system unit: Delegate=yes in that unit)`
	hintBus = `a user session has a service manager: log in through pam_systemd (machinectl shell USER@), ` +
		`install dbus-user-session, or run loginctl enable-linger USER once`
	hintUnified = `boot with systemd.unified_cgroup_hierarchy=1`
	hintInner   = `a cgroup that has processes of its own cannot give controllers to its children: ` +
		`move them to a child first, or use a Delegate= unit with DelegateSubgroup=runtime`
	// HintForeign is for a cgroup that belongs to a service manager.
	HintForeign   = `use --cgroup-manager=systemd, or run in a unit with Delegate=yes (and give its cgroup as cgroupsPath)`
	hintWholeDisk = `limits of io take whole disks, not partitions`
	hintScheduler = `the disk has no scheduler with weights: write bfq to /sys/block/DISK/queue/scheduler, ` +
		`or "MAJOR:MINOR enable=1" to /sys/fs/cgroup/io.cost.qos`
	hintAbsent = `no cgroup here has this controller, so Delegate= does not help: it is not compiled into the kernel, is turned off by ` +
		`cgroup_disable=, is used by a cgroup v1 mount, or the container that homerun is in was not given it`
	hintUnmanaged = `systemd hands out cpu, cpuset, io, memory and pids only, so Delegate= does not help: ` +
		`root can set this limit, with --cgroup-manager=cgroupfs and a cgroupsPath outside of systemd's slices`
	hintIdle = `a cgroup with cpu.idle 1 takes no weight: set cpu.idle to 0`
	// HintInUse is for a limit below what is in use.
	HintInUse = `free memory in the container first; with checkBeforeUpdate false the limit is set all the same, and the kernel kills`
	hintQuota = `in microseconds, the quota must be at least 1000, the period 1000 to 1000000, and the burst not above the quota`
)

// Refusal is what became of a write to a file of a cgroup.
type Refusal struct {
	// File is its name; a missing controller's may stand for it.
	File  string
	Errno unix.Errno
	// Missing says that the controller is not among the cgroup's, Absent that it is not
	// even among those of the highest cgroup that can be seen.
	Missing, Absent bool
}

// Hint is the fix, in one line; "" when none is known.
func (r Refusal) Hint() string {
	file, errno := r.File, r.Errno
	controller, _, _ := strings.Cut(file, ".")
	switch {
	case r.Absent:
		return hintAbsent
	case r.Missing && controller != "cgroup" && !Managed(controller):
		return hintUnmanaged
	case r.Missing, errno == unix.EACCES, errno == unix.EPERM:
		return hintDelegate
	case file == "cgroup.subtree_control" && errno == unix.EBUSY:
		return hintInner
	case (file == "io.max" || file == "io.weight" || file == "io.bfq.weight") && errno == unix.ENODEV:
		return hintWholeDisk
	case file == "io.weight" && errno == unix.EOPNOTSUPP:
		return hintScheduler
	case file == "cpu.weight" && errno == unix.EINVAL:
		return hintIdle
	case (file == "cpu.max" || file == "cpu.max.burst") && errno == unix.EINVAL:
		return hintQuota
	}
	return ""
}

// Managed reports whether systemd turns the controller on and off (its
// cgroup-util.h); it leaves every other as it is, and delegates none.
func Managed(controller string) bool {
	return slices.Contains([]string{"cpu", "cpuset", "io", "memory", "pids"}, controller)
}
