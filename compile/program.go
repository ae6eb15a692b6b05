package compile

import (
	"sort"
	"strings"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/process"
	"github.com/homerun-oci/homerun/rootfs"
	"github.com/homerun-oci/homerun/userns"
	"golang.org/x/sys/unix"
)

// fileSystem writes the container's file system, up to the pivot.
func (c *compiler) fileSystem() error {
	if c.mapsBeside() && !c.mapsFirst() {
		c.awaitMaps()
	}
	c.recordAt(afterMaps)
	if c.hidesLate() {
		c.hide()
	}
	if c.ns.othersMounts {
		c.becomeRoot()
		c.startNetwork()
		return c.chroot()
	}
	tree, mounts, err := rootfs.Sources(c.b, c.rootfsConfig())
	if err != nil {
		return err
	}
	c.tree = tree
	c.becomeRoot()
	if flag := c.ownQueues(); flag != 0 {
		c.b.At("linux.namespaces", "make the IPC namespace")
		c.b.Do(plan.Unshare{Flags: flag})
	}
	c.startNetwork()
	early, late := c.splitMounts(mounts)
	if err := tree.Mounts(early); err != nil {
		return err
	}
	c.b.At("process.cwd", "make the working directory "+c.spec.Process.Cwd)
	tree.MakeDirectory(c.spec.Process.Cwd)
	c.openTerminal()
	if err := c.sysctl(); err != nil {
		return err
	}
	if err := c.holds(late); err != nil {
		return err
	}
	tree.FillCopies()
	tree.Finish()
	c.result.Warnings = append(c.result.Warnings, tree.Warnings...)
	return nil
}

// rootfsConfig says what the file system is made from.
func (c *compiler) rootfsConfig() rootfs.Config {
	r := rootfs.Config{Spec: c.spec, Facts: c.facts, Mounts: c.mountList, Absolute: c.absolute, NewUser: c.ns.newUser || c.joinsUser(),
		NewCgroup: c.ns.newCgroup, NewPID: c.ns.flags&unix.CLONE_NEWPID != 0, NewIPC: c.ns.flags&unix.CLONE_NEWIPC != 0,
		UIDs: c.uidLines, GIDs: c.gidLines, Inputs: c.idmaps, NoPivot: c.wishes.NoPivot,
		CopyOutside: c.copyOutside, Here: c.wishes.Here, Overlay: c.wishes.Overlay, Fill: c.fills(), Editable: c.result.Copied}
	if c.joinsUser() {
		r.UserNamespace = c.ns.joined[0].path
	}
	for _, j := range c.ns.joined {
		r.Joined |= j.flag
	}
	return r
}

// fills reports whether the root is owned by somebody whom the container does not
// have, so that nobody in it could change anything.
func (c *compiler) fills() bool {
	l := c.facts.Layers
	if c.wishes.Overlay == nil || l == nil || !c.ns.newUser {
		return false
	}
	_, has := userns.ToContainer(uint32(l.UID), c.uidLines)
	return !has
}

// idmapInputs adds the descriptors for id-mapped mounts, which the runtime
// prepares.
func (c *compiler) idmapInputs() error {
	if c.ns.othersMounts {
		return nil
	}
	list, err := rootfs.IDMaps(c.rootfsConfig())
	if err != nil {
		return err
	}
	c.idmapped = list
	for i := range list {
		if c.idmaps == nil {
			c.idmaps = make(map[int]plan.Slot)
		}
		c.idmaps[list[i].Mount()] = c.input(list[i].Input)
	}
	return nil
}

// splitMounts puts the mounts of the cgroup tree last when init is moved into
// its cgroup only beside the others: what they show is fixed when they are made.
func (c *compiler) splitMounts(mounts []rootfs.Mount) (early, late []rootfs.Mount) {
	if !c.decided.cgroup.late() {
		return mounts, nil
	}
	for _, m := range mounts {
		if m.IsCgroup() {
			late = append(late, m)
		} else {
			early = append(early, m)
		}
	}
	return early, late
}

// lateCgroup makes the cgroup namespace, whose root is the cgroup that init is
// in by now, and its mounts.
func (c *compiler) lateCgroup(late []rootfs.Mount) error {
	if c.decided.cgroup.late() && c.ns.newCgroup {
		c.cgroupNamespace()
	}
	if len(late) == 0 {
		return nil
	}
	return c.tree.Late(late)
}

