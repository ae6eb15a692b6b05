package compile

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/limits"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/systemd"
	"github.com/homerun-oci/homerun/userns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Theory of operation
//
// With the cgroupfs manager the cgroup is made and limited before init exists,
// and init is cloned into it. With systemd the scope needs a process, so init
// comes first: the request goes out as soon as init's id is recorded, systemd
// moves init while the stage makes its mounts, and the container's program
// waits for the limits.
//
// Below the cgroup with the limits, and below the scope, lies one more for the
// container. Exec can always enter that, while the one above is left empty, as a
// cgroup with controllers for its children must be. And the limits are out of the
// container's reach. Whose file a limit is can write it, whatever config.json says
// of the mount: without any capability he takes a user, a mount and a cgroup
// namespace of his own, mounts the cgroup, makes one below and moves there, and
// takes another cgroup namespace. The kernel guards only the root of the writer's
// (cgroup-v2.rst, "Delegation", nsdelegate). The file belongs to who made the
// cgroup: without root that is the caller, who is somebody in the container as a
// rule, and uid 0 of root's container is root. But no namespace that is made in a
// cgroup shows what is above.

// cgroupDecision is how the container gets its cgroup.
type cgroupDecision struct {
	choice cgroupv2.Choice
	limits limits.Set
	// unit is the scope's name, request what is asked of systemd; Systemd only.
	unit    string
	request systemd.Request
	// delegate is the path of the program's cgroup below the container's; empty
	// where they are the same.
	delegate string
	// devices: a device program is loaded.
	devices bool
}

// into: init is made in its cgroup; late: it is moved there while it waits.
func (d *cgroupDecision) into() bool { return d.choice.Manager == cgroupv2.Cgroupfs }
func (d *cgroupDecision) late() bool { return d.choice.Manager == cgroupv2.Systemd }

// chooseCgroup decides who makes the container's cgroup, and where.
func (c *compiler) chooseCgroup() error {
	d := &c.decided.cgroup
	var warnings []string
	var err error
	if d.limits, warnings, err = limits.Of(c.spec.Linux.Resources); err != nil {
		return err
	}
	c.result.Warnings = append(c.result.Warnings, warnings...)
	d.limits = systemd.Undecided(d.limits, c.spec.Annotations)
	manager, tree := c.facts.ServiceManager, c.cgroupTree()
	d.choice, err = cgroupv2.Choose(cgroupv2.Situation{Manager: c.wishes.Manager, CgroupsPath: c.spec.Linux.CgroupsPath, ID: c.wishes.ID,
		Limits: d.limits.Restricts(), Cgroup: tree, Bus: manager.Socket, NoBus: manager.Trouble,
		Delegation: cgroupv2.Delegation(delegation(&tree))})
	if err != nil {
		return err
	}
	c.result.Cgroup = d.choice
	c.warnUnmanaged()
	c.warnOutside()
	if err := c.readDelegate(); err != nil {
		return err
	}
	if d.late() {
		return c.nameScope()
	}
	return nil
}

// cgroupTree is the runtime's place in the cgroup tree, in none where that was not
// needed.
func (c *compiler) cgroupTree() host.Cgroup {
	if c.facts.Cgroup == nil {
		return host.Cgroup{}
	}
	return *c.facts.Cgroup
}

func delegation(tree *host.Cgroup) host.Delegation {
	if tree.Delegation == nil {
		return host.Delegation{}
	}
	return *tree.Delegation
}

// warnUnmanaged says what of config.json the chosen manager has no use for. In a
// user namespace nobody can make the devices that rules are about.
func (c *compiler) warnUnmanaged() {
	manager := c.decided.cgroup.choice.Manager
	if manager != cgroupv2.Systemd {
		var names []string
		for name := range c.spec.Annotations {
			if setting, ok := strings.CutPrefix(name, systemd.AnnotationPrefix); ok && !ofEachContainer(setting) {
				names = append(names, fmt.Sprintf("annotations[%q]", name))
			}
		}
		slices.Sort(names)
		for _, name := range names {
			c.warn("%s is ignored: the container has no systemd scope", name)
		}
	}
	if manager == cgroupv2.None && c.hasDeviceRules() && c.asHostsRoot() && !c.hasNamespace(specs.UserNamespace) {
		c.warn("linux.resources.devices is ignored: the container has no cgroup")
	}
}

