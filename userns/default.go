package userns

import (
	"fmt"

	"github.com/homerun-oci/homerun/host"
)

// Default returns the mappings for a user namespace that config.json asks for
// without saying which ids it has: the runtime's own id becomes 0, and the
// subordinate ids follow from 1 on. Where there are none, or no way to map
// them, 0 is the only id; a note says why in one line. It fails only when not
// even the own id can be mapped.
//
// Root of a nested namespace, with nothing in /etc/subuid, gets all ids that
// its namespace has: it may map them, and an image needs more than one.
func Default(facts *host.Facts) (uids, gids []host.Mapping, notes []string, err error) {
	if err := checkOwn(facts); err != nil {
		return nil, nil, nil, err
	}
	why := obstacle(facts)
	if why == "" {
		uids, gids = subordinate(UID, facts), subordinate(GID, facts)
		return uids, gids, cutNotes(uids, gids), nil
	}
	if nestedRoot(facts) {
		return identity(facts.UserNamespace.UIDMap), identity(facts.UserNamespace.GIDMap), nil, nil
	}
	note := fmt.Sprintf("only uid %d and gid %d are mapped, to 0 in the container: %s",
		facts.Process.UID, facts.Process.GID, why)
	return own(UID, facts), own(GID, facts), []string{note}, nil
}

// obstacle says in words why subordinate ids cannot be mapped, or "".
func obstacle(facts *host.Facts) string {
	for _, kind := range [...]Kind{UID, GID} {
		if why := noIDs(kind, facts); why != "" {
			return why
		}
		if privileged(kind, facts) {
			continue
		}
		switch {
		case helper(kind, facts) == "":
			return kind.program() + " is not installed (package uidmap or shadow-utils)"
		case facts.Process.NoNewPrivileges:
			return "no_new_privs is set, so " + kind.program() + " gains no privilege"
		}
		if why, _ := troubleText(kind, facts); why != "" {
			return why
		}
	}
	return ""
}

func noIDs(kind Kind, facts *host.Facts) string {
	if len(disjoint(ranges(kind, facts), ownID(kind, facts))) == 0 {
		why := grantFile(kind, facts) + " has no range for " + who(facts)
		if n := unreadable(kind, facts); n > 0 {
			why += fmt.Sprintf(" (line %d is not NAME:FIRST:COUNT)", n)
		}
		return why
	}
	if len(usable(kind, facts)) == 0 {
		return "the user namespace that this runs in has none of the ids that " +
			grantFile(kind, facts) + " grants " + who(facts)
	}
	return ""
}

// usable is the granted ids, without the own one, that exist in the parent.
func usable(kind Kind, facts *host.Facts) []span {
	parent := parentSpans(kind, facts)
	var out []span
	for _, s := range disjoint(ranges(kind, facts), ownID(kind, facts)) {
		out = append(out, s.intersect(parent)...)
	}
	return out
}

// subordinate lays the usable ids out one after the other. What does not fit
// into a map (its lines, its text, the ids there are) is left out.
func subordinate(kind Kind, facts *host.Facts) []host.Mapping {
	m := Map{Kind: kind, Mappings: own(kind, facts)}
	next := uint64(1)
	for _, s := range usable(kind, facts) {
		size := min(s.hi-s.lo, idEnd-next)
		if size == 0 {
			break
		}
		m.Mappings = append(m.Mappings, host.Mapping{
			ContainerID: uint32(next), HostID: uint32(s.lo), Size: uint32(size),
		})
		if checkLimits(m) != nil {
			m.Mappings = m.Mappings[:len(m.Mappings)-1]
			break
		}
		next += size
	}
	return m.Mappings
}

// cutNotes says when one map has fewer ids than the other: such images fail
// to unpack in ways that are hard to read.
func cutNotes(uids, gids []host.Mapping) []string {
	u, g := count(uids), count(gids)
	if u == g {
		return nil
	}
	return []string{fmt.Sprintf("%d uids but %d gids are mapped", u, g)}
}

func count(mappings []host.Mapping) (n uint64) {
	for _, m := range mappings {
		n += uint64(m.Size)
	}
	return n
}

func own(kind Kind, facts *host.Facts) []host.Mapping {
	return []host.Mapping{{ContainerID: 0, HostID: ownID(kind, facts), Size: 1}}
}

func nestedRoot(facts *host.Facts) bool {
	return !facts.UserNamespace.Initial && facts.Process.UID == 0 && facts.Process.GID == 0 &&
		has(facts, capSetUID) && has(facts, capSetGID) && has(facts, capSetFCap)
}

// identity maps each id that the parent has to itself.
func identity(parent []host.Mapping) []host.Mapping {
	out := make([]host.Mapping, 0, len(parent))
	for _, s := range inside(parent) {
		out = append(out, host.Mapping{
			ContainerID: uint32(s.lo), HostID: uint32(s.lo), Size: uint32(s.hi - s.lo),
		})
	}
	return out
}

// checkOwn refuses an own id that is only the overflow id, 65534: the process
// runs in a namespace that does not map it, and nothing can be made of it.
func checkOwn(facts *host.Facts) error {
	for _, kind := range [...]Kind{UID, GID} {
		parent := parentSpans(kind, facts)
		if id := uint64(ownID(kind, facts)); endOfCover(id, parent) == id {
			return outsideParent(kind, -1, id, parent)
		}
	}
	return nil
}