// cgroupNamespace makes the cgroup that init is in the root of what it sees.
func (c *compiler) cgroupNamespace() {
	c.b.At("linux.namespaces", "make the cgroup namespace")
	c.b.Do(plan.Unshare{Flags: unix.CLONE_NEWCGROUP})
}

// becomeRoot takes the ids that make the container's file system. Capabilities
// stay: the change is from another id to 0, or there was a clone into a new
// user namespace whose effective set the kernel raises again.
func (c *compiler) becomeRoot() {
	if !c.changesUID {
		return
	}
	c.b.At("default", "become the container's root")
	process.SetGID(c.b, c.workingGID)
	if c.workingUID != 0 {
		c.b.Do(plan.Prctl{Option: unix.PR_SET_KEEPCAPS, Arg2: 1})
	}
	process.SetUID(c.b, c.workingUID)
	if c.workingUID != 0 {
		all := uint64(1)<<(c.facts.Kernel.LastCapability+1) - 1
		c.b.Do(plan.Capset{Effective: all, Permitted: all})
	}
}

// chroot enters a root in a mount namespace that is somebody else's or the
// caller's, leaving its mounts alone. It is opened without magic links, which would lead to what
// the runtime has open.
func (c *compiler) chroot() error {
	c.b.At("root.path", "enter the root "+c.facts.Rootfs.Path)
	root := c.b.Get("root", plan.Openat2{DirFD: plan.AtCWD(), Path: c.facts.Rootfs.Path,
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_MAGICLINKS})
	c.b.Do(plan.Fchdir{FD: root.Ref()})
	c.b.Close(root)
	c.b.Do(plan.Chroot{Path: "."})
	return c.holds(nil)
}

// holds waits for what the runtime does from outside, and makes what shows the
// cgroup that init is in only then. Hooks that join the container need its cgroup
// namespace (config.md, "Hooks"), and cannot join the host's, which init is in
// until it has its own: for them init waits twice. So it does for a delegated cgroup,
// which lies below the namespace's root. The runtime awaits the scope beside init's mounts.
func (c *compiler) holds(late []rootfs.Mount) error {
	if err := c.awaitScope(); err != nil {
		return err
	}
	twice := c.decided.cgroup.delegate != "" || len(c.hooks().CreateContainer) > 0
	if !twice || !c.decided.cgroup.late() {
		if err := c.held(); err != nil {
			return err
		}
		return c.lateCgroup(late)
	}
	c.b.At("linux.cgroupsPath", "wait for the scope")
	c.await(c.sync, "in scope")
	c.answerAt("linux.cgroupsPath", "in scope")
	if err := c.lateCgroup(late); err != nil {
		return err
	}
	return c.held()
}

// held lets init wait while the runtime does what is done from outside, if there
// is anything.
func (c *compiler) held() error {
	if !c.decided.hold {
		return nil
	}
	c.hold()
	if err := c.outside(); err != nil {
		return err
	}
	c.answerAt("default", "continue")
	return nil
}

// startNetwork has the helper that connects the network start beside the mounts. It
// finds the namespaces by init's process id, some time until it has answered: so
// init, which changes its ids no more, can be looked at from here until it is held.
func (c *compiler) startNetwork() {
	if !c.connects() {
		return
	}
	c.b.At("default", "let the network be connected")
	c.show()
	c.signal(TagNetwork, 0, "network")
	c.awaitSignal("default", "network")
	c.runtime("default", action.StartNetwork{Connection: c.wishes.Network, Directory: c.wishes.StateDir})
}

// show lets the caller's other processes look at init. Nothing but init is in the
// container; where something was joined, others may be.
func (c *compiler) show() {
	if !c.shown && c.decided.visible && len(c.joins) == 0 {
		c.b.Do(plan.Prctl{Option: unix.PR_SET_DUMPABLE, Arg2: 1})
		c.shown = true
	}
}

// hold waits for the runtime's answer "continue".
func (c *compiler) hold() {
	c.b.At("default", "wait for the runtime")
	c.show()
	c.signal(TagNamespaces, 0, "namespaces")
	c.await(c.sync, "continue")
	if c.shown {
		process.Hide(c.b)
	}
	c.awaitSignal("default", "namespaces")
}

