package plan

import "strconv"

// RuntimeStep is a step of the runtime's side: what homerun does outside while
// the stage runs.
type RuntimeStep struct {
	// Action is what it does.
	Action Action
	// Pointer says where in config.json the step comes from, or "default" for
	// what the specification implies.
	Pointer string
}

// Action is what the runtime does in one step. Await and Answer are the
// handshake with the stage; all others are in package action.
type Action interface {
	// Line is the action as `homerun plan` prints it: in the notation of strace
	// where it is one call, else as a verb with its arguments.
	Line() string
}

// Await waits until the stage has signaled.
type Await struct {
	// Signal is the name of the step that signals.
	Signal string
}

// Line implements Action.
func (a Await) Line() string { return "await " + a.Signal }

// Answer lets the stage go on, where it waits.
type Answer struct {
	// Awaited is the name of the step that waits.
	Awaited string
}

// Line implements Action.
func (a Answer) Line() string { return "answer " + a.Awaited }

// RuntimeLine is step i of the runtime's side as `homerun plan` prints it: the
// action, and which step of the container's side it waits for or lets go on,
// counted from 1.
func (p *Plan) RuntimeLine(i int) string {
	action := p.runtime[i].Action
	line := action.Line()
	for n := range p.steps {
		s := &p.steps[n]
		switch a := action.(type) {
		case Await:
			if s.Signals == a.Signal {
				return line + "  // by step " + strconv.Itoa(n+1)
			}
		case Answer:
			if s.Awaits == a.Awaited {
				return line + "  // step " + strconv.Itoa(n+1) + " goes on"
			}
		}
	}
	return line
}
