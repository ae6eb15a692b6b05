// Package compile turns a config.json and the facts about this host into a
// plan.
//
// # Theory of operation
//
// Compilation is a pure function: the same config and the same facts give the
// same plan on any machine. It reads no file, no environment and no clock.
//
// The stage begins as an ordinary child of the runtime, in the runtime's
// namespaces. It joins the namespaces that config.json names by path, and then
// makes the container's init with one clone3 that enters all new namespaces at
// once, but for those that init makes itself (see unshared and ownNetwork).
// CLONE_PARENT makes init the runtime's child, so the first process can tell its
// id and exit. Init has all capabilities of a new user namespace from the clone
// on, since nothing is executed in between. From then on the order is:
//
//	the id maps              files made before would have no owner
//	its network namespace    what that has in /proc would have no owner: see ownNetwork
//	the rest of the plan     which the runtime compiles meanwhile, see Begin; where newuidmap
//	                         writes the maps and there is no such namespace, it comes before
//	not dumpable             once the files in /proc/self are not needed
//	sources, as the caller   the container's root may not reach them
//	the container's root     so that what is made belongs to it
//	mounts, devices          inside the new root, see package rootfs
//	masks, pivot             nothing of the host is reachable after it
//	limits, user, caps       see package process
//	the start                init waits; everything that can fail is done
//	seccomp, execve
//
// Only what is needed lives across the pivot: the report, the handshake, and
// the terminal.
package compile

