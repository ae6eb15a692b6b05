// Package doctor judges a host: which of the things that containers need are there,
// what will not work or works worse without, and what mends it. What it judges is a
// value that package doctor/look measures, so each check is tested by a host that
// nobody has.
//
// The package is pure, and safe for concurrent use.
package doctor

import (
	"slices"
)

// State is what came of a check.
type State string

// The states. They are stable.
const (
	// OK: it is there, or there is nothing to mend.
	OK State = "ok"
	// Degraded: homerun works, and something works worse or in part.
	Degraded State = "degraded"
	// Missing: something that homerun does will not work.
	Missing State = "missing"
)

// Row is the outcome of one check. Its JSON form is stable.
type Row struct {
	// Name tells the check from others, and is stable: user-namespaces.
	Name  string `json:"name"`
	State State  `json:"state"`
	// Found says what is there, or what is wrong, in a line.
	Found string `json:"found"`
	// Consequence says what does not work, or works worse; empty where State is OK.
	Consequence string `json:"consequence,omitempty"`
	// Fix are commands for a shell, each by itself, in this order; as root where
	// they begin with sudo.
	Fix []string `json:"fix,omitempty"`
	// Advice is what helps where no command does, or what to know of Fix before.
	Advice string `json:"advice,omitempty"`
}

// check looks at one thing. A row without a state is none: nothing to say here.
type check struct {
	name string
	look func(*Host) Row
}

// checks are all, in the order in which they are shown: what nothing runs without
// comes first.
func checks() []check {
	list := []check{
		{"kernel", (*Host).kernel}, {"user-namespaces", (*Host).userNamespaces}, {"memfd", (*Host).memfd}, {"state-root", (*Host).stateRoot},
		{"subuid", (*Host).subuid}, {"subgid", (*Host).subgid}, {"newuidmap", (*Host).newuidmap}, {"newgidmap", (*Host).newgidmap},
		{"runtime-directory", (*Host).runtimeDirectory}, {"service-manager", (*Host).serviceManager}, {"bus", (*Host).bus}, {"linger", (*Host).linger},
		{"cgroup-v2", (*Host).cgroupV2},
	}
	for _, c := range controllers() {
		list = append(list, check{"controller-" + c.name, func(h *Host) Row { return h.controller(c) }})
	}
	list = append(list, check{"tun", (*Host).tun}, check{"network-driver", (*Host).networkDriver}, check{"nsenter", (*Host).nsenter},
		check{"homerun-net", (*Host).homerunNet}, check{"homerun-seccomp", (*Host).homerunSeccomp},
		check{"homerun-log", (*Host).homerunLog}, check{"ping", (*Host).ping}, check{"low-ports", (*Host).lowPorts})
	for _, f := range features() {
		list = append(list, check{f.Name, func(h *Host) Row { return h.feature(f) }})
	}
	return append(list, check{"self-test", (*Host).selfTest})
}

// Examine makes all checks that mean something on a host.
func Examine(h *Host) []Row {
	var rows []Row
	for _, c := range checks() {
		if r := c.look(h); r.State != "" {
			r.Name = c.name
			rows = append(rows, r)
		}
	}
	return rows
}

// Complete reports whether nothing is missing.
func Complete(rows []Row) bool {
	return !slices.ContainsFunc(rows, func(r Row) bool { return r.State == Missing })
}

func fine(found string) Row { return Row{State: OK, Found: found} }

// persist is the command that sets a sysctl now and at each boot.
func persist(setting string) []string {
	const file = "/etc/sysctl.d/60-homerun.conf"
	return []string{"echo " + setting + " | sudo tee -a " + file, "sudo sysctl -p " + file}
}
