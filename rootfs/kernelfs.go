package rootfs

import (
	"path"

	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// sysfs mounts sysfs where the kernel may refuse it: the network namespace must
// belong to our user namespace. Then the host's /sys is bound instead,
// read-only with all below it, if config.json wants a read-only one; and the
// host's cgroups are hidden unless config.json mounts its own over them.
func (t *Tree) sysfs(m *Mount) {
	if m.options.own.set&unix.MOUNT_ATTR_RDONLY == 0 {
		t.fileSystem(m)
		return
	}
	refused, done := t.b.Label(), t.b.Label()
	target := t.target(m.Destination, true)
	t.fsopen(m, refused)
	mount := t.fsmount(m)
	t.attach(mount, target)
	t.b.Add(plan.Step{Op: plan.Close{FD: mount.Ref()}, OnZero: done})
	t.b.Place(refused)
	t.b.Close(m.source)
	sys := t.b.Get("hostsys", openTree("/sys", true))
	own := m.options.own
	t.setattr(sys, attributes{set: own.set | unix.MOUNT_ATTR_RDONLY}, unix.MS_PRIVATE, true)
	t.attach(sys, target)
	t.b.Close(sys)
	t.b.Place(done)
	t.b.Close(target)
}

// cgroup mounts the cgroup tree: with a cgroup namespace of its own the
// container sees its own part only; without one its own cgroup is bound, and
// in a user namespace never writable (CVE-2023-25809).
func (t *Tree) cgroup(m *Mount) {
	m.Type = "cgroup2"
	if t.ownCgroupNamespace {
		m.options.parameters = nil
		t.fileSystem(m)
		return
	}
	from := t.facts.Cgroup
	if from.MountPoint == "" {
		t.fileSystem(m)
		return
	}
	attrs := m.options.own.set
	if t.restricted {
		attrs |= unix.MOUNT_ATTR_RDONLY
	}
	mount := t.b.Get("cgroup", openTree(path.Join(from.MountPoint, from.Path), true))
	t.setattr(mount, attributes{set: attrs}, unix.MS_PRIVATE, true)
	target := t.target(m.Destination, true)
	t.attach(mount, target)
	t.b.Close(target)
	t.b.Close(mount)
}
