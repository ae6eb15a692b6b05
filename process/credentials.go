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
	// Setgroups says that the user namespace allows setgroups(2).
	Setgroups bool
	// Foreign says that the user namespace was made by somebody else, who may
	// have forbidden it.
	Foreign bool
	// KeepGroups leaves the caller's groups alone (run.oci.keep_original_groups).
	KeepGroups bool
}

// sets are the five capability sets, bit N for capability N.
type sets struct {
	bounding, effective, permitted, inheritable, ambient uint64
}

// Unknown lists the names among a process's capabilities that this kernel, or
// homerun, does not know; they are ignored, as config.md wants.
func Unknown(p *specs.Process, last int) []string {
	var unknown []string
	if p.Capabilities == nil {
		return nil
	}
	c := p.Capabilities
	for _, list := range [][]string{c.Bounding, c.Effective, c.Permitted, c.Inheritable, c.Ambient} {
		for _, name := range list {
			if n, ok := plan.CapabilityNumber(name); (!ok || n > last) && !slices.Contains(unknown, name) {
				unknown = append(unknown, name)
			}
		}
	}
	return unknown
}

// capabilitySet reads names of capabilities up to the last one the kernel has.
func capabilitySet(names []string, last int) uint64 {
	var set uint64
	for _, name := range names {
		if n, ok := plan.CapabilityNumber(name); ok && n <= last {
			set |= 1 << n
		}
	}
	return set
}

// capabilitySets reads the process's sets; without the property there are none.
func capabilitySets(p *specs.Process, last int) sets {
	c := p.Capabilities
	if c == nil {
		return sets{}
	}
	s := sets{
		bounding: capabilitySet(c.Bounding, last), effective: capabilitySet(c.Effective, last),
		permitted: capabilitySet(c.Permitted, last), inheritable: capabilitySet(c.Inheritable, last),
	}
	s.ambient = capabilitySet(c.Ambient, last) & s.permitted & s.inheritable
	return s
}

// Set writes the change to the process's user and capabilities.
func (c Credentials) Set(b *plan.Builder) error {
	last := c.Facts.Kernel.LastCapability
	s := capabilitySets(c.Process, last)
	b.At("process.capabilities.bounding", "drop capabilities")
	for n := 0; n <= last; n++ {
		if s.bounding&(1<<n) == 0 {
			b.Do(plan.Prctl{Option: unix.PR_CAPBSET_DROP, Arg2: n})
		}
	}
	if err := c.groups(b); err != nil {
		return err
	}
	c.ids(b)
	b.At("process.capabilities", "set capabilities")
	b.Do(plan.Capset{Effective: s.effective, Permitted: s.permitted, Inheritable: s.inheritable})
	c.ambient(b, s)
	return nil
}

// groups sets the supplementary groups, where the namespace lets us.
func (c Credentials) groups(b *plan.Builder) error {
	gids := c.Process.User.AdditionalGids
	b.At("process.user.additionalGids", "set the supplementary groups")
	switch {
	case c.KeepGroups:
	case c.Foreign && len(gids) == 0:
		b.Try(plan.Setgroups{}, plan.Ignore(unix.EPERM)...)
	case c.Setgroups:
		b.Do(plan.Setgroups{GIDs: gids})
	case len(gids) > 0:
		return &Error{Pointer: "process.user.additionalGids", What: "set the supplementary groups",
			Why:  "a user namespace with a single group id has no others",
			Hint: "give the user a range in /etc/subgid and install newgidmap, or use the annotation run.oci.keep_original_groups=1"}
	}
	return nil
}

// ids sets the group and the user id. Capabilities survive until capset.
func (c Credentials) ids(b *plan.Builder) {
	u := c.Process.User
	b.At("process.user.uid", "become user "+strconv.Itoa(int(u.UID))+" and group "+strconv.Itoa(int(u.GID)))
	b.Do(plan.Setresgid{GID: u.GID})
	b.Do(plan.Prctl{Option: unix.PR_SET_KEEPCAPS, Arg2: 1})
	b.Do(plan.Setresuid{UID: u.UID})
	b.Do(plan.Prctl{Option: unix.PR_SET_KEEPCAPS, Arg2: 0})
}

// ambient clears the ambient set, which a clone into a user namespace may have
// left, and raises what config.json asks for.
func (c Credentials) ambient(b *plan.Builder, s sets) {
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
