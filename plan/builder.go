package plan

import "slices"

// Builder collects the steps of a plan in order. The zero value is not usable;
// see NewBuilder. Not safe for concurrent use.
type Builder struct {
	plan   Plan
	reason Reason  // that of At and For
	shared *Reason // the same, once a step has it
}

// NewBuilder starts an empty plan whose stage reports on reportFD.
func NewBuilder(reportFD int) *Builder {
	b := &Builder{}
	// More than any usual container takes. With the 8 bytes that Go puts before what has
	// pointers, 127 names fill 2 KiB, and 511 calls 24 KiB.
	b.plan.names = make([]string, 1, 127)
	b.plan.labels = make([]int, 1, 64)
	b.plan.steps = make([]Step, 0, 512)
	b.plan.calls = make([]Call, 0, 511)
	b.plan.ReportFD = reportFD
	return b
}

// Grow makes room for n more steps, so that a long list is not copied from one
// place to a larger one again and again. It may be a guess.
func (b *Builder) Grow(n int) { b.plan.steps = slices.Grow(b.plan.steps, n) }

// At sets the reason of the steps that follow: where in config.json they come
// from, and what they do in words ("" for the operation alone). They have no purpose
// until For gives them one.
func (b *Builder) At(pointer, what string) *Builder {
	b.reason, b.shared = Reason{Pointer: pointer, What: what}, nil
	return b
}

// For sets the purpose of the steps that follow, up to the next At, and its subject.
func (b *Builder) For(purpose Purpose, subject string) {
	b.reason.Purpose, b.reason.Subject, b.shared = purpose, subject, nil
}

// Slot makes a new slot. A name may be used again: see SlotName.
func (b *Builder) Slot(name string) Slot {
	b.plan.names = append(b.plan.names, name)
	return Slot(len(b.plan.names) - 1)
}

// Input makes a slot for a descriptor that the stage is started with.
func (b *Builder) Input(name string, fd int) Slot {
	s := b.Slot(name)
	b.plan.inputs = append(b.plan.inputs, input{s, fd})
	return s
}

// Label makes a label that is not placed yet.
func (b *Builder) Label() Label {
	b.plan.labels = append(b.plan.labels, -1)
	return Label(len(b.plan.labels) - 1)
}

// Place puts the label before the next step.
func (b *Builder) Place(l Label) { b.plan.labels[l] = len(b.plan.steps) }

// Add appends a step, with the reason set by At unless it has its own.
func (b *Builder) Add(s Step) {
	if s.Reason == nil {
		if b.shared == nil {
			reason := b.reason
			b.shared = &reason
		}
		s.Reason = b.shared
	}
	b.plan.steps = append(b.plan.steps, s)
}

// Do appends an operation whose result is not kept.
func (b *Builder) Do(op Operation) { b.Add(Step{Op: op}) }

// Get appends an operation and keeps its result in a new slot.
func (b *Builder) Get(name string, op Operation) Slot {
	s := b.Slot(name)
	b.Add(Step{Op: op, Result: s})
	return s
}

// Try appends an operation that may fail with one of the errnos.
func (b *Builder) Try(op Operation, tolerate ...Errno) {
	b.Add(Step{Op: op, Tolerate: tolerate})
}

// Close appends the closing of a slot's descriptor.
func (b *Builder) Close(s Slot) { b.Do(Close{FD: s.Ref()}) }

// Runtime appends a step of the runtime side.
func (b *Builder) Runtime(s RuntimeStep) { b.plan.runtime = append(b.plan.runtime, s) }

// RuntimeSteps are those of the runtime side so far.
func (b *Builder) RuntimeSteps() []RuntimeStep { return b.plan.runtime }

// Len is the number of steps so far.
func (b *Builder) Len() int { return len(b.plan.steps) }

// Preserve says how many descriptors from 3 on reach the container's program.
func (b *Builder) Preserve(n int) { b.plan.Preserved = n }

// Split ends the first part of the plan: the stage maps the rest from the
// descriptor, which the runtime fills while the first part runs. See Head.
func (b *Builder) Split(fd Slot) {
	b.Do(Mmap{Address: RestAddress, Size: RestSize, FD: fd.Ref()})
	b.plan.split = b.Len()
}

// Head checks the first part of a plan and returns it; more steps may follow
// for Build, which checks the whole.
func (b *Builder) Head() (*Plan, error) {
	b.lower()
	p := b.plan
	p.part = true
	p.steps = p.steps[:p.split:p.split]
	p.runtime = slices.Clip(p.runtime)
	if err := Check(&p); err != nil {
		return nil, err
	}
	return &p, nil
}

// lower lowers the steps that are new.
func (b *Builder) lower() {
	p := &b.plan
	p.calls = slices.Grow(p.calls, len(p.steps)-len(p.calls))
	for i := len(p.calls); i < len(p.steps); i++ {
		p.calls = append(p.calls, p.steps[i].Op.Call())
	}
}

// Build checks the plan and returns it. A violation is an error of the
// compiler, never of the config: see Check. The Builder must not be used
// afterwards.
func (b *Builder) Build() (*Plan, error) {
	b.lower()
	p := b.plan
	p.steps = slices.Clip(p.steps)
	if err := Check(&p); err != nil {
		return nil, err
	}
	return &p, nil
}
