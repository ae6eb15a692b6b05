package host

import (
	"path"
	"slices"
	"strconv"
)

// Needs says which facts a plan depends on, beside those that every plan does
// (Process, UserNamespace and Kernel, which are always there). Package compile
// says it, package host/probe measures exactly that, and compile refuses facts
// that lack some of it. It is a plain value.
//
// A Place is set where the fact is needed; one is enough where several parts of
// config.json need the same.
type Needs struct {
	// Subordinate ids and the helpers that map them.
	Subordinate Place `json:"subordinate,omitempty"`
	// Cgroup is the runtime's place in the cgroup tree; Delegation which part of
	// it the caller may use; ServiceManager who makes scopes. The last two matter
	// only where the tree is the whole of cgroup2 and can be written.
	Cgroup         Place `json:"cgroup,omitempty"`
	Delegation     Place `json:"delegation,omitempty"`
	ServiceManager Place `json:"serviceManager,omitempty"`
	// OnlyMaybe: the service manager is needed only for a Delegation.Maybe.
	OnlyMaybe bool `json:"onlyMaybe,omitempty"`
	// AppArmor and SELinux: whether the module labels processes.
	AppArmor Place `json:"apparmor,omitempty"`
	SELinux  Place `json:"selinux,omitempty"`
	// OOMScoreAdj is the runtime's own.
	OOMScoreAdj Place `json:"oomScoreAdj,omitempty"`
	// Streams are the standard streams that the program gets.
	Streams Place `json:"streams,omitempty"`
	// Namespaces are the paths of those that are joined.
	Namespaces []Path `json:"namespaces,omitempty"`
	// NetworkFiles are the names of files that the network gives the container.
	NetworkFiles []string `json:"networkFiles,omitempty"`

	// Rootfs is the absolute path of the container's root; empty when it is not
	// needed. Targets and Home are looked at in it.
	Rootfs string `json:"rootfs,omitempty"`
	// Sources are paths of the runtime namespace that are mounted.
	Sources []Path `json:"sources,omitempty"`
	// Devices are looked for under their names, and elsewhere if they are not there.
	Devices []Device `json:"devices,omitempty"`
	// Targets are destinations in the root, in the order in which something is done
	// there: what lies below an earlier mount is covered by it.
	Targets []Destination `json:"targets,omitempty"`
	// Proc are paths of the host's procfs and sysfs whose kinds matter.
	Proc []Path `json:"proc,omitempty"`
	// Rlimits are the OCI names of the runtime's own limits.
	Rlimits []string `json:"rlimits,omitempty"`
	// Layers: what an overlay over the root is put together from.
	Layers Place `json:"layers,omitempty"`
	// Home is where the root's /etc/passwd has the user HomeUID at home.
	Home    Place  `json:"home,omitempty"`
	HomeUID uint32 `json:"homeUID,omitempty"`
	// TerminalSize is that of the terminal on standard input, TerminalOutput what
	// standard output is.
	TerminalSize   Place `json:"terminalSize,omitempty"`
	TerminalOutput Place `json:"terminalOutput,omitempty"`
	// KernelMounts: where procfs and sysfs are mounted.
	KernelMounts Place `json:"kernelMounts,omitempty"`
}

// Place is the JSON path in config.json that needs a fact (mounts[2]), "default"
// for what no member asks for; empty when the fact is not needed.
type Place string

// Path is a path of the runtime namespace to look at.
type Path struct {
	Path  string `json:"path"`
	Place Place  `json:"place"`
	// Nofollow looks at a symbolic link itself.
	Nofollow bool `json:"nofollow,omitempty"`
}

// Device is a device node to look for.
type Device struct {
	Path  string `json:"path"`
	Place Place  `json:"place"`
	Kind  Kind   `json:"kind"`
	// Rdev is the device number (unix.Mkdev form).
	Rdev uint64 `json:"rdev"`
}

// Destination is a place in the container's root to look at.
type Destination struct {
	Path  string `json:"path"`
	Place Place  `json:"place"`
	// Mount: something is mounted there.
	Mount bool `json:"mount,omitempty"`
	// Link looks at a symbolic link itself, if it is one.
	Link bool `json:"link,omitempty"`
	// Tree lists what lies below a directory.
	Tree bool `json:"tree,omitempty"`
}

// Missing is the first fact that is needed and not there, by its JSON path in the
// facts, and the place that needs it; both empty when nothing is missing. A path
// that leads out of where it is measured, or names nothing there, counts as not there.
func (n *Needs) Missing(f *Facts) (fact string, place Place) {
	for _, find := range []func(*Facts) (string, Place){n.missingScalar, n.missingManager, n.missingPath, n.missingInRoot} {
		if fact, place := find(f); fact != "" {
			return fact, place
		}
	}
	return "", ""
}

