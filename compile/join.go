package compile

import (
	"slices"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/process"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Join describes a process to be started in an existing container: by exec, or
// as a hook.
type Join struct {
	// Process is what runs.
	Process *specs.Process
	// Spec is the container's config, for what the process inherits.
	Spec *specs.Spec
	// Hook, when set, is executed in place of what Process says to run. Its
	// environment, when it has none of its own, is the process's.
	Hook *specs.Hook
	// ContainerID is the container's.
	ContainerID string
	// EndsWithCaller is that of Wishes.
	EndsWithCaller bool
	// Keyring gives the process a session keyring of its own.
	Keyring bool
	// PidfdSocket receives the process's pidfd, PidFile its id.
	PidfdSocket, PidFile string
	// Waits: init waits to be started, and must not be traced by the process.
	Waits bool
	// AsCaller leaves a hook the caller's credentials and limits, for one whose
	// path is the host's. Of Process only Env and Cwd count then.
	AsCaller bool
	// Namespaces are the CLONE_NEW* to join, by init's pidfd; none for a hook
	// that runs in the runtime's.
	Namespaces int
	// Preserve is how many descriptors from 3 on reach the process.
	Preserve int
	// ConsoleSocket is that of Wishes.
	ConsoleSocket string
	// Chroot: init's root, the input "root", is entered first.
	Chroot bool
	// IntoCgroup starts the process in the input "cgroup".
	IntoCgroup bool
	// Hold lets the process wait while the runtime has it moved into its
	// cgroup, for callers who may not start one there.
	Hold bool
	// Seccomp is a compiled filter, or nil.
	Seccomp *Filter
}

// outside reports whether the process joins nothing.
func (j *Join) outside() bool { return j.AsCaller && j.Namespaces == 0 }

// InputInit is init's pidfd, InputMounts its mount namespace as it was before the
// runtime looked whose it is, InputRoot its root directory, and InputDevpts its
// /dev/pts, for a process with a terminal.
const (
	InputInit   = "init"
	InputMounts = "mounts"
	InputRoot   = "root"
	InputDevpts = "devpts"
)

// CompileJoin makes the plan for a process in an existing container. The first
// process joins the namespaces with one setns (Linux 5.8); the second is then
// in the PID namespace too, and can be in the container's cgroup from its
// first moment.
func CompileJoin(j Join, facts *host.Facts) (*Result, error) {
	if j.Process == nil {
		return nil, &fault.Error{Place: "process", What: "start a process", Why: "there is none"}
	}
	if err := lacks(JoinNeeds(j), facts); err != nil {
		return nil, err
	}
	traces := false
	if j.Waits && !j.AsCaller {
		j.Process, traces = untracing(j.Process)
	}
	spec := &specs.Spec{Linux: &specs.Linux{}, Root: &specs.Root{}, Process: j.Process}
	if j.Spec != nil {
		spec.Annotations = j.Spec.Annotations
		if j.Spec.Linux != nil {
			spec.Linux = j.Spec.Linux
		}
	}
	c := &compiler{spec: spec, facts: facts, result: &Result{Joins: true}, exec: true, hook: j.Hook, setgroups: facts.UserNamespace.Setgroups != "deny"}
	c.wishes = Wishes{Preserve: j.Preserve, ConsoleSocket: j.ConsoleSocket, Seccomp: j.Seccomp, NoNewKeyring: !j.Keyring, EndsWithCaller: j.EndsWithCaller}
	c.intoCgroup, c.ns.initUser = j.IntoCgroup, j.Namespaces&unix.CLONE_NEWUSER != 0
	if traces && j.Hook == nil {
		c.warn("process.capabilities: CAP_SYS_PTRACE is ignored until the container is started")
	}
	if err := c.inputs(); err != nil {
		return nil, err
	}
	c.beforeJoin(j)
	var init running
	if !j.outside() {
		init = c.running(j.Namespaces)
	}
	var devpts plan.Slot
	if c.terminal != 0 {
		devpts = c.input(InputDevpts)
	}
	if err := c.enter(j, init); err != nil {
		return nil, err
	}
	if err := c.joined(j, devpts); err != nil {
		return nil, err
	}
	c.afterJoin(j)
	p, err := c.b.Build()
	c.result.Plan = p
	return c.result, err
}

// beforeJoin writes what the runtime does before the process exists.
func (c *compiler) beforeJoin(j Join) {
	if j.PidFile != "" {
		c.runtime("default", action.MakePidFile{Path: j.PidFile})
	}
	c.beforeStage(named(j.PidfdSocket))
	c.runtime("default", action.StartStage{Name: "homerun: exec " + j.ContainerID})
}

// afterJoin writes what it does until the process runs its program.
func (c *compiler) afterJoin(j Join) {
	c.passListener()
	c.runtime("default", action.AwaitProgram{})
	if c.terminal != 0 && j.ConsoleSocket == "" {
		c.runtime("process.terminal", action.ReceiveTerminal{})
	}
	c.sendPidfds(named(j.PidfdSocket))
	if j.PidFile != "" {
		c.runtime("default", action.NamePidFile{Path: j.PidFile})
	}
}

// untracing is a process without CAP_SYS_PTRACE, and whether it had that. While
// init waits to be started it has every capability and no filter, and shows itself
// to be joined. The kernel lets nobody trace it who has neither as many
// capabilities nor that one: ptrace(2), "Ptrace access mode checking".
func untracing(p *specs.Process) (without *specs.Process, had bool) {
	if p.Capabilities == nil {
		return p, false
	}
	copied, sets := *p, *p.Capabilities
	for _, set := range []*[]string{&sets.Bounding, &sets.Effective, &sets.Permitted, &sets.Inheritable, &sets.Ambient} {
		*set = slices.DeleteFunc(slices.Clone(*set), func(name string) bool {
			n, known := plan.CapabilityNumber(name)
			traces := known && n == unix.CAP_SYS_PTRACE
			had = had || traces
			return traces
		})
	}
	copied.Capabilities = &sets
	return &copied, had
}

// running is an init whose namespaces are joined.
type running struct{ pidfd, mounts plan.Slot }

// running adds the inputs by which these namespaces of init are joined.
func (c *compiler) running(namespaces int) running {
	init := running{pidfd: c.input(InputInit)}
	if namespaces&unix.CLONE_NEWNS != 0 {
		init.mounts = c.input(InputMounts)
	}
	return init
}

// joinInit joins namespaces of init. The mount namespace is the one that the runtime
// opened before it saw that init is still in the container's user namespace. Of one that
// init makes for itself after that, it would be the owner, and rule what is started there.
func (c *compiler) joinInit(init running, namespaces int) {
	if others := namespaces &^ unix.CLONE_NEWNS; others != 0 {
		c.setns(init.pidfd, others)
	}
	if namespaces&unix.CLONE_NEWNS != 0 {
		c.setns(init.mounts, unix.CLONE_NEWNS)
	}
}

// enter joins the container and makes the process.
func (c *compiler) enter(j Join, init running) error {
	var root plan.Slot
	if j.Chroot {
		root = c.input(InputRoot)
	}
	c.b.At("default", "close what the caller left open")
	c.b.Do(plan.CloseRange{First: c.highest})
	c.signals()
	c.timerSlack()
	if !j.AsCaller {
		c.oomScoreAdj()
		if j.Namespaces&unix.CLONE_NEWUSER != 0 {
			c.raiseLimits()
		}
		if err := c.openLabels(); err != nil {
			return err
		}
		if _, err := process.CPUs(c.b, j.Process, "initial"); err != nil {
			return err
		}
	}
	c.b.At("default", "hide from the container")
	process.Hide(c.b)
	c.b.At("default", "join the container's namespaces").For(plan.ForJoin, "")
	// Inside the cgroup namespace the way from our own cgroup into the
	// container's is not visible: cgroup_namespaces(7). So that one comes last,
	// for whoever is cloned into the container's cgroup.
	late := 0
	if j.IntoCgroup || j.Hold {
		late = j.Namespaces & unix.CLONE_NEWCGROUP
	}
	if others := j.Namespaces &^ late; others != 0 {
		c.joinInit(init, others)
	}
	child, pid := c.b.Label(), c.b.Slot("process")
	c.cloneInit(pid, child)
	c.made(pid)
	c.leave(pid)
	c.b.Place(child)
	c.awaitWatch()
	c.labels()
	c.awaitSignal("default", "init")
	if j.Hold {
		c.hold()
		c.runtime("linux.cgroupsPath", action.EnterScope{})
		c.answerAt("default", "continue")
	}
	if late != 0 {
		c.b.At("default", "join the container's cgroup namespace").For(plan.ForJoin, "")
		c.setns(init.pidfd, unix.CLONE_NEWCGROUP)
	}
	if root != 0 {
		c.b.At("default", "enter the container's root")
		c.b.Do(plan.Fchdir{FD: root.Ref()})
		c.b.Do(plan.Chroot{Path: "."})
	}
	return nil
}

// joined writes what the process does in the container.
func (c *compiler) joined(j Join, devpts plan.Slot) error {
	if devpts != 0 {
		c.execTerminal(devpts)
	}
	if j.outside() {
		c.outsideHook(j)
		return nil
	}
	c.controlTerminal()
	if j.AsCaller {
		c.callersHook(j)
		return nil
	}
	c.keyring()
	return c.runProgram()
}

// execTerminal makes the terminal in the container's devpts, of which the runtime
// has seen that it is one. What else is there by now is not opened: a file of the
// container's (FUSE) could answer TIOCGPTPEER with any descriptor.
func (c *compiler) execTerminal(devpts plan.Slot) {
	c.b.At("process.terminal", "make the terminal")
	master := c.b.Get("master", openMultiplexer(devpts))
	c.b.Close(devpts)
	c.terminalPair(master)
}

// openMultiplexer opens that of a devpts, by the mount itself.
func openMultiplexer(devpts plan.Slot) plan.Openat2 {
	return plan.Openat2{DirFD: devpts.Ref(), Path: "ptmx", Flags: unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV}
}

// callersHook executes a hook with the caller's credentials and limits. Where
// the working directory cannot be reached from inside, because the caller's
// capabilities do not count there or the mount namespace is somebody else's, it
// is the root, which is where setns(2) has left it.
func (c *compiler) callersHook(j Join) {
	c.b.At("hooks", "close all directories").For(plan.ForHook, "")
	c.b.Do(plan.CloseRange{First: c.keep})
	c.b.At("hooks", "enter the working directory "+j.Process.Cwd).For(plan.ForHook, "")
	c.b.Try(plan.Chdir{Path: j.Process.Cwd}, plan.Ignore(unix.EACCES, unix.ENOENT)...)
	c.b.At("hooks", "close everything at execve").For(plan.ForHook, "")
	c.b.Do(plan.CloseRange{First: 3 + c.wishes.Preserve, Flags: unix.CLOSE_RANGE_CLOEXEC})
	c.execHook(j.Process.Env)
}

// outsideHook executes a hook in the runtime's namespaces.
func (c *compiler) outsideHook(j Join) {
	c.b.At("hooks", "enter the bundle "+j.Process.Cwd).For(plan.ForHook, "")
	c.b.Do(plan.Chdir{Path: j.Process.Cwd})
	c.b.At("hooks", "close everything at execve").For(plan.ForHook, "")
	c.b.Do(plan.CloseRange{First: 3 + c.wishes.Preserve, Flags: unix.CLOSE_RANGE_CLOEXEC})
	c.execHook(j.Process.Env)
}

// execHook executes a hook, in env if it has no environment of its own.
func (c *compiler) execHook(env []string) {
	h := c.hook
	args := h.Args
	if len(args) == 0 {
		args = []string{h.Path}
	}
	if h.Env != nil {
		env = h.Env
	}
	c.b.At("hooks", "exec "+h.Path).For(plan.ForHook, "")
	c.b.Do(plan.Execve{Path: h.Path, Args: args, Env: env})
}