import (
	"fmt"
	"path"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/process"
	"github.com/homerun-oci/homerun/rootfs"
	"github.com/homerun-oci/homerun/userns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Result is a compiled container.
type Result struct {
	Plan *plan.Plan
	// Maps are the id maps of a new user namespace, or nil. Joins says that the plan
	// is for a process in a container that exists.
	Maps  *userns.Maps
	Joins bool
	// Copied are the sources of mounts of whose files the container has copies in memory.
	Copied []string
	// Notes tell what was decided without being asked.
	Notes []string
	// Warnings tell what was asked and is ignored.
	Warnings []string
	// Cgroup says who makes the container's cgroup, and why.
	Cgroup cgroupv2.Choice
	// Namespaces are the CLONE_NEW* that the container does not share with the
	// runtime, for exec to join.
	Namespaces int
	// Chroot says that init's root is not that of its mount namespace.
	Chroot bool
	// Waits: init waits for start.
	Waits bool
	// Attended: the first process stays until the runtime closes sync or has ended, and
	// ends init then, if that lives.
	Attended bool
	// Listens: the seccomp filter has a listener, which the first process passes on.
	Listens bool
}

// Signals of the stage, by tag.
const (
	// TagInit carries init's process id, as the runtime sees it.
	TagInit = 1
	// TagUser says that the first process itself is in the new user namespace.
	TagUser = 2
	// TagNamespaces says that all namespaces and mounts exist.
	TagNamespaces = 3
	// TagReady says that init waits for `start`.
	TagReady = 4
	// TagNetwork says that init's namespaces can be joined by its process id: its ids
	// are mapped, and the caller's other processes may look at it.
	TagNetwork = 5
)

// Names of the inputs that a plan may have: descriptors the stage is started
// with.
const (
	InputReport   = "report"
	InputSync     = "sync"
	InputTerminal = "terminal"
	InputCgroup   = "cgroup"
	InputStart    = "start"
	InputOutcome  = "outcome"
	// InputOverlay is the directory that keeps an overlay's changes, locked.
	InputOverlay = "overlay"
	// InputRest is the file that the plan's second part is written to.
	InputRest = "rest"
)

// compiler is the state of one compilation.
type compiler struct {
	b       *plan.Builder
	spec    *specs.Spec
	facts   *host.Facts
	wishes  Wishes
	decided decisions
	result  *Result

	ns                 namespaces
	report, sync, rest plan.Slot
	syncNumber         int
	terminal, cgroup   plan.Slot
	startFIFO, outcome plan.Slot
	copies             plan.Slot // a socket
	listener           listener
	lock               plan.Slot // of an overlay's directory, or 0
	exit               plan.Slot
	exitNumber         int
	watched            plan.Slot // init's pidfd, for a first process that attends to it
	procfs             plan.Slot // the host's, for labels, or 0
	joins              []plan.Slot
	tree               *rootfs.Tree
	idmaps             map[int]plan.Slot
	idmapped           []rootfs.IDMap
	pty                plan.Slot
	highest            int
	keep               int // the first input that is a directory or a namespace
	uidLines, gidLines []host.Mapping
	setgroups          bool
	workingUID         uint32
	workingGID         uint32
	changesUID         bool
	exec               bool        // a process in a container that exists
	intoCgroup         bool        // exec: the process is made in the input "cgroup"
	hook               *specs.Hook // is executed in place of process.args
	parts              bool        // the plan has two parts
	unfiltered         bool        // it goes without the filter of linux.seccomp
	shown              bool        // others may look at init
	relays             bool        // notifications are relayed
	networkFiles       []string    // of the container's directory
	mountList          []rootfs.Mount
	needs              *host.Needs // what Finish needs, once known
	// ownSources describes what of the container's directory is mounted: it is not
	// there yet when the facts are measured.
	ownSources map[string]host.Source
}

// Compile makes the plan for a container's init.
func Compile(spec *specs.Spec, facts *host.Facts, wishes Wishes) (*Result, error) {
	b, err := Begin(spec, facts, wishes)
	if err != nil {
		return nil, err
	}
	return b.Finish(wishes.Seccomp)
}

// withDefaults fills what may be missing with empty values, so that nothing
// below has to ask.
func withDefaults(s *specs.Spec) *specs.Spec {
	copied := *s
	if copied.Linux == nil {
		copied.Linux = &specs.Linux{}
	}
	if copied.Root == nil {
		copied.Root = &specs.Root{}
	}
	if copied.Process == nil {
		copied.Process = &specs.Process{Cwd: "/"}
	}
	return &copied
}

// inputs gives numbers to the descriptors that the stage is started with:
// after the standard streams and the preserved ones.
func (c *compiler) inputs() error {
	c.highest = 3 + c.wishes.Preserve
	c.b = plan.NewBuilder(c.highest)
	c.b.Preserve(c.wishes.Preserve)
	c.report = c.input(InputReport)
	c.syncNumber = c.highest
	c.sync = c.input(InputSync)
	if c.parts {
		c.rest = c.input(InputRest)
	}
	if c.spec.Process.Terminal {
		c.terminal = c.input(InputTerminal)
	}
	if c.decided.wait {
		c.startFIFO, c.outcome = c.input(InputStart), c.input(InputOutcome)
	}
	c.listenerInputs()
	c.exitInput()
	if c.maybeCopies() {
		c.copies = c.input(InputCopies)
	}
	// Directories and namespaces come last: they are closed before the
	// working directory is entered.
	c.keep = c.highest
	if c.locks() {
		c.lock = c.input(InputOverlay)
	}
	if c.decided.cgroup.into() || c.intoCgroup {
		c.cgroup = c.input(InputCgroup)
	}
	for _, j := range c.ns.joined {
		c.joins = append(c.joins, c.input(j.input()))
	}
	return c.idmapInputs()
}

func (c *compiler) input(name string) plan.Slot {
	s := c.b.Input(name, c.highest)
	c.highest++
	return s
}

// signal tells the runtime that something happened.
func (c *compiler) signal(tag uint32, value plan.Slot, name string) {
	c.b.Add(plan.Step{Op: plan.Signal{FD: c.report.Ref(), Tag: tag, Value: value}, Signals: name})
}

// await waits for one byte; none means that the other side died.
func (c *compiler) await(fd plan.Slot, name string) {
	one := int32(1)
	c.b.Add(plan.Step{Op: plan.Read{FD: fd.Ref(), Size: 1}, Want: &one, Awaits: name})
}

// absolute makes a path of config.json absolute.
func (c *compiler) absolute(p string) string {
	if path.IsAbs(p) {
		return p
	}
	return c.wishes.BundleDir + "/" + p
}

// firstProcess writes what the first process does: the container's namespaces.
func (c *compiler) firstProcess() error {
	if !c.initFirst() {
		c.compileRest()
	}
	c.b.At("default", "close what the caller left open")
	c.b.Do(plan.CloseRange{First: c.highest})
	c.signals()
	c.timerSlack()
	c.oomScoreAdj()
	if c.ns.newUser || c.joinsUser() {
		c.raiseLimits()
	}
	c.streamsOutside()
	if err := c.openLabels(); err != nil {
		return err
	}
	c.join()
	if c.ns.time {
		if err := c.timeNamespace(); err != nil {
			return err
		}
	}
	c.b.At("linux.namespaces", "make the container's namespaces")
	child, init := c.b.Label(), c.b.Slot("init")
	c.cloneInit(init, child)
	c.made(init)
	c.leave(init)
	c.b.Place(child)
	c.awaitWatch()
	if rest := c.unshared() &^ c.ownQueues(); rest != 0 {
		c.b.At("linux.namespaces", "make the container's namespaces")
		c.b.Do(plan.Unshare{Flags: rest})
	}
	c.awaitSignal("linux.namespaces", "init")
	c.recordAt(onceKnown)
	if c.mapsBeside() {
		c.mapIDs()
	}
	c.recordAt(besideHelpers)
	return nil
}

// initFirst: the runtime awaits init before it compiles the second part, since systemd or
// newuidmap and newgidmap need its id, and take longer than to compile.
func (c *compiler) initFirst() bool { return c.decided.cgroup.late() || c.mapsBeside() }

// compileRest compiles the second part, and gives it to the stage if it waits for
// nothing else before.
func (c *compiler) compileRest() {
	c.runtime("default", action.CompileRest{})
	if c.wishes.RemoveMade && c.wishes.Overlay == nil {
		c.runtime("default", action.RecordMade{})
	}
	if c.wishes.Create {
		c.runtime("default", action.KeepSteps{})
	}
	if c.restFirst() {
		c.answerAt("default", "rest")
	}
}

// cloneInit makes the process, which goes on at child. A filter that looks at
// clone's flags answers ENOSYS to clone3, so that clone is tried: systemd's
// RestrictNamespaces= with a list, and what engines come with. At the limit of a
// cgroup's pids.max no process can be made in it, but one made outside can be moved
// there: cgroups(7). A move waits some 10 ms for the kernel, so it comes second.
// Whoever opens cgroup.procs, here as the caller, is who must be allowed to write it.
func (c *compiler) cloneInit(pid plan.Slot, child plan.Label) {
	op, made := c.clone(), c.b.Label()
	old := plan.Clone{Flags: op.Flags &^ unix.CLONE_INTO_CGROUP}
	if c.cgroup == 0 {
		c.b.Add(plan.Step{Op: op, Result: pid, Tolerate: plan.Ignore(unix.ENOSYS), OnZero: child, OnNonzero: made})
		c.b.Add(plan.Step{Op: old, Result: pid, OnZero: child})
		c.b.Place(made)
		return
	}
	c.b.Add(plan.Step{Op: op, Result: pid, Tolerate: plan.Ignore(unix.EAGAIN, unix.ENOSYS), OnZero: child, OnNonzero: made})
	procs := c.b.Get("procs", plan.Openat2{DirFD: c.cgroup.Ref(), Path: "cgroup.procs", Flags: unix.O_WRONLY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV})
	c.b.Add(plan.Step{Op: old, Result: pid, OnNonzero: made})
	c.b.Add(plan.Step{Op: plan.Write{FD: procs.Ref(), Data: "0"}, OnZero: child, OnNonzero: child})
	c.b.Place(made)
}

func (c *compiler) clone() plan.Clone3 {
	op := plan.Clone3{Flags: unix.CLONE_PARENT | uint64(c.ns.flags&^c.unshared()&^c.ownQueues()&^c.ownNetwork())}
	if c.wishes.Detached {
		op.Flags &^= unix.CLONE_PARENT
	}
	if c.cgroup != 0 {
		op.Flags |= unix.CLONE_INTO_CGROUP
		op.Cgroup = c.cgroup.Ref()
	}
	if c.listens() {
		op.Flags |= unix.CLONE_FILES
	}
	return op
}

// unshared are the namespaces that init makes itself where systemd waits until it is known who
// it is: a network namespace takes longer than the process, and the rest goes with it. In a new
// user namespace that of the network comes later anyhow: see ownNetwork.
func (c *compiler) unshared() int {
	if !c.decided.cgroup.late() || c.ns.newUser || c.ns.flags&unix.CLONE_NEWNET == 0 {
		return 0
	}
	return c.ns.flags &^ unix.CLONE_NEWPID
}

// ownNetwork is CLONE_NEWNET where init makes that namespace once its ids are mapped, else 0: what is in /proc/net and
// /sys/class/net belongs to the root of its user namespace, as that is when it is made (proc_net_ns_init() in
// fs/proc/proc_net.c, net_ns_get_ownership() in net/core/net-sysfs.c), and to nobody without a map.
func (c *compiler) ownNetwork() int {
	if !c.ns.newUser {
		return 0
	}
	return c.ns.flags & unix.CLONE_NEWNET
}

// network makes the network namespace, if nothing has yet, and brings it up.
func (c *compiler) network() {
	if flag := c.ownNetwork(); flag != 0 {
		c.b.At("linux.namespaces", "make the network namespace")
		c.b.Do(plan.Unshare{Flags: flag})
	}
	c.loopback()
}

// ownQueues is CLONE_NEWIPC where init makes that namespace as the container's root, else 0: message queues belong to who
// makes them (mq_init_ns() in ipc/mqueue.c), and the container might not have the caller.
func (c *compiler) ownQueues() int {
	caller, known := userns.ToContainer(uint32(c.facts.Process.UID), c.uidLines)
	if c.ns.othersMounts || !c.joinsUser() && (!c.ns.newUser || known && caller == c.workingUID) {
		return 0
	}
	return c.ns.flags & unix.CLONE_NEWIPC
}

// beginInit writes the start of init: who it is.
func (c *compiler) beginInit() error {
	c.labels()
	if c.ns.newUser && !c.ns.userEarly {
		c.installMaps("init")
	}
	if !c.hidesLate() {
		c.hide()
	}
	c.b.At("default", "give files the modes that config.json has")
	c.b.Do(plan.Umask{})
	if c.decided.wait {
		c.b.Do(plan.SetName{Name: "homerun:init"})
	}
	if c.decided.cgroup.into() && c.ns.newCgroup {
		c.cgroupNamespace()
	}
	c.joinLate()
	c.names()
	if c.mapsFirst() {
		c.awaitMaps()
	}
	c.network()
	return nil
}

// hide hides init from the container, and from whoever else is in a namespace that
// it has joined. In a new user namespace it has id maps by then, whose files would
// else be root's: proc(5).
func (c *compiler) hide() {
	c.b.At("default", "hide from the container")
	if len(c.joins) == 0 {
		process.Hide(c.b)
	}
}

// names sets the host and the domain name.
func (c *compiler) names() {
	if h := c.spec.Hostname; h != "" {
		c.b.At("hostname", "set the host name")
		c.b.Do(plan.Sethostname{Name: h})
	}
	if d := c.spec.Domainname; d != "" {
		c.b.At("domainname", "set the domain name")
		c.b.Do(plan.Setdomainname{Name: d})
	}
}

// loopback brings lo up in a new network namespace. A UNIX socket serves,
// because a unit with RestrictAddressFamilies may have no other.
func (c *compiler) loopback() {
	if c.ns.flags&unix.CLONE_NEWNET == 0 {
		return
	}
	c.b.At("linux.namespaces", "bring the loopback interface up")
	s := c.b.Get("socket", plan.Socket{Domain: unix.AF_UNIX, Type: unix.SOCK_DGRAM | unix.SOCK_CLOEXEC})
	c.b.Do(plan.SetInterfaceFlags{FD: s.Ref(), Name: "lo", Flags: unix.IFF_UP | unix.IFF_RUNNING})
	c.b.Close(s)
}

// awaitSignal has the runtime wait for a signal of the stage; answer, let the stage
// go on.
func (c *compiler) awaitSignal(pointer, name string) { c.runtime(pointer, plan.Await{Signal: name}) }

func (c *compiler) answerAt(pointer, name string) { c.runtime(pointer, plan.Answer{Awaited: name}) }

// note records something that was decided without being asked.
func (c *compiler) note(format string, args ...any) {
	c.result.Notes = append(c.result.Notes, fmt.Sprintf(format, args...))
}

// warn records something that is ignored.
func (c *compiler) warn(format string, args ...any) {
	c.result.Warnings = append(c.result.Warnings, fmt.Sprintf(format, args...))
}