// sysctl writes kernel parameters of the container's namespaces.
func (c *compiler) sysctl() error {
	if len(c.spec.Linux.Sysctl) == 0 {
		return nil
	}
	c.b.At("linux.sysctl", "a procfs to set kernel parameters")
	proc := c.tree.Parameters()
	defer c.tree.CloseParameters(proc)
	keys := make([]string, 0, len(c.spec.Linux.Sysctl))
	for k := range c.spec.Linux.Sysctl {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		pointer := "linux.sysctl." + k
		if why := c.foreignSysctl(sysctlPath(k)); why != "" {
			return &fault.Error{Place: pointer, What: "set the kernel parameter " + k, Why: why}
		}
		c.b.At(pointer, "set the kernel parameter "+k)
		if sysctlPath(k) == "kernel/domainname" {
			// The file belongs to the host's root whatever the namespace; the
			// call asks the namespace's owner.
			c.b.Do(plan.Setdomainname{Name: c.spec.Linux.Sysctl[k]})
			continue
		}
		f := c.b.Get("sysctl", plan.Openat2{DirFD: proc.Ref(), Path: "sys/" + sysctlPath(k), Flags: unix.O_WRONLY | unix.O_CLOEXEC,
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV})
		c.b.Do(plan.Write{FD: f.Ref(), Data: c.spec.Linux.Sysctl[k]})
		c.b.Close(f)
	}
	return nil
}

// sysctlPath is a key as a path: sysctl(8) swaps dots and slashes, unless the
// first separator is a slash already.
func sysctlPath(key string) string {
	if i := strings.IndexAny(key, "./"); i >= 0 && key[i] == '/' {
		return key
	}
	swap := strings.NewReplacer(".", "/", "/", ".")
	return swap.Replace(key)
}

// foreignSysctl says why a parameter must not be set: only those that belong
// to a namespace of the container's own are its to set.
func (c *compiler) foreignSysctl(p string) string {
	has := func(flag int) bool {
		if c.ns.flags&flag != 0 || flag == unix.CLONE_NEWUSER && c.ns.newUser {
			return true
		}
		for _, j := range c.ns.joined {
			if j.flag == flag {
				return true
			}
		}
		return false
	}
	need, name := sysctlNamespace(p)
	switch {
	case p == "kernel/hostname":
		return "the host name is set by hostname"
	case need == 0:
		return "it does not belong to a namespace, so it would change the host"
	case !has(need):
		return "the container has no " + name + " namespace of its own, so it would change the host"
	}
	return ""
}

// sysctlNamespace is the namespace that a parameter belongs to: config-linux.md,
// "Sysctl", and namespaces(7).
func sysctlNamespace(p string) (flag int, name string) {
	switch p {
	case "kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall", "kernel/shmmax",
		"kernel/shmmni", "kernel/shm_rmid_forced":
		return unix.CLONE_NEWIPC, "ipc"
	case "kernel/domainname", "kernel/hostname":
		return unix.CLONE_NEWUTS, "uts"
	}
	switch {
	case strings.Contains(p, ".."):
		return 0, ""
	case strings.HasPrefix(p, "fs/mqueue/"):
		return unix.CLONE_NEWIPC, "ipc"
	case strings.HasPrefix(p, "net/"):
		return unix.CLONE_NEWNET, "network"
	case strings.HasPrefix(p, "user/"):
		return unix.CLONE_NEWUSER, "user"
	}
	return 0, ""
}

// openTerminal makes the container's terminal in its own devpts, sends the
// runtime's end of it away, and binds the other to /dev/console.
func (c *compiler) openTerminal() {
	if c.terminal == 0 {
		return
	}
	c.b.At("process.terminal", "make the terminal")
	c.terminalPair(c.openMaster())
	c.tree.Console(c.pty)
}