// ofEachContainer reports whether podman asks for this property of a scope in each
// container, whether it will have one or not. They say how systemd is to stop it.
func ofEachContainer(property string) bool {
	return property == "KillSignal" || property == "TimeoutStopUSec"
}

func (c *compiler) hasDeviceRules() bool {
	return c.spec.Linux.Resources != nil && len(c.spec.Linux.Resources.Devices) > 0
}

// asHostsRoot reports whether the caller is root in the machine's first user
// namespace.
func (c *compiler) asHostsRoot() bool {
	return c.facts.Process.UID == 0 && c.facts.UserNamespace.Initial
}

func (c *compiler) hasNamespace(kind specs.LinuxNamespaceType) bool {
	return slices.ContainsFunc(c.spec.Linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == kind })
}

// nameScope names the scope and collects its properties.
func (c *compiler) nameScope() error {
	d := &c.decided.cgroup
	slice, scope, err := systemd.ParsePath(c.spec.Linux.CgroupsPath, c.wishes.ID, !c.facts.ServiceManager.System)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(scope, ".scope") {
		return fmt.Errorf("config.json: linux.cgroupsPath: %s is a slice, which has no processes of its own", scope)
	}
	d.unit = scope
	d.request, err = systemd.Properties(systemd.Scope{Unit: scope, Slice: slice, Description: "homerun container " + c.wishes.ID},
		d.limits, c.spec.Annotations)
	d.limits = append(d.limits, d.request.Limits...)
	c.result.Warnings = append(c.result.Warnings, d.request.Ignored...)
	return err
}

// delegateAnnotation means what crun.1 says: the container's cgroup has the limits
// and is the root of the cgroup namespace; in it a cgroup is made for the program,
// and given to the container's root. So the program can give controllers to
// cgroups that it makes, while the limits lie above. Init is moved once it has its
// namespace, or that would be the namespace's root. What else goes by the
// container's cgroup needs to know nothing of it: exec follows init, and kill,
// pause and delete take all that is below.
const delegateAnnotation = "run.oci.delegate-cgroup"

// readDelegate reads the annotation; an empty one asks for nothing.
func (c *compiler) readDelegate() error {
	d, name := &c.decided.cgroup, c.spec.Annotations[delegateAnnotation]
	if name == "" {
		return nil
	}
	d.delegate = strings.TrimPrefix(path.Clean("/"+name), "/")
	switch {
	case d.delegate == "", strings.Contains(name, "\x00"), slices.Contains(strings.Split(name, "/"), ".."):
		return fmt.Errorf("config.json: annotations[%q]: %q is not the name of a cgroup below the container's", delegateAnnotation, name)
	case !d.into() && !d.late():
		return fmt.Errorf("config.json: annotations[%q]: the container has no cgroup: %s", delegateAnnotation, d.choice.Reason)
	}
	return nil
}

// ownCgroup is the name of the container's cgroup below the one with the limits;
// crun's, in a scope.
const ownCgroup = "container"

// makeCgroup makes the cgroup that init is made in. The limits hold for the one
// above; programs read them in their own.
func (c *compiler) makeCgroup() error {
	d := &c.decided.cgroup
	if !d.into() {
		return nil
	}
	// Both are made before there is a limit: the kernel may not have the memory for
	// a second one below a small memory.max.
	c.runtime("linux.cgroupsPath", action.MakeCgroup{Mount: c.cgroupTree().MountPoint, Choice: d.choice, Below: ownCgroup,
		Controllers: d.limits.Controllers()})
	c.writeCgroup(action.WriteCgroup{Above: true})
	c.writeCgroup(action.WriteCgroup{})
	if err := c.loadDevices(); err != nil {
		return err
	}
	c.devicesAndOwner()
	return nil
}

// startScope asks for the scope. It is there when awaitScope has waited for it.
func (c *compiler) startScope() {
	if d := &c.decided.cgroup; d.late() {
		c.runtime("linux.cgroupsPath", action.StartScope{Unit: d.unit, Properties: d.request.Properties})
	}
}

