package cgroupv2

import (
	"errors"
	"path"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
)

// Manager makes and limits a container's cgroup.
type Manager string

// The managers. Auto is asked for, never chosen; None is chosen, or asked for
// as "disabled".
const (
	Auto     Manager = "auto"
	Systemd  Manager = "systemd"
	Cgroupfs Manager = "cgroupfs"
	None     Manager = "disabled"
)

// Situation is what Choose decides from.
type Situation struct {
	// Manager is what was asked for; "" is Auto.
	Manager Manager
	// CgroupsPath is linux.cgroupsPath, ID the container's.
	CgroupsPath string
	ID          string
	// Limits is true when config.json asks for a limit (limits.Set.Restricts).
	Limits bool
	// Cgroup is the runtime's place.
	Cgroup host.Cgroup
	// Bus names the reachable service manager's socket; "" when there is none,
	// and NoBus then says why, in one line.
	Bus   string
	NoBus string
	// Delegation is what live.ProbeDelegation saw.
	Delegation Delegation
}

// Delegation is which part of the cgroup tree the caller may use. Paths are
// below the mount point, with a leading slash; "" is none.
type Delegation struct {
	// Unit is the nearest cgroup at or above the own one that a service
	// manager delegated to this unit (Delegate=), or the root of a cgroup
	// namespace that the caller may write.
	Unit string
	// Maybe is set instead of Unit when we are in a service or scope of a user manager:
	// only root's manager marks what it delegated, so this one must be asked
	// (bus.Conn.Delegated); if it says yes, Maybe is the Unit.
	Maybe string
	// Writable is the nearest cgroup above the own one in which the caller
	// may make others.
	Writable string
	// Top is the highest such cgroup. Only below it can a container be: the
	// kernel wants write access to the common ancestor of where a process
	// comes from and where it goes.
	Top string
}

// Choice is the manager for one container.
type Choice struct {
	Manager Manager
	// Path is the cgroup to make, below the mount point, and Base the existing
	// one above it from which to make it (Cgroupfs only): see live.Create.
	Path, Base string
	// Foreign is true when Base was not delegated to us, so that it may belong
	// to a service manager.
	Foreign bool
	// Evacuate names the cgroup whose processes must first go to a leaf of it
	// (EvacuationLeaf), since a cgroup with controllers for its children can
	// hold no process; "" when nothing is in the way.
	Evacuate string
	// Reason is one line for --debug and doctor.
	Reason string
}

// EvacuationLeaf is the child cgroup that takes the runtime's own processes,
// as DelegateSubgroup=runtime would.
const EvacuationLeaf = "runtime"

// errDisabled is returned to callers that asked for no cgroup and for limits.
var errDisabled = errors.New("cgroupv2: config.json asks for limits, and --cgroup-manager=disabled forbids them")

// Choose picks the manager; it is pure. The order of auto: the cgroup of our
// own unit, when it was delegated (a scope beside the unit would escape its
// stop and its limits); systemd; the nearest ancestor that can
// be written; none. A cgroupsPath with slashes names a cgroup, one with colons a
// scope: each rules out the other manager.
//
// It is an error when limits were asked for and no manager can set them.
func Choose(s Situation) (Choice, error) {
	switch s.Manager {
	case None:
		if s.Limits {
			return Choice{}, errDisabled
		}
		return Choice{Manager: None, Reason: "no cgroup: --cgroup-manager=disabled"}, nil
	case Systemd:
		n := s.unified()
		switch {
		case s.Bus == "" && n != nil: // so nobody has asked for the bus
			return Choice{}, (&noManager{"--cgroup-manager=systemd", n.why, n.hint}).err()
		case s.Bus == "":
			return Choice{}, (&noManager{"--cgroup-manager=systemd", s.NoBus, hintBus}).err()
		case n != nil:
			return s.none(n)
		}
		return s.systemd(), nil
	case Cgroupfs:
		if n := s.unified(); n != nil {
			return s.none(n)
		}
		return s.cgroupfs()
	case Auto, "":
		return s.auto()
	}
	return Choice{}, errors.New("cgroupv2: manager " + strconv.Quote(string(s.Manager)) + " is none of auto, systemd, cgroupfs, disabled")
}

func (s Situation) auto() (Choice, error) {
	if n := s.unified(); n != nil {
		return s.none(n)
	}
	scope := strings.Contains(s.CgroupsPath, ":")
	switch {
	case isPath(s.CgroupsPath), s.Delegation.Unit != "" && !scope:
		return s.cgroupfs()
	case s.Bus != "":
		return s.systemd(), nil
	case scope:
		return s.none(&noManager{"cgroupsPath " + strconv.Quote(s.CgroupsPath), s.NoBus, hintBus})
	}
	return s.cgroupfs()
}