// terminalPair opens the program's end of a terminal and sends the other away.
func (c *compiler) terminalPair(master plan.Slot) {
	c.b.Do(plan.UnlockTerminal{FD: master.Ref()})
	c.pty = c.b.Get("pty", plan.Ioctl{FD: master.Ref(), Request: unix.TIOCGPTPEER, Arg: unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC})
	c.b.Do(plan.Fchown{FD: c.pty.Ref(), UID: int(c.spec.Process.User.UID), GID: -1})
	if rows, columns := c.terminalSize(); rows != 0 || columns != 0 {
		c.b.Do(plan.SetWindowSize{FD: c.pty.Ref(), Rows: rows, Columns: columns})
	}
	if c.facts.Terminal.Output == host.OutputFile && c.wishes.ConsoleSocket == "" {
		c.b.Do(plan.ClearONLCR{FD: c.pty.Ref()})
	}
	c.b.Do(plan.SendFD{Socket: c.terminal.Ref(), FD: master, Text: "/dev/ptmx"})
	c.b.Close(master)
}

// terminalSize is that of config.json, or else of the caller's terminal, so
// that the program sees it from its first moment.
func (c *compiler) terminalSize() (rows, columns uint16) {
	if size := c.spec.Process.ConsoleSize; size != nil {
		return uint16(size.Height), uint16(size.Width)
	}
	if size := c.facts.Terminal.Size; size != nil {
		return size.Rows, size.Columns
	}
	return 0, 0
}

// openMaster opens the multiplexer of the container's devpts by the mount
// itself, never by a name in the rootfs.
func (c *compiler) openMaster() plan.Slot {
	if devpts := c.tree.Devpts(); devpts != 0 {
		return c.b.Get("master", openMultiplexer(devpts))
	}
	return c.tree.OpenInside("master", "/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY)
}

// controlTerminal makes the terminal the session's own and the standard
// streams.
func (c *compiler) controlTerminal() {
	c.b.At("process.terminal", "start a session")
	c.b.Do(plan.Setsid{})
	if c.pty == 0 {
		return
	}
	if !c.wishes.Reaper {
		c.takeTerminal(c.pty.Ref())
	}
	c.b.At("process.terminal", "take the terminal")
	for fd := range 3 {
		c.b.Do(plan.Dup3{Old: c.pty.Ref(), New: fd, Flags: 0})
	}
}

// takeTerminal makes it the session's.
func (c *compiler) takeTerminal(fd plan.Ref) {
	if c.pty == 0 {
		return
	}
	c.b.At("process.terminal", "take the terminal")
	c.b.Do(plan.Ioctl{FD: fd, Request: unix.TIOCSCTTY})
}

// program writes the rest: from after the pivot to execve.
func (c *compiler) program() error {
	c.controlTerminal()
	c.keyring()
	return c.runProgram()
}

// keyring gives the process a session keyring of its own, where keys are allowed
// and not used up: keyctl(2). Else it has the caller's.
func (c *compiler) keyring() {
	if c.wishes.NoNewKeyring {
		return
	}
	c.labelKeys(c.spec.Process.SelinuxLabel)
	defer c.labelKeys("")
	c.b.At("default", "make a session keyring")
	c.b.Try(plan.Keyctl{}, plan.Ignore(unix.ENOSYS, unix.EPERM, unix.EDQUOT, unix.ENOMEM)...)
}

// awaitRecord waits until the runtime has written who init is. If the runtime
// dies before, init does too.
func (c *compiler) awaitRecord() {
	if !c.parts { // a process in a container that is recorded already
		return
	}
	c.b.At("default", "wait until the container is recorded")
	c.await(c.sync, "recorded")
	c.answerAt("default", "recorded")
}

// waitForStart tells `create` that all is done, and waits for `start`, which
// from now on is told of failures.
func (c *compiler) waitForStart() {
	if !c.decided.wait {
		return
	}
	process.Look(c.b, c.spec.Process)
	c.b.At("default", "wait for start")
	// The image's hooks join init now, and cannot trace it: see untracing.
	visible := c.decided.visibleWait && len(c.joins) == 0
	if visible {
		c.b.Do(plan.Prctl{Option: unix.PR_SET_DUMPABLE, Arg2: 1})
	}
	c.signal(TagReady, 0, "ready")
	c.awaitSignal("default", "ready")
	c.runtime("default", action.MarkMade{})
	c.b.Do(plan.Dup3{Old: c.outcome.Ref(), New: 3 + c.wishes.Preserve, Flags: unix.O_CLOEXEC})
	c.await(c.startFIFO, "start")
	if visible {
		process.Hide(c.b)
	}
}
