package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/limits"
	"github.com/homerun-oci/homerun/systemd"
	"github.com/homerun-oci/homerun/systemd/bus"
	"github.com/homerun-oci/homerun/userns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// With the cgroupfs manager the cgroup is made and limited before init exists,
// and init is cloned into it. With systemd the scope needs a process, so init
// comes first: the request goes out as soon as init's id is known, systemd
// moves init while the stage makes its mounts, and the container's program
// waits for the limits. Below the scope lies one more cgroup for the container,
// so that exec can always enter it: the scope itself is left empty, as a cgroup
// with controllers for its children must be.

// Manager says who makes cgroups.
type Manager = cgroupv2.Manager

// ParseManager reads --cgroup-manager, and --systemd-cgroup, which wins over
// auto.
func ParseManager(name string, systemdCgroup bool) (Manager, error) {
	switch m := Manager(name); {
	case systemdCgroup && (m == "" || m == cgroupv2.Auto):
		return cgroupv2.Systemd, nil
	case m == "":
		return cgroupv2.Auto, nil
	case m == cgroupv2.Auto, m == cgroupv2.Systemd, m == cgroupv2.Cgroupfs, m == cgroupv2.None:
		return m, nil
	}
	return "", errors.New("unknown cgroup manager " + name + ": want auto, systemd, cgroupfs or disabled")
}

// subgroup is the container's cgroup below its scope.
const subgroup = "container"

// cgroupPlan is how one container gets its cgroup.
type cgroupPlan struct {
	choice cgroupv2.Choice
	facts  *host.Facts
	config *specs.Spec
	limits limits.Set
	// delegate is the path of the program's cgroup below the container's; empty
	// where they are the same.
	delegate string

	place   bus.Place
	conn    *bus.Conn
	unit    string
	request systemd.Request
	job     *bus.Job
	maps    *userns.Maps
}

// planCgroup chooses the manager.
func (c *Container) planCgroup(request *Request) (*cgroupPlan, error) {
	p := &cgroupPlan{facts: request.Facts, config: request.Bundle.Config}
	var warnings []string
	var err error
	if p.limits, warnings, err = limits.Of(resources(p.config)); err != nil {
		return nil, err
	}
	for _, w := range warnings {
		c.runtime.warn("%s", w)
	}
	s := cgroupv2.Situation{Manager: c.runtime.Manager, CgroupsPath: cgroupsPath(p.config), ID: c.ID, Limits: p.limits.Restricts(),
		Cgroup: p.facts.Cgroup}
	if s.Manager != cgroupv2.None {
		p.lookAround(&s)
	}
	if p.choice, err = cgroupv2.Choose(s); err != nil {
		p.close()
		return nil, err
	}
	if c.runtime.Debug != nil {
		c.runtime.Debug(p.choice.Reason)
	}
	c.State.Cgroup.Manager = string(p.choice.Manager)
	c.warnUnmanaged(p)
	if err := p.planDelegate(); err != nil {
		p.close()
		return nil, err
	}
	if p.choice.Manager != cgroupv2.Systemd {
		p.close()
		return p, nil
	}
	return p, p.planScope(c)
}

// propertyAnnotation begins the annotations that set a property of the scope.
const propertyAnnotation = "org.systemd.property."

// warnUnmanaged says what of config.json the chosen manager has no use for. In a
// user namespace nobody can make the devices that rules are about.
func (c *Container) warnUnmanaged(p *cgroupPlan) {
	if p.choice.Manager != cgroupv2.Systemd {
		var names []string
		for name := range p.config.Annotations {
			if strings.HasPrefix(name, propertyAnnotation) {
				names = append(names, fmt.Sprintf("annotations[%q]", name))
			}
		}
		slices.Sort(names)
		for _, name := range names {
			c.runtime.warn("%s is ignored: the container has no systemd scope", name)
		}
	}
	if res := resources(p.config); p.choice.Manager == cgroupv2.None && res != nil && len(res.Devices) > 0 && p.mayMakeDevices() {
		c.runtime.warn("linux.resources.devices is ignored: the container has no cgroup")
	}
}

