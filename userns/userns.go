// Package userns decides the id mappings of a user namespace and how each of
// its two maps is installed. It is pure: it reads facts and touches nothing.
// Package userns/install does what it decides.
//
// # Theory of operation
//
// A map is written once, to /proc/PID/uid_map and gid_map, and the kernel
// accepts it on one of three terms (user_namespaces(7)). They are the three
// methods here, and each map has its own:
//
//   - Self: the map is one line with one id, and that id is the writer's own
//     effective id. Nobody needs a privilege, but a gid map on these terms
//     needs "deny" in /proc/PID/setgroups first (Linux 3.19, CVE-2014-8989).
//   - Privileged: the writer holds CAP_SETUID (CAP_SETGID for gids) in the
//     parent of the new namespace. Any ids that the parent maps will do.
//   - Helper: newuidmap(1) and newgidmap(1) hold that capability for us and
//     check /etc/subuid and /etc/subgid.
//
// Whoever writes, four more rules hold: at most 340 lines (Linux 4.15) in less
// than one page of text; no overlap on either side; every line lies within one
// line of the parent's map (so lines are split here, podman#8816); and a map
// that gives away the parent's id 0 needs CAP_SETFCAP, because the new
// namespace could otherwise forge file capabilities (Linux 5.12).
//
// Not defended: the facts may be stale when the map is written. Then the
// kernel or the helper refuses, and package userns/install explains.
package userns

import "github.com/homerun-oci/homerun/host"

// Kind tells the two maps of a user namespace apart.
type Kind string

// The two maps.
const (
	UID Kind = "uid"
	GID Kind = "gid"
)

// Method is how a map gets written.
type Method string

// The methods, as the package comment explains them.
const (
	// Self: the first process in the namespace writes /proc/self/uid_map.
	Self Method = "self"
	// Privileged: the runtime writes /proc/PID/uid_map.
	Privileged Method = "privileged"
	// Helper: newuidmap or newgidmap writes it.
	Helper Method = "helper"
)

// Map is one checked map and how it is installed.
type Map struct {
	Kind   Kind   `json:"kind"`
	Method Method `json:"method"`
	// Mappings is what config.json asks for, split where the parent's map
	// has a border.
	Mappings []host.Mapping `json:"mappings"`
	// DenySetgroups: "deny" goes to /proc/self/setgroups before this map.
	DenySetgroups bool `json:"denySetgroups,omitempty"`
	// Program is the helper's absolute path, for Method Helper only.
	Program string `json:"program,omitempty"`
}

// Maps is both maps of one user namespace.
type Maps struct {
	UID Map `json:"uid"`
	GID Map `json:"gid"`
}

// Self reports whether the process itself may write both maps.
func (m *Maps) Self() bool { return m.UID.Method == Self && m.GID.Method == Self }

// Helped reports whether newuidmap or newgidmap writes one of them.
func (m *Maps) Helped() bool { return m.UID.Method == Helper || m.GID.Method == Helper }

// Text is what is written to uid_map or gid_map, in one write(2).
func (m Map) Text() string {
	b := make([]byte, 0, 24*len(m.Mappings))
	for _, l := range m.Mappings {
		b = appendLine(b, l, ' ')
		b = append(b, '\n')
	}
	return string(b)
}

// Args is the helper's argument vector for the process pid; Args[0] is the
// program's path.
func (m Map) Args(pid int) []string {
	args := make([]string, 0, 2+3*len(m.Mappings))
	args = append(args, m.Program, itoa(uint64(pid)))
	for _, l := range m.Mappings {
		args = append(args, itoa(uint64(l.ContainerID)), itoa(uint64(l.HostID)), itoa(uint64(l.Size)))
	}
	return args
}

// field is the property of config.json that holds the map.
func (k Kind) field() string { return "linux." + string(k) + "Mappings" }

// file is where the map's grants are listed.
func (k Kind) file() string { return "/etc/sub" + string(k) }

// program is the name of the map's helper.
func (k Kind) program() string { return "new" + string(k) + "map" }
