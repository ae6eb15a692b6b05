package process

import (
	"slices"
	"strconv"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Credentials says how the user of a process is set.
type Credentials struct {
	Process *specs.Process
	Facts   *host.Facts
	// GIDs are the supplementary groups that the user namespace maps.
	GIDs []uint32
	// Setgroups says that the user namespace allows setgroups(2).
	Setgroups bool
	// Foreign says that the user namespace was made by somebody else, who may
	// have forbidden it.
	Foreign bool
	// KeepGroups leaves the caller's groups alone (run.oci.keep_original_groups).
	KeepGroups bool
	// Keep are capabilities that Set leaves in the permitted and the effective
	// set until Drop.
	Keep uint64
	// Lacking are capabilities that cannot be had, since the caller is in the same
	// user namespace and does not have them.
	Lacking uint64
}

// sets are the five capability sets, bit N for capability N.
type sets struct {
	bounding, effective, permitted, inheritable, ambient uint64
	unknown                                              []string
	// refused are those that the kernel would answer with EPERM, and notRaised the same for the ambient set.
	refused, notRaised uint64
}

// read makes a set of names of capabilities up to the last one the kernel has.
func (s *sets) read(names []string, last int) uint64 {
	var set uint64
	for _, name := range names {
		n, ok := plan.CapabilityNumber(name)
		switch {
		case ok && n <= last:
			set |= 1 << n
		case !slices.Contains(s.unknown, name):
			s.unknown = append(s.unknown, name)
		}
	}
	return set
}

// capabilitySets reads the process's sets; without the property there are none. What
// the kernel would refuse is left out: config.md, "Linux Process", wants a warning,
// and no failure. In capabilities(7): "Programmatically adjusting capability sets",
// and PR_CAP_AMBIENT_RAISE.
func (c Credentials) capabilitySets() *sets {
	s := &sets{}
	p, last := c.Process.Capabilities, c.Facts.Kernel.LastCapability
	if p == nil {
		return s
	}
	s.bounding, s.effective = s.read(p.Bounding, last), s.read(p.Effective, last)
	s.permitted, s.inheritable = s.read(p.Permitted, last), s.read(p.Inheritable, last)
	s.ambient = s.read(p.Ambient, last)
	asked := s.permitted | s.effective | s.inheritable
	s.permitted &^= c.Lacking
	s.effective &= s.permitted
	s.inheritable &= s.bounding &^ c.Lacking
	s.refused = asked &^ (s.permitted | s.effective | s.inheritable)
	s.notRaised = s.ambient &^ (s.permitted & s.inheritable)
	s.ambient &^= s.notRaised
	return s
}

// warnings say what of process.capabilities the process does not get.
func (s *sets) warnings() (all []string) {
	for _, name := range s.unknown {
		all = append(all, "process.capabilities: unknown capability "+strconv.Quote(name)+" is ignored")
	}
	for _, name := range names(s.refused) {
		all = append(all, "process.capabilities: "+name+" cannot be granted, and is left out")
	}
	for _, name := range names(s.notRaised) {
		all = append(all, "process.capabilities.ambient: can't raise ambient capability "+name+": it is not both permitted and inheritable")
	}
	return all
}

// names are those of the capabilities in a set.
func names(set uint64) (all []string) {
	for n := 0; set>>n != 0; n++ {
		if set&(1<<n) != 0 {
			all = append(all, plan.CapabilityName(n))
		}
	}
	return all
}

// Set writes the change to the process's user and capabilities. It returns warnings
// about capabilities that it does not get: this kernel, or homerun, does not know
// them, or they cannot be granted.
func (c Credentials) Set(b *plan.Builder) (warnings []string) {
	s := c.capabilitySets()
	b.At("process.capabilities.bounding", "drop capabilities")
	for n := 0; n <= c.Facts.Kernel.LastCapability; n++ {
		if s.bounding&(1<<n) == 0 {
			b.Do(plan.Prctl{Option: unix.PR_CAPBSET_DROP, Arg2: n})
		}
	}
	c.groups(b)
	c.ids(b)
	b.At("process.capabilities", "set capabilities")
	b.Do(plan.Capset{Effective: s.effective | c.Keep, Permitted: s.permitted | c.Keep, Inheritable: s.inheritable})
	s.raise(b)
	return s.warnings()
}

// Bare writes the change to the process's user with no capabilities but those of its
// effective ones that are in keep.
func (c Credentials) Bare(b *plan.Builder, keep uint64) {
	keep &= c.capabilitySets().effective
	c.groups(b)
	c.ids(b)
	b.At("process.capabilities", "set capabilities")
	b.Do(plan.Capset{Effective: keep, Permitted: keep})
}

// Drop takes the capabilities away that Set kept. Ambient ones among them were
// never raised.
func (c Credentials) Drop(b *plan.Builder) {
	s := c.capabilitySets()
	if c.Keep&^s.effective == 0 {
		return
	}
	b.At("process.capabilities", "set capabilities")
	b.Do(plan.Capset{Effective: s.effective, Permitted: s.permitted, Inheritable: s.inheritable})
}

// groups sets the supplementary groups, where the namespace lets us.
func (c Credentials) groups(b *plan.Builder) {
	b.At("process.user.additionalGids", "set the supplementary groups")
	switch {
	case c.KeepGroups:
	case c.Foreign && len(c.GIDs) == 0:
		b.Try(plan.Setgroups{}, plan.Ignore(unix.EPERM)...)
	case c.Setgroups:
		b.Do(plan.Setgroups{GIDs: c.GIDs})
	}
}

// ids sets the group and the user id. Capabilities survive until capset.
func (c Credentials) ids(b *plan.Builder) {
	u := c.Process.User
	b.At("process.user.uid", "become user "+strconv.FormatUint(uint64(u.UID), 10)+" and group "+strconv.FormatUint(uint64(u.GID), 10))
	SetGID(b, u.GID)
	if u.UID == 0 {
		SetUID(b, u.UID) // takes no capability: capabilities(7)
		return
	}
	b.Do(plan.Prctl{Option: unix.PR_SET_KEEPCAPS, Arg2: 1})
	SetUID(b, u.UID)
	b.Do(plan.Prctl{Option: unix.PR_SET_KEEPCAPS, Arg2: 0})
}

// SetGID writes the change of the group id, which may fail with the errnos, and
// hides the process again.
func SetGID(b *plan.Builder, gid uint32, tolerate ...plan.Errno) {
	b.Try(plan.Setresgid{GID: gid}, tolerate...)
	Hide(b)
}

// SetUID is SetGID for the user id.
func SetUID(b *plan.Builder, uid uint32, tolerate ...plan.Errno) {
	b.Try(plan.Setresuid{UID: uid}, tolerate...)
	Hide(b)
}

// Hide closes the process's memory and descriptors to others, as it has to be
// after each change of credentials: prctl(2), PR_SET_DUMPABLE.
func Hide(b *plan.Builder) { b.Do(plan.Prctl{Option: unix.PR_SET_DUMPABLE, Arg2: 0}) }

// raise clears the ambient set, which a clone into a user namespace may have
// left, and raises what config.json asks for.
func (s *sets) raise(b *plan.Builder) {
	b.At("process.capabilities.ambient", "set ambient capabilities")
	b.Do(plan.Prctl{Option: unix.PR_CAP_AMBIENT, Arg2: unix.PR_CAP_AMBIENT_CLEAR_ALL})
	for n := 0; n < 64; n++ {
		if s.ambient&(1<<n) != 0 {
			b.Do(plan.Prctl{Option: unix.PR_CAP_AMBIENT, Arg2: unix.PR_CAP_AMBIENT_RAISE, Arg3: n})
		}
	}
}

// NoNewPrivileges writes no_new_privs: prctl(2).
func NoNewPrivileges(b *plan.Builder, p *specs.Process) {
	if !p.NoNewPrivileges {
		return
	}
	b.At("process.noNewPrivileges", "set no_new_privs")
	b.Do(plan.Prctl{Option: unix.PR_SET_NO_NEW_PRIVS, Arg2: 1})
}
