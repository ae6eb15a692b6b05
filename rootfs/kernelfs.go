package rootfs

import (
	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// orHost makes a file system that shows a namespace, where the kernel may
// refuse it (EPERM, for sysfs in fsopen already): the namespace must belong to
// our user namespace. Then the
// host's own instance is bound instead, which shows nothing that the process
// could not see anyway, since the namespace is the host's: for sysfs only if config.json
// wants it read-only, and with all below it read-only too.
func (t *Tree) orHost(m *Mount, from string) error {
	if err := m.checkValues(); err != nil {
		return err
	}
	none, refused, done := t.b.Label(), t.b.Label(), t.b.Label()
	mount := t.b.Slot(m.name())
	target := t.targetOf(m, true)
	fs := t.fsopen(m, none, refused)
	t.fsmount(m, fs, mount, refused)
	t.labelQueues(m, mount)
	t.b.Add(plan.Step{Op: move(mount, target), OnZero: done})
	t.b.Place(refused)
	t.b.Close(fs)
	t.b.Place(none)
	t.b.Add(plan.Step{Op: openTree(from, true), Result: mount})
	t.setattr(mount, attributes{set: m.options.attributes()}, unix.MS_PRIVATE, true)
	t.attach(mount, target)
	if m.Type == "sysfs" {
		t.hideCgroups(mount)
	}
	t.b.Place(done)
	t.b.Close(target)
	t.propagate(m, mount)
	t.keep(m, mount)
	return nil
}

// hideCgroups covers the host's cgroups in its sysfs, unless config.json mounts
// the container's own over them.
func (t *Tree) hideCgroups(sys plan.Slot) {
	for _, m := range t.config.Spec.Mounts {
		if inside(m.Destination) == "sys/fs/cgroup" {
			return
		}
	}
	end := t.b.Label()
	target := t.b.Slot("cgroups")
	t.b.Add(plan.Step{Op: t.openBelow(sys, "fs/cgroup"), Result: target,
		Tolerate: []plan.Errno{{Errno: unix.ENOENT, To: end}}})
	empty := t.makeEmpty()
	t.attach(empty, target)
	t.b.Close(empty)
	t.b.Close(target)
	t.b.Place(end)
}

// cgroup mounts the cgroup tree: with a cgroup namespace of its own the
// container sees its own part only; without one the whole tree is bound, in which
// /proc/self/cgroup names its cgroup, and in a user namespace never writable
// (CVE-2023-25809).
func (t *Tree) cgroup(m *Mount) error {
	m.Type = "cgroup2"
	m.options.parameters, m.options.superblock = nil, nil
	if t.config.NewCgroup {
		return t.fileSystem(m)
	}
	from := t.config.Cgroup
	if from == "" {
		from = t.cgroupMount()
	}
	if from == "" {
		return m.error("cgroup version 2 is not mounted on this host", 0)
	}
	attrs := m.options.attributes()
	if t.restricted {
		attrs |= unix.MOUNT_ATTR_RDONLY
	}
	mount := t.b.Get("cgroup", openTree(from, true))
	t.setattr(mount, attributes{set: attrs}, unix.MS_PRIVATE, true)
	t.put(mount, m.Destination, m.howReached(true))
	t.propagate(m, mount)
	t.b.Close(mount)
	return nil
}

// cgroupMount is where the host has the cgroup tree; empty when nowhere.
func (t *Tree) cgroupMount() string {
	if t.facts.Cgroup == nil {
		return ""
	}
	return t.facts.Cgroup.MountPoint
}
