// Package plan defines the operations that make a container, and prints,
// checks and encodes lists of them.
//
// An operation is one system call as a typed value, named after the call with
// fields named after the man page's parameters. A plan is a flat list of
// steps: an operation, what to do with its result, and why it is there. The
// stage (package stage) runs an encoded plan; it knows nothing about
// containers. The printed plan is the strace of the run.
//
// The package is pure: it makes no system call and reads no file. A Plan is
// immutable once built, so it may be shared between goroutines; a Builder may
// not.
package plan

import (
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Operation is one system call as a typed value.
type Operation interface {
	// Call lowers the operation to the call that the stage makes.
	Call() Call
}

// Slot names the cell that receives an operation's result. The zero Slot is
// none. A cell is a signed 32-bit number: a file descriptor or a process id.
type Slot uint16

// Ref is an argument that is either a number or what a slot holds when the
// operation runs. The zero Ref is the number 0.
type Ref struct {
	Slot   Slot
	Number int32
}

// Int makes a Ref of a number.
func Int(n int) Ref { return Ref{Number: int32(n)} }

// Ref makes an argument of a slot.
func (s Slot) Ref() Ref { return Ref{Slot: s} }

// AtCWD is AT_FDCWD: paths are relative to the working directory.
func AtCWD() Ref { return Int(unix.AT_FDCWD) }

// Label is a place in a plan that a step may skip forward to. The zero Label
// is none.
type Label uint16

// Errno is an error that a step tolerates: the plan goes on, at To when that
// is set, else with the next step.
type Errno struct {
	Errno unix.Errno
	To    Label
}

// Ignore lists errors after which the plan simply goes on.
func Ignore(errnos ...unix.Errno) []Errno {
	list := make([]Errno, len(errnos))
	for i, e := range errnos {
		list[i].Errno = e
	}
	return list
}

// Step is one operation of a plan with its result, its skips and its reason.
type Step struct {
	Op Operation
	// Result receives what the call returns.
	Result Slot
	// Want, when not nil, is the only result that is not an error: an await is
	// a read of exactly one byte.
	Want *int32
	// Tolerate lists at most four errors that do not end the plan.
	Tolerate []Errno
	// OnZero and OnNonzero skip forward after a result of zero, or another.
	OnZero, OnNonzero Label
	// Reason is why the step is there. It is not encoded, and many steps share one;
	// nil stands for that of the Builder.
	*Reason
	// Signals and Awaits name the handshake that the step is a side of.
	Signals, Awaits string
}

// Reason is why a step is there.
type Reason struct {
	// Purpose is what the step is for.
	Purpose Purpose
	// Pointer says where in config.json the step comes from (mounts[4]), or
	// "default" for what the specification implies.
	Pointer string
	// What says in words what the step is a part of (mount /srv on /data), for
	// error messages, and Subject which one of its Purpose that is.
	What, Subject string
}

// Plan is a list of steps for the container side, and one for the runtime
// side. Make it with a Builder.
type Plan struct {
	steps   []Step
	calls   []Call // of the steps, lowered once by Build
	runtime []RuntimeStep
	names   []string // of slots
	labels  []int    // label to index of the step that it stands before
	inputs  []input
	// split counts the steps of the first part; 0 when there is only one. part
	// says that the steps end there.
	split int
	part  bool
	// ReportFD is the descriptor on which the stage reports: the first
	// operation that failed, and each signal.
	ReportFD int
	// Preserved is how many descriptors from 3 on reach the container's program.
	Preserved int
	values    bool // see WithValues
}

// input is a slot for a descriptor that the stage is started with.
type input struct {
	slot Slot
	fd   int
}

// input is the descriptor that the stage is started with in a slot.
func (p *Plan) input(s Slot) (fd int, ok bool) {
	for _, in := range p.inputs {
		if in.slot == s {
			return in.fd, true
		}
	}
	return 0, false
}

// Input is a descriptor that the stage is started with.
type Input struct {
	Name string
	FD   int
}

// Inputs lists the descriptors that the stage is started with beside the
// standard streams and the preserved ones, by number.
func (p *Plan) Inputs() []Input {
	var list []Input
	for _, in := range p.inputs {
		list = append(list, Input{p.nameOf(in.slot), in.fd})
	}
	slices.SortFunc(list, func(a, b Input) int { return a.FD - b.FD })
	return list
}

// Len is the number of steps of the container side.
func (p *Plan) Len() int { return len(p.steps) }

// Step returns step i of the container side, counted from 0.
func (p *Plan) Step(i int) Step { return p.steps[i] }

// Runtime returns the steps of the runtime side.
func (p *Plan) Runtime() []RuntimeStep { return p.runtime }

// SlotName is the slot's name with its dollar sign.
func (p *Plan) SlotName(s Slot) string { return "$" + p.nameOf(s) }

// nameOf is the slot's name, with a number after it when others before it have the same.
func (p *Plan) nameOf(s Slot) string {
	name, n := p.names[s], 1
	for _, other := range p.names[:s] {
		if other == name {
			n++
		}
	}
	if n > 1 {
		name += strconv.Itoa(n)
	}
	return name
}

// target is the index of the step that a label stands before.
func (p *Plan) target(l Label) int { return p.labels[l] }

// skip counts the steps between step i and the label.
func (p *Plan) skip(i int, l Label) int {
	if l == 0 {
		return 0
	}
	return p.labels[l] - i - 1
}

// namer turns a Ref into text for the printer.
func (p *Plan) namer(r Ref) string {
	if r.Slot != 0 {
		return p.SlotName(r.Slot)
	}
	return strconv.Itoa(int(r.Number))
}
