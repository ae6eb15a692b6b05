package compile

import (
	"path"
	"slices"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/plain"
	"github.com/homerun-oci/homerun/process"
	"github.com/homerun-oci/homerun/rootfs"
	"github.com/homerun-oci/homerun/userns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// What a plan depends on is decided here and nowhere else: the same functions that
// read a fact say when they will. Package host/probe measures what is named and
// knows no config; and since facts may come from a file or a program, each Compile
// refuses those that lack what it names. So no fact is guessed.

// Needs says which facts Begin depends on, for a container that is made from spec.
// Of self only the runtime's own process and user namespace count.
func Needs(spec *specs.Spec, self *host.Facts, w Wishes) host.Needs {
	return firstNeeds(withDefaults(spec), self, &w)
}

func firstNeeds(s *specs.Spec, self *host.Facts, w *Wishes) host.Needs {
	var n host.Needs
	if makesUser(s, self) && userns.NeedsSubordinate(convert(s.Linux.UIDMappings), convert(s.Linux.GIDMappings), self) {
		n.Subordinate = "linux.uidMappings"
	}
	if w.Manager != cgroupv2.None {
		n.Cgroup = "linux.cgroupsPath"
	}
	delegation, manager, onlyMaybe := cgroupv2.Asks(w.Manager, s.Linux.CgroupsPath)
	if delegation {
		n.Delegation = n.Cgroup
	}
	if manager {
		n.ServiceManager, n.OnlyMaybe = n.Cgroup, onlyMaybe
	}
	for i, ns := range s.Linux.Namespaces {
		if ns.Path != "" {
			n.Namespaces = append(n.Namespaces, host.Path{Path: ns.Path, Place: host.Place(joined{index: i}.pointer() + ".path")})
		}
	}
	if w.Network != nil {
		for _, name := range netns.Files() {
			if !mounts(s.Mounts, name) {
				n.NetworkFiles = append(n.NetworkFiles, name)
			}
		}
	}
	needsProcess(s.Process, &n)
	if entersUser(s, self) {
		needsLimits(s.Process, &n)
	}
	needsLabel(s, &n)
	if givesStreams(s, self) {
		n.Streams = "process.user.uid"
	}
	return n
}

// needsLabel is what linux.mountLabel needs.
func needsLabel(s *specs.Spec, n *host.Needs) {
	if s.Linux.MountLabel != "" {
		n.SELinux = "linux.mountLabel"
	}
}

// needsProcess is what a process needs before it joins or makes anything.
func needsProcess(p *specs.Process, n *host.Needs) {
	if p.ApparmorProfile != "" {
		n.AppArmor = process.AppArmorPointer
	}
	if p.SelinuxLabel != "" {
		n.SELinux = process.SELinuxPointer
	}
	if p.OOMScoreAdj != nil {
		n.OOMScoreAdj = "process.oomScoreAdj"
	}
}

// givesStreams reports whether the standard streams are given to somebody else:
// the container's root, when that is another user of the host than root, or the
// process's own user. A terminal takes their place.
func givesStreams(s *specs.Spec, self *host.Facts) bool {
	mapped := len(s.Linux.UIDMappings) > 0 && self.Process.UID == 0
	return !s.Process.Terminal && (s.Process.User.UID != 0 || mapped)
}

// needsProgram is what becoming the program needs.
func (c *compiler) needsProgram(n *host.Needs) {
	p := c.spec.Process
	if c.facts == nil || c.facts.Process.Rlimits == nil {
		needsLimits(p, n)
	}
	if !process.HasHome(p.Env) {
		n.Home, n.HomeUID = "process.env", p.User.UID
	}
	if p.Terminal && p.ConsoleSize == nil {
		n.TerminalSize = "process.terminal"
	}
	if p.Terminal && c.wishes.ConsoleSocket == "" {
		n.TerminalOutput = "process.terminal"
	}
}

// needsLimits reads the limits that the process has before it gets its own.
func needsLimits(p *specs.Process, n *host.Needs) {
	for i := range p.Rlimits {
		if name := p.Rlimits[i].Type; isLimit(name) && !slices.Contains(n.Rlimits, name) {
			n.Rlimits = append(n.Rlimits, name)
		}
	}
}

func isLimit(name string) bool {
	_, known := process.Resource(name)
	return known
}

// Needs says which facts Finish depends on, beside those that Begin had. The error
// is that of a mount's options.
func (b *Beginning) Needs() (host.Needs, error) {
	c := b.c
	if c.needs != nil {
		return *c.needs, nil
	}
	n := host.Needs{Rootfs: c.root()}
	c.needsProgram(&n)
	if !c.ns.othersMounts {
		var err error
		if c.mountList, err = rootfs.ReadMounts(c.spec.Mounts); err != nil {
			return n, err
		}
		rootfs.Needs(c.rootfsConfig(), &n)
		n.Sources = slices.DeleteFunc(n.Sources, func(p host.Path) bool { _, own := c.ownSources[p.Path]; return own })
	}
	c.needs = &n
	return n, nil
}

// root is the absolute path of the container's root.
func (c *compiler) root() string {
	if path.IsAbs(c.spec.Root.Path) {
		return path.Clean(c.spec.Root.Path)
	}
	return path.Join(c.wishes.BundleDir, c.spec.Root.Path)
}

// JoinNeeds says which facts CompileJoin depends on. Home, and the id maps of the
// user namespace, are the container's.
func JoinNeeds(j Join) host.Needs {
	var n host.Needs
	if j.Process == nil || j.AsCaller {
		return n
	}
	c := &compiler{spec: &specs.Spec{Process: j.Process, Linux: &specs.Linux{}}, wishes: Wishes{ConsoleSocket: j.ConsoleSocket}}
	needsProcess(j.Process, &n)
	if givesStreams(c.spec, &host.Facts{}) {
		n.Streams = "process.user.uid"
	}
	c.needsProgram(&n)
	return n
}

// MountsNeeds says which facts CompileMounts depends on; self is that of Needs. The
// error is that of a mount's options.
func MountsNeeds(m Mounts, self *host.Facts) (host.Needs, error) {
	return changing(m, self).needsRunning(m)
}

// needsRunning reads the mounts that are added to a container that runs.
func (c *compiler) needsRunning(m Mounts) (n host.Needs, err error) {
	if m.Remove {
		return n, nil
	}
	if c.mountList, err = rootfs.ReadMounts(m.List); err == nil {
		rootfs.NeedsRunning(c.runningConfig(m), &n)
		needsLabel(c.spec, &n)
	}
	return n, err
}

// runningConfig is rootfsConfig for a container that runs.
func (c *compiler) runningConfig(m Mounts) rootfs.Config {
	return rootfs.Config{Spec: c.spec, Facts: c.facts, Mounts: c.mountList, Absolute: c.absolute, NewUser: m.Namespaces&unix.CLONE_NEWUSER != 0,
		NewPID: true, NewIPC: true, NewCgroup: m.Namespaces&unix.CLONE_NEWCGROUP != 0, Joined: m.Namespaces}
}

// maxFact bounds, in bytes, the name of a fact in a message.
const maxFact = 200

// lacks is the error for facts that lack what is needed.
func lacks(n host.Needs, facts *host.Facts) error {
	fact, place := n.Missing(facts)
	if fact == "" {
		return nil
	}
	return &fault.Error{Place: string(place), What: "compile the plan", Why: "the facts about the host lack " + plain.Short(fact, maxFact),
		Hint: "`homerun plan --show-facts` prints those that this config.json needs"}
}