// awaitScope waits for the scope, proves its limits, and moves init below it. The
// name of the cgroup there is crun's, and its annotation changes it; an empty one
// leaves init in the scope, with the limits in its reach.
func (c *compiler) awaitScope() error {
	d := &c.decided.cgroup
	if !d.late() {
		return nil
	}
	if err := c.loadDevices(); err != nil {
		return err
	}
	c.runtime("linux.cgroupsPath", action.AwaitScope{Unit: d.unit, Mount: c.cgroupTree().MountPoint})
	c.writeCgroup(action.WriteCgroup{Prove: true})
	if name := c.subgroup(); name != "" {
		c.runtime("linux.cgroupsPath", action.MakeSubgroup{Name: name, Controllers: d.limits.Controllers()})
		// The limits hold for the scope; programs read them in their own cgroup.
		c.writeCgroup(action.WriteCgroup{})
	}
	c.runtime("default", action.Record{Complete: true})
	return nil
}

// subgroup is the name of the container's cgroup in its scope; empty for none.
func (c *compiler) subgroup() string {
	name, set := c.spec.Annotations["run.oci.systemd.subgroup"]
	switch {
	case !set:
		return ownCgroup
	case strings.ContainsAny(name, "/") || name == "..":
		return ""
	}
	return name
}

// writeCgroup writes the limits in their order, each as a is. What may depend on a
// later one of the list is tried again after it.
func (c *compiler) writeCgroup(a action.WriteCgroup) {
	writes := cgroupv2.Files(c.decided.cgroup.limits)
	for _, again := range []bool{false, true} {
		for _, w := range writes {
			if !again || w.Retry {
				a.Write, a.Again = w, again
				c.runtime(w.Pointer, a)
			}
		}
	}
}

// loadDevices has the kernel check the device program, which only real root can.
func (c *compiler) loadDevices() error {
	if !c.hasDeviceRules() || !c.asHostsRoot() {
		return nil
	}
	rules, err := cgroupv2.DeviceRules(c.spec.Linux.Resources.Devices)
	if err != nil {
		return err
	}
	c.runtime("linux.resources.devices", action.LoadDevices{Program: cgroupv2.DeviceProgram(rules)})
	c.decided.cgroup.devices = true
	return nil
}

// devicesAndOwner attaches the device program, and gives the cgroup to the container's
// root where it has a namespace of its own with a writable mount.
func (c *compiler) devicesAndOwner() {
	if c.decided.cgroup.devices {
		c.runtime("linux.resources.devices", action.FilterDevices{})
	}
	if c.givesCgroup() {
		if to := c.containersRoot(); to != nil {
			c.runtime("linux.cgroupsPath", *to)
		}
	}
}

// containersRoot is whom a cgroup is given to; nil when that is nobody else.
func (c *compiler) containersRoot() *action.GiveCgroup {
	if c.result.Maps == nil {
		return nil
	}
	uid, okUID := userns.ToHost(0, c.result.Maps.UID.Mappings)
	gid, okGID := userns.ToHost(0, c.result.Maps.GID.Mappings)
	if !okUID || !okGID {
		return nil
	}
	return &action.GiveCgroup{UID: uid, GID: gid}
}

// givesCgroup reports whether the container may have cgroups of its own.
func (c *compiler) givesCgroup() bool {
	if c.decided.cgroup.delegate != "" {
		return false // a part is given
	}
	for _, m := range c.spec.Mounts {
		if m.Type == "cgroup" || m.Type == "cgroup2" {
			return c.ns.newCgroup && !slices.Contains(m.Options, "ro")
		}
	}
	return false
}

// moveDown makes the delegated cgroup and moves init there.
func (c *compiler) moveDown() {
	if name := c.decided.cgroup.delegate; name != "" {
		c.runtime(fmt.Sprintf("annotations[%q]", delegateAnnotation), action.MoveDown{Name: name, Give: c.containersRoot()})
	}
}

// runtime appends a step of the runtime's side.
func (c *compiler) runtime(pointer string, a plan.Action) {
	c.b.Runtime(plan.RuntimeStep{Action: a, Pointer: pointer})
}
