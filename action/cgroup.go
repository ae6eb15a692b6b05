package action

import (
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/systemd"
)

// MakeCgroup makes the cgroup that has the limits, and one below it for the
// container, which it opens: the input "cgroup", in which init is made. The
// actions on a cgroup that follow are about that one.
type MakeCgroup struct {
	// Mount is where cgroup2 is mounted; Choice.Path counts from there, and is that
	// of the limits.
	Mount  string
	Choice cgroupv2.Choice
	// Below is the name of the container's own.
	Below string
	// Controllers must be had in both.
	Controllers []string
}

// Line implements plan.Action.
func (a MakeCgroup) Line() string {
	list := []string{line("record", `"state.json"`)}
	if a.Choice.Evacuate != "" {
		list = append(list, line("evacuate", quoted(a.Mount+a.Choice.Evacuate), quoted(cgroupv2.EvacuationLeaf)))
	}
	list = append(list, line("mkdir", quoted(a.Mount+a.Choice.Path), "0755"), enable("", a.Controllers), line("mkdir", quoted(a.Below), "0755"))
	return strings.Join(list, ", ")
}

// WriteCgroup writes one file of the cgroup.
type WriteCgroup struct {
	Write cgroupv2.Write
	// Above: it is that of the cgroup above the container's, which MakeCgroup made.
	Above bool
	// Prove: somebody else (systemd) has written the value already; it is written
	// only if the file does not read so.
	Prove bool
	// Again: an earlier write of the list may have made this one possible. Its
	// first attempt may fail with EINVAL.
	Again bool
}

// Line implements plan.Action.
func (a WriteCgroup) Line() string {
	verb := "write"
	if a.Prove {
		verb = "prove"
	}
	file := a.Write.File
	if a.Above {
		file = "../" + file
	}
	text := line(verb, quoted(file), quoted(a.Write.Value))
	if a.Write.Retry && !a.Again {
		text += "  // EINVAL"
	}
	return text
}

// LoadDevices has the kernel check a device program, while a cgroup is waited for.
type LoadDevices struct{ Program []cgroupv2.Instruction }

// Line implements plan.Action.
func (a LoadDevices) Line() string {
	return "$devices = " + line("bpf", "BPF_PROG_LOAD", strconv.Itoa(len(a.Program))+" instructions")
}

// FilterDevices attaches the device program that was loaded to the cgroup.
type FilterDevices struct{}

// Line implements plan.Action.
func (a FilterDevices) Line() string { return line("bpf", "BPF_PROG_ATTACH", "$devices") }

// GiveCgroup gives the cgroup to the container's root, so that it can make
// cgroups of its own below.
type GiveCgroup struct{ UID, GID uint32 }

// Line implements plan.Action.
func (a GiveCgroup) Line() string {
	return line("chown", quoted("."), strconv.FormatUint(uint64(a.UID), 10), strconv.FormatUint(uint64(a.GID), 10))
}

// StartScope asks systemd for a scope with init in it, and does not wait.
type StartScope struct {
	Unit       string
	Properties []systemd.Property
}

// Line implements plan.Action.
func (a StartScope) Line() string {
	list := []string{quoted(a.Unit)}
	for _, p := range a.Properties {
		text := p.String()
		if p.Name == "PIDs" {
			text = "PIDs=[$init]"
		}
		list = append(list, text)
	}
	return line("StartTransientUnit", list...)
}

// AwaitScope waits until init is in its scope, and opens that: the actions on a
// cgroup that follow are about it.
type AwaitScope struct {
	Unit string
	// Mount is where cgroup2 is mounted.
	Mount string
}

// Line implements plan.Action.
func (a AwaitScope) Line() string { return line("await-scope", quoted(a.Unit)) }

// MakeSubgroup makes the container's own cgroup in its scope, moves init there,
// and lets the scope give it controllers. The actions on a cgroup that follow are
// about it.
type MakeSubgroup struct {
	Name        string
	Controllers []string
}

// Line implements plan.Action.
func (a MakeSubgroup) Line() string {
	return enterNew(a.Name) + ", " + enable("../", a.Controllers)
}

// enable is the line of what gives a cgroup's children these controllers, and those
// for accounting that are to be had.
func enable(where string, controllers []string) string {
	return line("enable", quoted(where+"cgroup.subtree_control"), quoted(strings.Join(controllers, " ")))
}

// enterNew is the line of what makes a cgroup and moves init there.
func enterNew(name string) string {
	return line("mkdir", quoted(name), "0755") + ", " + line("write", quoted(name+"/cgroup.procs"), "$init")
}

// MoveDown makes a cgroup for the program below the container's, moves init
// there, and gives it to the container's root.
type MoveDown struct {
	Name string
	// Give says to whom, if to somebody.
	Give *GiveCgroup
}

// Line implements plan.Action.
func (a MoveDown) Line() string {
	text := enterNew(a.Name) + ", " + enable("../", nil)
	if a.Give != nil {
		text += ", " + a.Give.Line()
	}
	return text
}

// EnterScope has systemd move the process of an exec into the container's
// cgroup, which the caller may not.
type EnterScope struct{}

// Line implements plan.Action.
func (a EnterScope) Line() string { return line("AttachProcessesToUnit", "$process") }
