package compile

import (
	"slices"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/intelrdt"
	"github.com/homerun-oci/homerun/netns/device"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// decide settles what init has to wait for.
func (c *compiler) decide() error {
	d, hooks := &c.decided, c.hooks()
	atStart := len(hooks.StartContainer) > 0
	d.wait = c.wishes.Create || atStart
	c.result.Waits = d.wait
	d.hold = d.cgroup.late() || d.cgroup.delegate != "" || c.connects() || c.setsOutside() ||
		len(hooks.Prestart)+len(hooks.CreateRuntime)+len(hooks.CreateContainer) > 0 //nolint:staticcheck // deprecated, and still what callers write
	d.visible = c.connects() || len(hooks.CreateContainer) > 0
	d.visibleWait = atStart || c.facts.Process.Capabilities&(1<<unix.CAP_SYS_PTRACE) == 0 // for exec
	return nil
}

func (c *compiler) hooks() *specs.Hooks {
	if c.spec.Hooks == nil {
		return &specs.Hooks{}
	}
	return c.spec.Hooks
}

// connects reports whether a helper connects the container's network.
func (c *compiler) connects() bool {
	return c.wishes.Network != nil && c.wishes.Network.Network.NeedsHelper()
}

// writeNetworkFiles fills what init has mounted by then, or mounts later.
func (c *compiler) writeNetworkFiles() {
	c.runtime("default", action.WriteNetworkFiles{Connection: c.wishes.Network, Hostname: c.spec.Hostname})
}

// setsOutside reports whether linux asks for something else that is set from
// outside while init waits.
func (c *compiler) setsOutside() bool {
	return len(c.spec.Linux.NetDevices) > 0 || c.spec.Linux.IntelRdt != nil
}

// before writes what the runtime does before the first process exists.
func (c *compiler) before() error {
	c.runtime("default", action.MakeDirectory{Path: c.wishes.StateDir})
	if c.locks() {
		c.runtime("root.path", action.LockOverlay{Dir: c.wishes.Overlay.Dir})
	}
	for _, name := range c.networkFiles {
		c.runtime("default", action.MakeFile{Name: name})
	}
	if c.wishes.Network != nil && !c.connects() {
		c.writeNetworkFiles()
	}
	if c.relays {
		c.runtime("default", action.MakeNotifySocket{Bind: !c.wishes.Create})
	}
	if c.wishes.Subreaper && c.result.Namespaces&unix.CLONE_NEWPID == 0 {
		c.runtime("default", action.BecomeSubreaper{})
	}
	if c.decided.wait {
		c.runtime("default", action.MakeFIFOs{})
	}
	if c.wishes.Detached {
		c.runtime("default", action.MakeExitRecord{})
	}
	if c.wishes.Output != "" {
		c.runtime("default", action.KeepOutput{Driver: c.wishes.Output})
	}
	for _, j := range c.ns.joined {
		c.runtime(j.pointer()+".path", action.OpenNamespace{Input: j.input(), Path: j.path, Type: j.flag, Pointer: j.pointer() + ".path"})
	}
	for _, m := range c.idmapped {
		c.runtime(m.Pointer, action.PrepareIDMap{IDMap: m})
	}
	if err := c.makeCgroup(); err != nil {
		return err
	}
	if c.copies != 0 {
		c.runtime("default", action.OpenCopies{})
	}
	c.beforeStage(c.pidfdSockets())
	c.runtime("default", action.StartStage{Name: "homerun: init " + c.wishes.ID})
	if c.wishes.Profile {
		c.runtime("linux.seccomp", action.LoadFilter{})
	}
	return nil
}

// beforeStage connects whom the stage, or the runtime in the end, will send
// something.
func (c *compiler) beforeStage(pidfdSockets []string) {
	if c.terminal != 0 {
		c.runtime("process.terminal", action.ConnectConsole{Socket: c.wishes.ConsoleSocket})
	}
	for _, socket := range pidfdSockets {
		c.runtime("default", action.ConnectPidfd{Socket: socket})
	}
	if c.listens() {
		c.runtime("linux.seccomp.listenerPath", action.ConnectAgent{Agent: c.wishes.Seccomp.Agent, Waits: c.decided.wait})
	}
}

// outside writes what the runtime does while init is held.
func (c *compiler) outside() error {
	if c.decided.cgroup.late() { // the filter might forbid to make the nodes that init has by now
		c.devicesAndOwner()
	}
	c.moveDown()
	moves, err := device.New(c.spec.Linux.NetDevices, c.result.Namespaces&unix.CLONE_NEWNET != 0)
	if err != nil {
		return err
	}
	if len(moves) > 0 {
		c.runtime("linux.netDevices", action.MoveDevices{List: moves})
	}
	if rdt := c.spec.Linux.IntelRdt; rdt != nil {
		p, err := intelrdt.New(rdt, c.wishes.ID)
		if err != nil {
			return &fault.Error{Place: "linux.intelRdt", What: "join a class of resctrl", Why: err.Error()}
		}
		c.runtime("linux.intelRdt", action.JoinClass{Plan: p, Root: intelrdt.Root})
	}
	if c.connects() {
		c.runtime("default", action.AwaitNetwork{Connection: c.wishes.Network})
		c.writeNetworkFiles()
	}
	h := c.hooks()
	c.runHooks(action.RunHook{Kind: "prestart", Status: "creating"}, h.Prestart) //nolint:staticcheck // deprecated, and still what callers write
	c.runHooks(action.RunHook{Kind: "createRuntime", Status: "creating"}, h.CreateRuntime)
	c.runHooks(action.RunHook{Kind: "createContainer", Status: "creating", Inside: true}, h.CreateContainer)
	return nil
}

func (c *compiler) runHooks(like action.RunHook, list []specs.Hook) {
	for i := range list {
		like.Index, like.Path = i, list[i].Path
		c.runtime(like.Pointer(), like)
	}
}

// after writes what the runtime does once init waits for start, or the program
// runs: what is left of `create` and `run`, and all of `start`.
func (c *compiler) after() {
	if !c.decided.wait {
		c.awaitProgram()
	}
	if c.terminal != 0 && c.wishes.ConsoleSocket == "" {
		c.runtime("process.terminal", action.ReceiveTerminal{})
	}
	c.sendPidfds(c.pidfdSockets())
	if c.wishes.PidFile != "" {
		c.runtime("default", action.NamePidFile{Path: c.wishes.PidFile})
	}
	if c.wishes.ConfigMade && c.wishes.Create {
		c.runtime("default", action.KeepConfig{})
	}
	if c.wishes.Create {
		c.runtime("default", action.Leave{})
	}
	if c.decided.wait {
		c.start()
	}
	if c.wishes.ConfigMade && !c.wishes.Create {
		c.runtime("default", action.KeepConfig{})
	}
	c.poststart()
}

// start writes what lets an init go on that waits for start.
func (c *compiler) start() {
	c.runHooks(action.RunHook{Kind: "startContainer", Status: "created", Inside: true, AsProgram: true}, c.hooks().StartContainer)
	if c.listens() {
		c.runtime("linux.seccomp.listenerPath", action.MeetAgent{Agent: c.wishes.Seccomp.Agent})
	}
	c.answerAt("default", "start")
	c.awaitProgram()
}

func (c *compiler) poststart() {
	c.runHooks(action.RunHook{Kind: "poststart", Status: "running"}, c.hooks().Poststart)
}

// Start are the steps of `start`, those after action.Leave in the plan of `create`.
// mayListen: its seccomp filter may have a listener.
func Start(spec *specs.Spec, mayListen bool) []plan.RuntimeStep {
	c := &compiler{spec: withDefaults(spec), b: plan.NewBuilder(0)}
	c.decided.wait = true
	if mayListen {
		c.wishes.Seccomp = &Filter{Flags: unix.SECCOMP_FILTER_FLAG_NEW_LISTENER}
	}
	c.start()
	c.poststart()
	return c.b.RuntimeSteps()
}

// pidfdSockets are those that receive init's pidfd.
func (c *compiler) pidfdSockets() []string {
	return named(c.wishes.PidfdSocket, c.spec.Annotations[pidfdAnnotation])
}

// named are the names that are not empty.
func named(names ...string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

func (c *compiler) sendPidfds(sockets []string) {
	for _, socket := range sockets {
		c.runtime("default", action.SendPidfd{Socket: socket})
	}
}

// pidfdAnnotation names a socket that receives init's pidfd, as crun has it.
const pidfdAnnotation = "run.oci.pidfd_receiver"

// awaitProgram waits until the program runs, and knows its processes then.
func (c *compiler) awaitProgram() {
	c.passListener()
	c.runtime("default", action.AwaitProgram{})
	if !c.decided.wait {
		c.runtime("default", action.MarkMade{})
	}
	if c.knownByMounts() {
		c.runtime("default", action.RecordMembers{})
	}
}

// owns reports whether config.json asks for a new namespace of a type.
func (c *compiler) owns(kind specs.LinuxNamespaceType) bool {
	for _, ns := range c.spec.Linux.Namespaces {
		if ns.Type == kind {
			return ns.Path == ""
		}
	}
	return false
}

func (c *compiler) passListener() {
	if c.listens() {
		c.runtime("linux.seccomp.listenerPath", action.PassListener{Agent: c.wishes.Seccomp.Agent})
	}
}