func (n *Needs) missingScalar(f *Facts) (string, Place) {
	for _, s := range [...]struct {
		place Place
		there bool
		fact  string
	}{
		{n.Subordinate, f.Subordinate != nil, "subordinate"},
		{n.Cgroup, f.Cgroup != nil, "cgroup"},
		{n.AppArmor, f.LSM.AppArmor != "", "lsm.apparmor"},
		{n.SELinux, f.LSM.SELinux != "", "lsm.selinux"},
		{n.OOMScoreAdj, f.Process.OOMScoreAdj != nil, "process.oomScoreAdj"},
		{n.Streams, len(f.Process.Streams) == 3, "process.streams"},
		{n.TerminalSize, f.Terminal.Size != nil, "terminal.size"},
		{n.TerminalOutput, f.Terminal.Output != "", "terminal.output"},
		{n.KernelMounts, len(f.KernelMounts) > 0, "kernelMounts"},
	} {
		if s.place != "" && !s.there {
			return s.fact, s.place
		}
	}
	return "", ""
}

func (n *Needs) missingManager(f *Facts) (string, Place) {
	if f.Cgroup == nil || !f.Cgroup.Unified || f.Cgroup.ReadOnly {
		return "", ""
	}
	d := f.Cgroup.Delegation
	if n.Delegation != "" && d == nil {
		return "cgroup.delegation", n.Delegation
	}
	wanted := n.ServiceManager != "" && !(n.OnlyMaybe && d != nil && d.Maybe == "")
	if wanted && f.ServiceManager.Socket == "" && f.ServiceManager.Trouble == "" {
		return "serviceManager", n.ServiceManager
	}
	return "", ""
}

func (n *Needs) missingPath(f *Facts) (string, Place) {
	for _, p := range n.Namespaces {
		if _, ok := f.Namespaces[p.Path]; !ok {
			return member("namespaces", p.Path), p.Place
		}
	}
	for _, name := range n.NetworkFiles {
		if _, ok := f.NetworkFiles[name]; !ok {
			return member("networkFiles", name), "default"
		}
	}
	for _, p := range n.Sources {
		if _, ok := f.Sources[p.Path]; !ok {
			return member("sources", p.Path), p.Place
		}
	}
	for _, d := range n.Devices {
		if fact := d.missing(f); fact != "" {
			return fact, d.Place
		}
	}
	for _, p := range n.Proc {
		if _, ok := f.Proc[p.Path]; !ok {
			return member("proc", p.Path), p.Place
		}
	}
	for _, name := range n.Rlimits {
		if _, ok := f.Process.Rlimits[name]; !ok {
			return member("process.rlimits", name), "process.rlimits"
		}
	}
	return "", ""
}

func (d *Device) missing(f *Facts) string {
	s, ok := f.Sources[d.Path]
	if !ok {
		return member("sources", d.Path)
	}
	name := DeviceName(d.Kind, d.Rdev)
	if _, ok := f.Nodes[name]; !ok && !d.Is(s) {
		return member("nodes", name)
	}
	return ""
}

// Is reports whether what lies at a path is the device.
func (d *Device) Is(s Source) bool { return s.Kind == d.Kind && s.Rdev == d.Rdev }

// covered reports whether an earlier target is mounted on the same path: then nobody
// looks at what lies there in the root.
func (n *Needs) covered(i int) bool {
	return slices.ContainsFunc(n.Targets[:i], func(d Destination) bool { return d.Mount && d.Path == n.Targets[i].Path })
}

// missingInRoot looks for what is in the root, if that is a directory.
func (n *Needs) missingInRoot(f *Facts) (string, Place) {
	switch {
	case n.Rootfs == "":
		return "", ""
	case f.Rootfs.Kind == Missing && f.Rootfs.Error == "":
		return "rootfs", "root.path"
	case f.Rootfs.Kind != Directory:
		return "", ""
	}
	for i, d := range n.Targets {
		t, ok := f.Targets[d.Path]
		if !ok {
			return member("targets", d.Path), d.Place
		}
		if d.Tree && t.Kind == Directory && t.Tree == nil && !n.covered(i) {
			return member("targets", d.Path) + ".tree", d.Place
		}
		if fact := t.misplaced(); fact != "" {
			return member("targets", d.Path) + fact, d.Place
		}
	}
	if n.Layers != "" {
		if fact := f.Layers.missing(); fact != "" {
			return fact, n.Layers
		}
	}
	if n.Home != "" && f.Home == nil {
		return "home", n.Home
	}
	return "", ""
}

// misplaced is the member of a target that cannot be its path. What is there may be the
// root itself; what has to be made is below it.
func (t *Target) misplaced() string {
	isRoot := t.Resolved == "" || t.Resolved == "."
	if !isBelow(t.Resolved) && (!isRoot || t.Kind == Missing && t.Unknown == "") {
		return ".resolved"
	}
	if t.Tree == nil {
		return ""
	}
	for i := range t.Tree.Entries {
		if !isBelow(t.Tree.Entries[i].Path) {
			return ".tree.entries[" + strconv.Itoa(i) + "].path"
		}
	}
	return ""
}

func (l *Layers) missing() string {
	if l == nil {
		return "layers"
	}
	for i := range l.Parts {
		if !isBelow(l.Parts[i].Path) {
			return "layers.parts[" + strconv.Itoa(i) + "].path"
		}
	}
	return ""
}

// isBelow reports whether a path is one below where it is measured, as measurements
// give it: relative, and clean.
func isBelow(p string) bool { return p != "" && path.Clean("/"+p) == "/"+p }

func member(of, name string) string { return of + "[" + strconv.Quote(name) + "]" }