// mayMakeDevices reports whether the container's root is the host's.
func (p *cgroupPlan) mayMakeDevices() bool {
	ownUser := p.config.Linux != nil && slices.ContainsFunc(p.config.Linux.Namespaces,
		func(ns specs.LinuxNamespace) bool { return ns.Type == specs.UserNamespace })
	return !ownUser && p.facts.Process.UID == 0 && p.facts.UserNamespace.Initial
}

// lookAround finds what Choose decides from, and no more than it needs.
func (p *cgroupPlan) lookAround(s *cgroupv2.Situation) {
	if !s.Cgroup.Unified || s.Cgroup.ReadOnly {
		return
	}
	if s.Manager != cgroupv2.Systemd {
		s.Delegation = live.ProbeDelegation(s.Cgroup)
	}
	// A path that begins with a slash needs no answer of systemd's; any other
	// goes below the own unit, if that is delegated.
	cgroupfs := s.Manager == cgroupv2.Cgroupfs || s.Manager != cgroupv2.Systemd && isCgroupPath(s.CgroupsPath)
	if cgroupfs && (s.Delegation.Maybe == "" || strings.HasPrefix(s.CgroupsPath, "/")) {
		return
	}
	p.place = bus.NewPlace(p.facts, os.Getenv)
	ctx, cancel := context.WithTimeout(context.Background(), busLimit)
	defer cancel()
	conn, err := bus.Connect(ctx, p.place)
	if err == nil {
		if err = conn.CanPlace(); err != nil {
			conn.Close()
		}
	}
	if err != nil {
		s.NoBus, _, _ = strings.Cut(err.Error(), "\n")
		return
	}
	p.conn, s.Bus = conn, conn.Socket()
	if s.Delegation.Maybe == "" {
		return
	}
	// A user manager does not mark what it delegates, so it is asked.
	if yes, err := conn.Delegated(ctx, 0); err == nil && yes {
		s.Delegation.Unit = s.Delegation.Maybe
	}
}

// busLimit is how long all candidates for the service manager may take.
const busLimit = 30 * time.Second

// isCgroupPath tells a path from the name of a scope.
func isCgroupPath(p string) bool { return strings.Contains(p, "/") && !strings.Contains(p, ":") }

func (p *cgroupPlan) close() {
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
}

// planScope names the scope and collects its properties.
func (p *cgroupPlan) planScope(c *Container) error {
	slice, scope, err := systemd.ParsePath(cgroupsPath(p.config), c.ID, !p.place.System)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(scope, ".scope") {
		return fmt.Errorf("config.json: linux.cgroupsPath: %s is a slice, which has no processes of its own", scope)
	}
	p.unit = scope
	p.request, err = systemd.Properties(systemd.Scope{Unit: scope, Slice: slice, Description: "homerun container " + c.ID},
		p.limits, p.config.Annotations)
	p.limits = append(p.limits, p.request.Limits...)
	for _, line := range p.request.Ignored {
		c.runtime.warn("%s", line)
	}
	return err
}

func resources(s *specs.Spec) *specs.LinuxResources {
	if s.Linux == nil {
		return nil
	}
	return s.Linux.Resources
}

func cgroupsPath(s *specs.Spec) string {
	if s.Linux == nil {
		return ""
	}
	return s.Linux.CgroupsPath
}

// outside reports that the cgroup is set while init waits; into, that init is
// made in it.
func (p *cgroupPlan) outside() bool { return p.choice.Manager == cgroupv2.Systemd }
func (p *cgroupPlan) into() bool    { return p.choice.Manager == cgroupv2.Cgroupfs }

// make makes the cgroup that init is cloned into. What is to be made is recorded
// before, without its number; then what was made, with it. A cgroup that was
// there is nothing to undo (runtime.md, "Delete").
func (p *cgroupPlan) make(c *Container, l *launch) error {
	p.maps = l.result.Maps
	if !p.into() {
		return nil
	}
	mount, before := p.facts.Cgroup.MountPoint, len(c.State.Undo)
	c.State.Cgroup.Path = path.Join(mount, p.choice.Path)
	c.undoCgroups(before, live.Missing(p.choice, mount), false)
	if err := c.write(); err != nil {
		return err
	}
	leaf, made, err := live.Create(p.choice, mount, p.limits.Controllers())
	if err != nil {
		return err
	}
	l.inputs[compile.InputCgroup] = leaf.FD()
	c.State.Cgroup.Inode = leaf.ID()
	c.undoCgroups(before, made, true)
	if !slices.Contains(made, leaf.Path()) {
		if err := notInUse(leaf); err != nil {
			c.State.Cgroup = CgroupState{Manager: c.State.Cgroup.Manager}
			return err
		}
	}
	if err := frozenAbove(leaf); err != nil {
		return err
	}
	if err := leaf.Apply(cgroupv2.Files(p.limits)); err != nil {
		return err
	}
	return p.devicesAndDelegation(leaf)
}