func (s Situation) systemd() Choice {
	return Choice{Manager: Systemd, Reason: "systemd scope: service manager at " + s.Bus}
}

// cgroupfs places the container. A relative or empty path goes below the
// delegated unit, else below the nearest writable ancestor.
func (s Situation) cgroupfs() (Choice, error) {
	if escapes(s.CgroupsPath) {
		return Choice{}, errors.New("config.json: linux.cgroupsPath: " + strconv.Quote(s.CgroupsPath) + " has .. in it")
	}
	base, reason := s.Delegation.Unit, "delegated cgroup "+s.Delegation.Unit
	if base == "" {
		base, reason = s.Delegation.Writable, "writable ancestor "+s.Delegation.Writable
	}
	target := s.CgroupsPath
	switch {
	case strings.HasPrefix(target, "/"):
		reason = "cgroupsPath " + target
	case base == "":
		why := "no cgroup at or above " + s.Cgroup.Path + " is delegated to this user"
		return s.none(&noManager{"cgroup", why, hintDelegate})
	case target == "":
		target = path.Join(base, "homerun-"+s.ID)
	default:
		target = path.Join(base, target)
	}
	target = path.Clean(target)
	if target == "/" {
		return Choice{}, errors.New("config.json: linux.cgroupsPath: is the root of the tree, which takes no container")
	}
	base, foreign := s.base(target)
	if base == "" {
		why := "no cgroup above it is delegated to this user"
		return s.none(&noManager{"cgroup " + target, why, hintDelegate})
	}
	return Choice{
		Manager: Cgroupfs, Path: target, Base: base, Foreign: foreign,
		Evacuate: s.evacuate(target), Reason: "cgroupfs: " + reason,
	}, nil
}

// base is the lowest cgroup above target that the caller may change, "" if
// none. A path inside of our own service that config.json names is taken as the
// service's word that it is delegated (podman --cgroups=split).
func (s Situation) base(target string) (base string, foreign bool) {
	d := s.Delegation
	for _, unit := range []string{d.Unit, d.Maybe} {
		if below(target, unit) {
			return unit, false
		}
	}
	for _, base := range []string{d.Writable, d.Top} {
		if below(target, base) {
			return base, true
		}
	}
	return "", false
}

// evacuate: only our own delegated cgroup, when we sit in it and the container
// goes below.
func (s Situation) evacuate(target string) string {
	own := path.Clean("/" + s.Cgroup.Path)
	if unit, foreign := s.base(target); unit == own && !foreign {
		return own
	}
	return ""
}

// below is true when target lies inside of dir ("" contains nothing).
func below(target, dir string) bool {
	return dir == "/" || dir != "" && strings.HasPrefix(target, dir+"/")
}

func escapes(p string) bool {
	for _, part := range strings.Split(p, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

// unified refuses hosts whose controllers are on cgroup v1, or where no cgroup can
// be made: below a scope of systemd's, too, there is one of the container's own.
func (s Situation) unified() *noManager {
	switch {
	case s.Cgroup.Unified && s.Cgroup.ReadOnly:
		return &noManager{"cgroup", s.Cgroup.MountPoint + " is mounted read-only, as in a container or by ProtectControlGroups= of a systemd unit",
			"leave ProtectControlGroups= out, or mount the outer container's cgroups writable (podman: --cgroupns=private --security-opt unmask=/sys/fs/cgroup)"}
	case s.Cgroup.Unified:
		return nil
	}
	return &noManager{"cgroup", "this host has cgroup v1 (or none), homerun limits with cgroup v2 only", hintUnified}
}

// none is the last rung: well without limits, an error with them.
func (s Situation) none(n *noManager) (Choice, error) {
	if s.Limits {
		return Choice{}, n.err()
	}
	return Choice{Manager: None, Reason: "no cgroup: " + n.what + ": " + n.why}, nil
}

// noManager says why no manager can be used, and gives the fix.
type noManager struct{ what, why, hint string }

func (n *noManager) err() error {
	return &fault.Error{What: "cgroupv2: " + n.what, Why: n.why, Hint: n.hint}
}

// isPath reports whether it is a path in the cgroup tree, and not the name of a scope.
func isPath(p string) bool { return strings.Contains(p, "/") && !strings.Contains(p, ":") }

// Asks says what Choose depends on beside the cgroup tree: the caller's delegation,
// and the service manager, always or only for a delegation that is a Maybe. A path
// that begins with a slash needs no answer of systemd's; any other goes below the
// own unit, if that is delegated.
func Asks(manager Manager, cgroupsPath string) (delegation, bus, onlyMaybe bool) {
	switch {
	case manager == None:
		return false, false, false
	case manager == Systemd:
		return false, true, false
	case manager == Cgroupfs || isPath(cgroupsPath):
		return true, !strings.HasPrefix(cgroupsPath, "/"), true
	}
	return true, true, false
}
