package compile

import (
	"fmt"
	"slices"
	"sort"
	"strconv"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/process"
	"github.com/homerun-oci/homerun/userns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// namespaces says which namespaces the container gets.
type namespaces struct {
	// flags are the CLONE_NEW* for init's clone.
	flags int
	// joined are those named by path, the user namespace first.
	joined []joined
	// newUser, newCgroup: the container has one of its own. userEarly: the
	// first process enters it before the clone.
	newUser, userEarly, newCgroup bool
	// initUser: the process joins init's user namespace.
	initUser bool
	// time: a new time namespace.
	time bool
	// othersMounts: the mount namespace is somebody else's, joined by path, or
	// the caller's.
	othersMounts bool
}

// joined is a namespace named by path.
type joined struct {
	index int
	flag  int
	path  string
}

func (j joined) pointer() string { return "linux.namespaces[" + strconv.Itoa(j.index) + "]" }

// input is the name of the descriptor that the runtime opens.
func (j joined) input() string { return "namespace" + strconv.Itoa(j.index) }

// flagOf is the clone flag of an OCI namespace type.
func flagOf(t specs.LinuxNamespaceType) int {
	switch t {
	case specs.PIDNamespace:
		return unix.CLONE_NEWPID
	case specs.NetworkNamespace:
		return unix.CLONE_NEWNET
	case specs.MountNamespace:
		return unix.CLONE_NEWNS
	case specs.IPCNamespace:
		return unix.CLONE_NEWIPC
	case specs.UTSNamespace:
		return unix.CLONE_NEWUTS
	case specs.UserNamespace:
		return unix.CLONE_NEWUSER
	case specs.CgroupNamespace:
		return unix.CLONE_NEWCGROUP
	case specs.TimeNamespace:
		return unix.CLONE_NEWTIME
	}
	return 0
}

// namespaces reads linux.namespaces.
func (c *compiler) namespaces() error {
	for i, ns := range c.spec.Linux.Namespaces {
		flag := flagOf(ns.Type)
		if flag == 0 {
			return &fault.Error{Place: "linux.namespaces[" + strconv.Itoa(i) + "].type", What: "make a namespace",
				Why: fmt.Sprintf("unknown type %q", ns.Type)}
		}
		if ns.Path == "" {
			c.ns.flags |= flag
		} else if err := c.joinByPath(i, flag, ns); err != nil {
			return err
		}
	}
	if makesUser(c.spec, c.facts) && c.ns.flags&unix.CLONE_NEWUSER == 0 {
		c.ns.flags |= unix.CLONE_NEWUSER
		c.note("made a user namespace, which config.json does not ask for: without root there is no other way")
	}
	return c.settle()
}

// makesUser reports whether the container gets a user namespace of its own: also
// without asking, where the caller is not root.
func makesUser(s *specs.Spec, facts *host.Facts) bool {
	for i := range s.Linux.Namespaces {
		if ns := &s.Linux.Namespaces[i]; ns.Type == specs.UserNamespace {
			return ns.Path == ""
		}
	}
	return facts.Process.UID != 0
}

// entersUser reports whether the container may be in another user namespace than the runtime.
func entersUser(s *specs.Spec, facts *host.Facts) bool {
	return makesUser(s, facts) || slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
}

// joinByPath records a namespace to join, unless the runtime is in it already:
// joining one's own user namespace is an error of the kernel.
func (c *compiler) joinByPath(i, flag int, ns specs.LinuxNamespace) error {
	j := joined{index: i, flag: flag, path: ns.Path}
	fact := c.facts.Namespaces[ns.Path]
	e := &fault.Error{Place: j.pointer() + ".path", What: "join the " + string(ns.Type) + " namespace " + ns.Path}
	switch {
	case fact.Error != "":
		e.Why, e.Errno = errnoText(fact.Error)
		return e
	case fact.Type != "" && fact.Type != string(ns.Type):
		e.Why = "it is a " + fact.Type + " namespace"
		return e
	case !fact.Same:
		c.ns.joined = append(c.ns.joined, j)
	}
	return nil
}

// errnoText turns an errno's name into its text and number.
func errnoText(name string) (string, unix.Errno) {
	for n := unix.Errno(1); n < 134; n++ {
		if unix.ErrnoName(n) == name {
			return n.Error() + " (" + name + ")", n
		}
	}
	return name, 0
}

// settle derives the rest.
func (c *compiler) settle() error {
	ns := &c.ns
	ns.newUser = ns.flags&unix.CLONE_NEWUSER != 0
	ns.newCgroup = ns.flags&unix.CLONE_NEWCGROUP != 0
	ns.time = ns.flags&unix.CLONE_NEWTIME != 0
	ns.userEarly = ns.newUser && ns.time
	ns.flags &^= unix.CLONE_NEWTIME
	if ns.userEarly {
		ns.flags &^= unix.CLONE_NEWUSER
	}
	sort.SliceStable(ns.joined, func(i, k int) bool {
		return ns.joined[i].flag == unix.CLONE_NEWUSER && ns.joined[k].flag != unix.CLONE_NEWUSER
	})
	c.result.Namespaces = ns.flags
	for _, j := range ns.joined {
		c.result.Namespaces |= j.flag
	}
	if ns.userEarly {
		c.result.Namespaces |= unix.CLONE_NEWUSER
	}
	if ns.time {
		c.result.Namespaces |= unix.CLONE_NEWTIME
	}
	ns.othersMounts = ns.flags&unix.CLONE_NEWNS == 0
	c.result.Chroot = ns.othersMounts || c.wishes.NoPivot
	if c.decided.cgroup.late() || c.decided.cgroup.into() {
		// The clone would make the namespace's root of the cgroup that the
		// first process is in.
		ns.flags &^= unix.CLONE_NEWCGROUP
	}
	if err := c.checkCgroupNamespace(); err != nil {
		return err
	}
	if err := c.checkReaper(); err != nil {
		return err
	}
	return c.checkMountNamespace()
}

// checkMountNamespace refuses what would change mounts of others: the host's,
// or those of whoever made a namespace that is joined. What is left is a root
// that the container enters with chroot(2): config-linux.md, "Namespaces".
func (c *compiler) checkMountNamespace() error {
	if !c.ns.othersMounts {
		return nil
	}
	e := &fault.Error{What: "make the container's file system",
		Why: "without a mount namespace of its own the mounts would be the host's"}
	otherHint := ", or add a mount namespace to linux.namespaces"
	if slices.ContainsFunc(c.ns.joined, func(j joined) bool { return j.flag == unix.CLONE_NEWNS }) {
		e.Why = "the mount namespace is joined by its path, so its mounts belong to whoever made it"
		otherHint = ", or the path of the mount namespace"
	}
	for _, f := range []struct {
		pointer string
		asked   bool
	}{
		{"mounts", len(c.spec.Mounts) > 0},
		{"linux.maskedPaths", len(c.spec.Linux.MaskedPaths) > 0},
		{"linux.readonlyPaths", len(c.spec.Linux.ReadonlyPaths) > 0},
		{"linux.devices", len(c.spec.Linux.Devices) > 0},
		{"linux.sysctl", len(c.spec.Linux.Sysctl) > 0},
		{"root.readonly", c.spec.Root.Readonly},
		{"process.terminal", c.spec.Process.Terminal},
		{"linux.rootfsPropagation", c.spec.Linux.RootfsPropagation != ""},
	} {
		if f.asked {
			e.Place, e.Hint = f.pointer, "remove "+f.pointer+otherHint
			return e
		}
	}
	return nil
}

// join enters the namespaces that are named by path.
func (c *compiler) join() {
	if len(c.joins) == 0 {
		return
	}
	c.b.At("default", "hide from the namespaces that are joined")
	process.Hide(c.b)
	for i, j := range c.ns.joined {
		if !c.joinsLate(j) {
			c.joinOne(i, j)
		}
	}
}

// setns joins namespaces, and hides the process again where that may have shown
// it.
func (c *compiler) setns(fd plan.Slot, flags int) {
	c.b.Do(plan.Setns{FD: fd.Ref(), Type: flags})
	if flags == 0 || flags&unix.CLONE_NEWUSER != 0 {
		process.Hide(c.b)
	}
}

func (c *compiler) joinOne(i int, j joined) {
	c.b.At(j.pointer(), "join the namespace "+j.path)
	c.setns(c.joins[i], j.flag)
}

// joinsLate: inside a cgroup namespace the way into the container's cgroup is
// not visible: cgroup_namespaces(7). So who is made in that cgroup joins after.
func (c *compiler) joinsLate(j joined) bool {
	return j.flag == unix.CLONE_NEWCGROUP && c.decided.cgroup.into()
}

// joinLate joins the cgroup namespace that init, made in its cgroup, waited for.
func (c *compiler) joinLate() {
	for i, j := range c.ns.joined {
		if c.joinsLate(j) {
			c.joinOne(i, j)
		}
	}
}

// checkCgroupNamespace refuses one that could be joined neither before init is
// made in its cgroup nor by init, whose capabilities do not count there.
func (c *compiler) checkCgroupNamespace() error {
	for _, j := range c.ns.joined {
		if c.joinsLate(j) && c.ns.newUser {
			return &fault.Error{Place: j.pointer(), What: "join the cgroup namespace " + j.path,
				Why:  "it belongs to another user namespace than the new one",
				Hint: "give linux.namespaces the path of its user namespace too, or no path for the cgroup namespace"}
		}
	}
	return nil
}

// timeNamespace makes the time namespace, in which offsets can be set only
// before the first process enters it: time_namespaces(7). The one who sets them
// needs CAP_SYS_TIME in the user namespace that owns it, so a new user
// namespace comes first.
func (c *compiler) timeNamespace() error {
	if c.ns.userEarly {
		c.b.At("linux.namespaces", "make the user namespace")
		c.b.Do(plan.Unshare{Flags: unix.CLONE_NEWUSER})
		c.installMaps("user")
	}
	c.b.At("linux.timeOffsets", "make the time namespace")
	c.b.Do(plan.Unshare{Flags: unix.CLONE_NEWTIME})
	text := ""
	for _, clock := range []string{"boottime", "monotonic"} {
		if o, ok := c.spec.Linux.TimeOffsets[clock]; ok {
			text += fmt.Sprintf("%s %d %d\n", clock, o.Secs, o.Nanosecs)
		}
	}
	if text != "" {
		c.writeFile("/proc/self/timens_offsets", text)
	}
	return nil
}

// writeFile writes a file of the host's procfs that concerns the stage itself.
func (c *compiler) writeFile(name, text string) {
	f := c.b.Get("file", plan.Openat2{DirFD: plan.AtCWD(), Path: name, Flags: unix.O_WRONLY | unix.O_CLOEXEC})
	c.b.Do(plan.Write{FD: f.Ref(), Data: text})
	c.b.Close(f)
}

// mappings decides the id maps of a new user namespace, and as which ids init
// makes the file system.
func (c *compiler) mappings() error {
	c.setgroups = c.facts.UserNamespace.Setgroups != "deny"
	if !c.ns.newUser {
		return c.workingIDs()
	}
	if err := c.resolveMaps(); err != nil {
		return err
	}
	c.setgroups = c.setgroups && !c.result.Maps.GID.DenySetgroups
	if err := c.checkGroups(); err != nil {
		return err
	}
	return c.workingIDs()
}

func (c *compiler) resolveMaps() error {
	uids, gids := convert(c.spec.Linux.UIDMappings), convert(c.spec.Linux.GIDMappings)
	if len(uids) == 0 && len(gids) == 0 {
		var notes []string
		var err error
		if uids, gids, notes, err = userns.Default(c.facts); err != nil {
			return err
		}
		c.result.Notes = append(c.result.Notes, notes...)
	}
	maps, err := userns.Resolve(uids, gids, c.facts)
	if err != nil {
		return err
	}
	c.result.Maps, c.uidLines, c.gidLines = &maps, uids, gids
	return nil
}

func convert(list []specs.LinuxIDMapping) []host.Mapping {
	var out []host.Mapping
	for _, m := range list {
		out = append(out, host.Mapping{ContainerID: m.ContainerID, HostID: m.HostID, Size: m.Size})
	}
	return out
}

// unmapped is the error for an id that the container has not. A person's flags have all
// ids mapped that there are.
func (c *compiler) unmapped(field string, kind userns.Kind, id uint32, mappings []host.Mapping) error {
	err := userns.Unmapped(field, kind, id, mappings)
	if c.wishes.ConfigMade && len(mappings) == 1 && mappings[0].Size == 1 {
		err.Hint = "other users need subordinate ids: homerun doctor"
	}
	return err
}

// workingIDs checks that the process's ids exist in the container, and finds
// the ids for making files: the container's root, or where there is none the
// process's own.
func (c *compiler) workingIDs() error {
	u := c.spec.Process.User
	uids, gids := c.uidLines, c.gidLines
	if !c.ns.newUser {
		if c.joinsUser() {
			c.changesUID = true
			return nil
		}
		uids, gids = c.facts.UserNamespace.UIDMap, c.facts.UserNamespace.GIDMap
	}
	if !userns.Mapped(u.UID, uids) {
		return c.unmapped("process.user.uid", userns.UID, u.UID, uids)
	}
	if !userns.Mapped(u.GID, gids) {
		return c.unmapped("process.user.gid", userns.GID, u.GID, gids)
	}
	if !userns.Mapped(0, uids) || !userns.Mapped(0, gids) {
		c.workingUID, c.workingGID = u.UID, u.GID
	}
	c.changesUID = c.ns.newUser || c.facts.Process.UID != int(c.workingUID) || c.facts.Process.GID != int(c.workingGID)
	return nil
}

func (c *compiler) joinsUser() bool {
	return len(c.ns.joined) > 0 && c.ns.joined[0].flag == unix.CLONE_NEWUSER
}

// installMaps lets the id maps be written. A map of the caller's own id is
// written by the process itself, with no handshake at all; anything else by
// the runtime, which is told and awaited.
func (c *compiler) installMaps(who string) {
	m := c.result.Maps
	if m.UID.Method == userns.Self {
		c.b.At("linux.uidMappings", "map the user id")
		c.writeFile("/proc/self/uid_map", m.UID.Text())
	}
	if m.GID.Method == userns.Self {
		c.b.At("linux.gidMappings", "map the group id")
		if m.GID.DenySetgroups {
			c.writeFile("/proc/self/setgroups", "deny")
		}
		c.writeFile("/proc/self/gid_map", m.GID.Text())
	}
	if m.Self() || c.mapsBeside() {
		return
	}
	if who == "user" {
		c.b.At("linux.uidMappings", "ask for the id maps")
		c.signal(TagUser, 0, "user")
		c.awaitSignal("linux.namespaces", "user")
	}
	c.mapIDs()
	c.awaitMaps()
}

// mapIDs begins the maps that the runtime writes, or helpers.
func (c *compiler) mapIDs() {
	c.runtime("linux.uidMappings", action.MapIDs{Maps: c.result.Maps, Waits: c.mapsFirst() || !c.mapsBeside()})
}

// awaitMaps waits for them.
func (c *compiler) awaitMaps() {
	c.b.At("linux.uidMappings", "wait for the id maps")
	c.await(c.sync, "mapped")
	if c.result.Maps.Helped() {
		c.runtime("linux.uidMappings", action.AwaitMaps{Maps: c.result.Maps})
	}
	c.answerAt("linux.uidMappings", "mapped")
}