// notInUse refuses a cgroup in which others run: the container would get their
// limits changed, be counted with them, and take them with it when it ends.
func notInUse(dir *live.Dir) error {
	if !dir.Populated() {
		return nil
	}
	pids, _ := dir.Processes()
	return fmt.Errorf("use the cgroup %s (linux.cgroupsPath): container's cgroup is not empty: %d process(es) found", dir.Path(), len(pids))
}

// started asks systemd for the scope, with init in it. A scope of that name may
// be another's: until init is found in it, ours is told by what describes it.
func (p *cgroupPlan) started(c *Container, pid int) (err error) {
	if !p.outside() {
		return nil
	}
	for i := range p.request.Properties {
		if d := &p.request.Properties[i]; d.Name == "Description" {
			d.Value = fmt.Sprint(d.Value, c.scopeMark())
		}
	}
	if err := c.WillUndo(Undo{Kind: "scope", Name: p.unit}); err != nil {
		return err
	}
	p.job, err = p.conn.Start(p.unit, pid, p.request.Properties)
	return err
}

// scopeMark ends the description of the container's own scope: no other container
// has this init.
func (c *Container) scopeMark() string {
	return fmt.Sprintf(" (init %d, started at %d)", c.State.Pid, c.State.StartTime)
}

// finish waits for the scope, proves that it is ours and its limits, and moves
// init below it.
func (p *cgroupPlan) finish(ctx context.Context, c *Container, pid int) error {
	if p.job == nil {
		return nil
	}
	defer p.close()
	if err := p.job.Wait(ctx); err != nil {
		return err
	}
	p.job = nil
	own, err := live.OfProcess(pid)
	if err != nil {
		return err
	}
	if path.Base(own) != p.unit {
		// systemd issue 36781: a busy manager takes a new scope for empty.
		return errors.New("systemd made the scope " + p.unit + " and ended it at once: init is in " + own)
	}
	scope, err := live.Open(path.Join(p.facts.Cgroup.MountPoint, own))
	if err != nil {
		return err
	}
	defer scope.Close()
	c.State.Cgroup.Scope, c.State.Cgroup.Path, c.State.Cgroup.Inode = p.unit, scope.Path(), scope.ID()
	c.foundScope(p.unit, scope.ID())
	if err := frozenAbove(scope); err != nil {
		return err
	}
	if err := scope.Ensure(cgroupv2.Files(p.limits)); err != nil {
		return err
	}
	if err := p.below(c, scope, pid); err != nil {
		return err
	}
	if err := c.write(); err != nil {
		return err
	}
	return c.keepInit()
}

// below makes the container's own cgroup in the scope. The name is crun's, and
// its annotation changes it; an empty one leaves init in the scope.
func (p *cgroupPlan) below(c *Container, scope *live.Dir, pid int) error {
	name := subgroup
	if a, ok := p.config.Annotations["run.oci.systemd.subgroup"]; ok {
		name = a
	}
	if name == "" || strings.ContainsAny(name, "/") || name == ".." {
		return p.devicesAndDelegation(scope)
	}
	leaf, _, err := scope.Create(name, nil)
	if err != nil {
		return err
	}
	defer leaf.Close()
	if err := leaf.Attach(pid); err != nil {
		return err
	}
	if err := scope.Enable(p.limits.Controllers()); err != nil {
		return err
	}
	// The limits hold for the scope; programs read them in their own cgroup.
	if err := leaf.Apply(cgroupv2.Files(p.limits)); err != nil {
		return err
	}
	c.State.Cgroup.Path, c.State.Cgroup.Inode = leaf.Path(), leaf.ID()
	return p.devicesAndDelegation(leaf)
}

