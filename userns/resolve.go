package userns

import "github.com/homerun-oci/homerun/host"

// The capabilities that matter for maps, by number (capabilities(7)).
const (
	capSetGID  = 6
	capSetUID  = 7
	capSetFCap = 31
)

// Resolve checks the mappings of config.json and decides how each map is
// installed. The two are decided apart: a user with subordinate uids but no
// gids can still have a single gid. Errors are of type *Error and name the
// property of config.json.
func Resolve(uids, gids []host.Mapping, facts *host.Facts) (Maps, error) {
	u, err := resolve(UID, uids, facts)
	if err != nil {
		return Maps{}, err
	}
	g, err := resolve(GID, gids, facts)
	return Maps{UID: u, GID: g}, err
}

func resolve(kind Kind, mappings []host.Mapping, facts *host.Facts) (Map, error) {
	if err := check(kind, mappings); err != nil {
		return Map{}, err
	}
	lines, err := split(kind, mappings, parentSpans(kind, facts))
	if err != nil {
		return Map{}, err
	}
	m := Map{Kind: kind, Mappings: lines}
	if err := m.choose(mappings, facts); err != nil {
		return Map{}, err
	}
	return m, checkLimits(m)
}

// choose sets the method. Privileged comes before Self, because it leaves
// setgroups(2) allowed; Self before Helper, because it starts no process.
func (m *Map) choose(asked []host.Mapping, facts *host.Facts) error {
	switch {
	case privileged(m.Kind, facts):
		m.Method = Privileged
	case m.single(facts):
		m.Method = Self
		m.DenySetgroups = m.Kind == GID
	default:
		return m.useHelper(asked, facts)
	}
	return m.checkRoot(facts)
}

// single reports whether the map is one line with the runtime's own id.
func (m *Map) single(facts *host.Facts) bool {
	return len(m.Mappings) == 1 && m.Mappings[0].Size == 1 &&
		m.Mappings[0].HostID == ownID(m.Kind, facts)
}

// useHelper makes sure that the helper is there, may work, and will agree.
// asked has the lines as config.json numbers them.
func (m *Map) useHelper(asked []host.Mapping, facts *host.Facts) error {
	m.Method = Helper
	m.Program = helper(m.Kind, facts)
	switch {
	case m.Program == "":
		return helperMissing(m.Kind, facts)
	case facts.Process.NoNewPrivileges:
		return noNewPrivileges(m.Kind)
	case trouble(m.Kind, facts) != "":
		why, hint := troubleText(m.Kind, facts)
		return powerless(m.Kind, why, hint)
	}
	return checkGrants(m.Kind, asked, facts)
}

// checkGrants repeats newuidmap's own check: each line is covered by granted
// ranges put together, or is the single own id.
func checkGrants(kind Kind, asked []host.Mapping, facts *host.Facts) error {
	granted := rangeSpans(ranges(kind, facts))
	for i, m := range asked {
		if m.Size == 1 && m.HostID == ownID(kind, facts) {
			continue
		}
		if _, bad := spanOf(m.HostID, m.Size).firstOutside(granted); bad {
			return notGranted(kind, i, m, facts)
		}
	}
	return nil
}

// checkRoot refuses a map that hands on the parent's id 0 without CAP_SETFCAP
// (Linux 5.12, commit db2e718a4798): the kernel would say EPERM.
func (m *Map) checkRoot(facts *host.Facts) error {
	if m.Kind == GID || has(facts, capSetFCap) {
		return nil
	}
	if _, mapped := ToContainer(0, m.Mappings); !mapped {
		return nil
	}
	return needsSetFCap()
}

// privileged reports whether the runtime may write any map of its children.
func privileged(kind Kind, facts *host.Facts) bool {
	if kind == GID {
		return has(facts, capSetGID)
	}
	return has(facts, capSetUID)
}

func has(facts *host.Facts, capability int) bool {
	return facts.Process.Capabilities&(1<<capability) != 0
}

func ownID(kind Kind, facts *host.Facts) uint32 {
	if kind == GID {
		return uint32(facts.Process.GID)
	}
	return uint32(facts.Process.UID)
}

func ranges(kind Kind, facts *host.Facts) []host.Range {
	if kind == GID {
		return Granted(facts).GIDs
	}
	return Granted(facts).UIDs
}

func helper(kind Kind, facts *host.Facts) string {
	if kind == GID {
		return Granted(facts).NewGIDMap
	}
	return Granted(facts).NewUIDMap
}

func rangeSpans(ranges []host.Range) []span {
	spans := make([]span, 0, len(ranges))
	for _, r := range ranges {
		spans = appendSpan(spans, spanOf(r.Start, r.Size))
	}
	return spans
}

// Granted are the subordinate ids, none where they were not measured.
func Granted(facts *host.Facts) *host.Subordinate {
	if facts.Subordinate == nil {
		return &host.Subordinate{}
	}
	return facts.Subordinate
}

// NeedsSubordinate reports whether subordinate ids matter for a new user namespace
// with these mappings: not with the capability to map what one likes, and not when
// each map is the single own id. Without mappings Default chooses among them.
func NeedsSubordinate(uids, gids []host.Mapping, facts *host.Facts) bool {
	if len(uids) == 0 && len(gids) == 0 {
		return true
	}
	if has(facts, capSetUID) && has(facts, capSetGID) {
		return false
	}
	u, g := Map{Kind: UID, Mappings: uids}, Map{Kind: GID, Mappings: gids}
	return !u.single(facts) || !g.single(facts)
}
