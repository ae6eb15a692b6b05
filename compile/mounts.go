package compile

import (
	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/process"
	"github.com/homerun-oci/homerun/rootfs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Mounts describes a change of the mounts of a container that runs.
type Mounts struct {
	// List are the mounts; of those to remove only destinations count.
	List   []specs.Mount
	Remove bool
	// Spec is the container's config.json, whose linux.mountLabel new mounts have too; nil without.
	Spec *specs.Spec
	// ContainerID is the container's.
	ContainerID string
	// BundleDir is absolute; relative sources count from it.
	BundleDir string
	// Namespaces are the CLONE_NEW* to join, by init's pidfd.
	Namespaces int
	// Chroot: init's root, the input "root", is entered first.
	Chroot bool
}

// CompileMounts makes the plan for a process that changes the mounts of a
// container that runs, and exits.
//
// A user namespace is joined first: it gives the capabilities. The host's side
// of bind mounts is cloned while the file system is still the host's; in a user
// namespace only from a mount namespace that belongs to it, so there is one for
// the purpose. Then all other namespaces are joined, and the process that does
// the work is made, which a new procfs takes its PID namespace from.
func CompileMounts(m Mounts, facts *host.Facts) (*Result, error) {
	c := changing(m, facts)
	needs, err := c.needsRunning(m)
	if err == nil {
		err = lacks(needs, facts)
	}
	if err != nil {
		return nil, err
	}
	if err := c.inputs(); err != nil {
		return nil, err
	}
	init, root := c.running(m.Namespaces), plan.Slot(0)
	if m.Chroot {
		root = c.input(InputRoot)
	}
	c.runtime("default", action.StartStage{Name: "homerun: mounts " + m.ContainerID})
	if err := c.changeMounts(m, init, root); err != nil {
		return nil, err
	}
	c.b.At("default", "the end")
	c.b.Do(plan.ExitGroup{})
	c.runtime("default", action.AwaitProgram{})
	p, err := c.b.Build()
	c.result.Plan = p
	return c.result, err
}

func changing(m Mounts, facts *host.Facts) *compiler {
	spec := &specs.Spec{Mounts: m.List}
	if m.Spec != nil && m.Spec.Linux != nil {
		spec.Annotations = m.Spec.Annotations
		spec.Linux = &specs.Linux{MountLabel: m.Spec.Linux.MountLabel, Namespaces: m.Spec.Linux.Namespaces}
	}
	return &compiler{spec: withDefaults(spec), facts: facts, result: &Result{},
		wishes: Wishes{BundleDir: m.BundleDir}}
}

func (c *compiler) changeMounts(m Mounts, init running, root plan.Slot) error {
	user := m.Namespaces&unix.CLONE_NEWUSER != 0
	config := c.runningConfig(m)
	c.b.At("default", "close what the caller left open")
	c.b.Do(plan.CloseRange{First: c.highest})
	c.b.At("default", "hide from the container")
	process.Hide(c.b)
	c.b.Do(plan.Umask{})
	if user {
		c.b.At("default", "join the container's user namespace").For(plan.ForJoin, "")
		c.setns(init.pidfd, unix.CLONE_NEWUSER)
		c.b.At("default", "a mount namespace to copy sources from")
		c.b.Do(plan.Unshare{Flags: unix.CLONE_NEWNS})
	}
	if m.Remove {
		c.intoContainer(m, init, root)
		return rootfs.Unmount(c.b, config)
	}
	tree, mounts, err := rootfs.Running(c.b, config)
	if err != nil {
		return err
	}
	c.intoContainer(m, init, root)
	return tree.InNamespaces(mounts)
}

// intoContainer joins the other namespaces and makes the process.
func (c *compiler) intoContainer(m Mounts, init running, root plan.Slot) {
	c.b.At("default", "join the container's namespaces").For(plan.ForJoin, "")
	c.joinInit(init, m.Namespaces&^unix.CLONE_NEWUSER)
	child, pid := c.b.Label(), c.b.Slot("process")
	c.cloneInit(pid, child)
	c.signal(TagInit, pid, "init")
	c.b.Do(plan.ExitGroup{})
	c.b.Place(child)
	c.awaitSignal("default", "init")
	if m.Namespaces&unix.CLONE_NEWUSER != 0 {
		// Our own id may have no name there, and could make no files.
		c.b.At("default", "become the container's root")
		process.SetGID(c.b, 0, plan.Ignore(unix.EINVAL)...)
		process.SetUID(c.b, 0, plan.Ignore(unix.EINVAL)...)
	}
	if root != 0 {
		c.b.At("default", "enter the container's root")
		c.b.Do(plan.Fchdir{FD: root.Ref()})
		c.b.Do(plan.Chroot{Path: "."})
	}
}