// devicesAndDelegation attaches the device program, which only real root can,
// and gives the cgroup to the container's root where it has a namespace of its
// own with a writable mount.
func (p *cgroupPlan) devicesAndDelegation(dir *live.Dir) error {
	if res := resources(p.config); res != nil && len(res.Devices) > 0 && p.facts.Process.UID == 0 && p.facts.UserNamespace.Initial {
		rules, err := cgroupv2.DeviceRules(res.Devices)
		if err != nil {
			return err
		}
		if err := dir.AttachDevices(cgroupv2.DeviceProgram(rules)); err != nil {
			return err
		}
	}
	if !p.delegates() {
		return nil
	}
	return p.give(dir)
}

// give hands the cgroup to the container's root.
func (p *cgroupPlan) give(dir *live.Dir) error {
	if p.maps == nil {
		return nil
	}
	uid, okUID := userns.ToHost(0, p.maps.UID.Mappings)
	gid, okGID := userns.ToHost(0, p.maps.GID.Mappings)
	if !okUID || !okGID {
		return nil
	}
	if err := dir.Delegate(int(uid), int(gid)); err != nil && !errors.Is(err, unix.EPERM) {
		return err
	}
	return nil
}

// delegates reports whether the container may have cgroups of its own.
func (p *cgroupPlan) delegates() bool {
	own := slices.Contains(p.config.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	if p.delegate != "" {
		return false // a part is given
	}
	for _, m := range p.config.Mounts {
		if m.Type == "cgroup" || m.Type == "cgroup2" {
			return own && !slices.Contains(m.Options, "ro")
		}
	}
	return false
}

// openCgroup opens the container's cgroup; nil when it has none. One that is gone
// is os.ErrNotExist, also when its name is another container's by now, as that of
// a scope which ended with its last process.
func (c *Container) openCgroup() (*live.Dir, error) {
	if c.State.Cgroup.Path == "" {
		return nil, nil
	}
	return live.Reopen(c.State.Cgroup.Path, c.State.Cgroup.Inode)
}

// killCgroup signals all processes of the container's cgroup; done is false
// when it has none.
func (c *Container) killCgroup(s unix.Signal) (done bool, err error) {
	dir, err := c.openCgroup()
	if dir == nil {
		return err != nil && errors.Is(err, os.ErrNotExist), nil
	}
	defer dir.Close()
	ctx, cancel := context.WithTimeout(context.Background(), endLimit)
	defer cancel()
	if s == unix.SIGKILL {
		return true, dir.Kill(ctx)
	}
	return true, dir.Signal(ctx, s)
}

// cgroupProcesses lists the processes of the container's cgroup.
func (c *Container) cgroupProcesses() (pids []int, done bool, err error) {
	dir, err := c.openCgroup()
	if dir == nil {
		return nil, err != nil && errors.Is(err, os.ErrNotExist), nil
	}
	defer dir.Close()
	pids, err = dir.Processes()
	return pids, true, err
}

// frozen reports whether the container is paused.
func (c *Container) frozen() bool {
	dir, err := c.openCgroup()
	if err != nil || dir == nil {
		return false
	}
	defer dir.Close()
	return dir.Frozen()
}

// thaw lets the container go on if it is paused. What somebody else froze above
// it stays so.
func (c *Container) thaw() {
	dir, err := c.openCgroup()
	if err != nil || dir == nil {
		return
	}
	defer dir.Close()
	if dir.Frozen() {
		_ = dir.Thaw()
	}
}

// noFacts measures the host for what has no bundle.
func noFacts() (*host.Facts, error) {
	return Facts(&bundle.Bundle{Dir: "/", Config: &specs.Spec{}})
}

// connectSystemd finds the service manager that has the container's scope.
func connectSystemd(ctx context.Context) (*bus.Conn, error) {
	facts, err := noFacts()
	if err != nil {
		return nil, err
	}
	return bus.Connect(ctx, bus.NewPlace(facts, os.Getenv))
}

// scopeOf is the scope's cgroup, at or above the container's.
func scopeOf(p string) string {
	for d := p; d != "/" && d != "."; d = path.Dir(d) {
		if strings.HasSuffix(d, ".scope") {
			return d
		}
	}
	return p
}
