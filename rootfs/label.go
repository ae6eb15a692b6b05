package rootfs

import (
	"slices"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// contextOptions are the mount options that give a file system an SELinux context: mount(8).
var contextOptions = [...]string{"context", "fscontext", "defcontext", "rootcontext"}

// IsContextOption reports whether a mount option gives a file system an SELinux context.
func IsContextOption(name string) bool { return slices.Contains(contextOptions[:], name) }

// mountLabel is the SELinux context of new file systems; empty where the policy alone decides.
func (t *Tree) mountLabel() string {
	if t.facts.LSM.SELinux != host.Yes {
		return ""
	}
	return linux(t.config.Spec).MountLabel
}

// label gives a new file system its SELinux context.
func (t *Tree) label(fs plan.Slot) {
	label := t.mountLabel()
	if label == "" {
		return
	}
	kind, ok := t.config.Spec.Annotations["run.oci.mount_context_type"]
	if !ok {
		kind = contextOptions[0]
	}
	t.addLabel(plan.Fsconfig{FD: fs.Ref(), Command: unix.FSCONFIG_SET_STRING, Key: kind, Value: label})
}

func (t *Tree) addLabel(op plan.Operation) {
	t.b.Add(plan.Step{Op: op, Reason: &plan.Reason{Pointer: "linux.mountLabel", Purpose: plan.ForSELinux,
		What: "mount with the SELinux label " + t.mountLabel()}})
}

// labelMount does so for a mount, unless its options have a context. The file systems of the kernel have labels
// of their own, and message queues are labeled later.
func (t *Tree) labelMount(m *Mount, fs plan.Slot, parameters []string) {
	switch {
	case m.Type == "proc" || m.Type == "sysfs" || m.Type == "mqueue" || m.IsCgroup():
	case !slices.ContainsFunc(contextOptions[:], func(key string) bool { return hasParameter(parameters, key) }):
		t.label(fs)
	}
}

// labelsQueues reports whether a mount shows message queues that get a label: not those of the host, whose namespace
// config.json may name by its path, too.
func (t *Tree) labelsQueues(m *Mount) bool {
	return m.Type == "mqueue" && t.mountLabel() != "" && slices.ContainsFunc(linux(t.config.Spec).Namespaces,
		func(n specs.LinuxNamespace) bool {
			return n.Type == specs.IPCNamespace && (n.Path == "" || t.config.Joined&unix.CLONE_NEWIPC != 0)
		})
}

// labelQueues labels their directory. The kernel has made the file system with the IPC namespace, and takes no
// context for it any more: mq_init_ns() in ipc/mqueue.c, selinux_set_mnt_opts() in security/selinux/hooks.c.
func (t *Tree) labelQueues(m *Mount, mount plan.Slot) {
	if !t.labelsQueues(m) {
		return
	}
	dir := t.b.Get("queues", plan.Openat2{DirFD: mount.Ref(), Path: ".", Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC})
	t.addLabel(plan.Fsetxattr{FD: dir.Ref(), Name: "security.selinux", Value: t.mountLabel()})
	t.b.Close(dir)
}
