package plan

import "slices"

// bits is a set of slots.
type bits []uint64

func (b bits) set(s Slot)      { b[s/64] |= 1 << (s % 64) }
func (b bits) has(s Slot) bool { return b[s/64]&(1<<(s%64)) != 0 }

// meet keeps what both sets hold.
func (b bits) meet(o bits) {
	for i := range b {
		b[i] &= o[i]
	}
}

// checkHomes wants a slot inside at most one block of memory: its cell is there,
// and a second block would never see the value.
func checkHomes(p *Plan) (int, string) {
	homes := bits(make([]uint64, len(p.names)/64+1))
	for i := range p.calls {
		for n := range p.calls[i].Args {
			if m := p.calls[i].Args[n].memory; m != nil && !m.settle(homes) {
				return i, "a slot lives in another block already"
			}
		}
	}
	return 0, ""
}

// settle marks the block's slots, and is false when one was marked before.
func (m *Memory) settle(homes bits) bool {
	for _, c := range m.Cells {
		if homes.has(c.Slot) {
			return false
		}
		homes.set(c.Slot)
	}
	for _, p := range m.Pointers {
		if p.Memory != nil && !p.Memory.settle(homes) {
			return false
		}
	}
	return true
}

// checkSlots follows every way through the plan, forward only as skips are,
// and wants each slot to be set on all ways that lead to a use of it. A call
// that failed with a tolerated error sets nothing.
func checkSlots(p *Plan) (int, string) {
	f := newFlow(p)
	for i := range p.steps {
		now := f.at(i)
		if now == nil {
			return i, "no way leads here"
		}
		if s, ok := unset(&p.calls[i], now); ok {
			return i, "slot " + p.SlotName(s) + " may not be set"
		}
		f.step(i, now)
	}
	return 0, ""
}

// flow holds, by step, the slots that are set on all ways to it. A set goes on
// with the plan from step to step, so few are alive at a time: one of all slots for
// each step would be quadratic.
type flow struct {
	plan   *Plan
	states []bits
	free   []bits
}

func newFlow(p *Plan) *flow {
	f := &flow{plan: p, states: make([]bits, len(p.steps)+1)}
	start := p.noBits()
	for s := range p.inputs {
		start.set(s)
	}
	f.states[0] = start
	return f
}

func (f *flow) at(i int) bits { return f.states[i] }

// copied is a set with the same slots.
func (f *flow) copied(now bits) bits {
	last := len(f.free) - 1
	if last < 0 {
		return slices.Clone(now)
	}
	b := f.free[last]
	f.free = f.free[:last]
	copy(b, now)
	return b
}

// merge records that a way with these slots leads to step i.
func (f *flow) merge(i int, now bits) {
	if f.states[i] == nil {
		f.states[i] = f.copied(now)
		return
	}
	f.states[i].meet(now)
}

// hand is merge for a set that nobody needs after it.
func (f *flow) hand(i int, now bits) {
	if f.states[i] == nil {
		f.states[i] = now
		return
	}
	f.states[i].meet(now)
	f.free = append(f.free, now)
}

// step records where step i leads.
func (f *flow) step(i int, now bits) {
	s := &f.plan.steps[i]
	for _, t := range s.Tolerate {
		f.merge(f.next(i, t.To), now)
	}
	if s.Result != 0 {
		now.set(s.Result)
	}
	for _, a := range f.plan.calls[i].Args {
		a.outputs(now)
	}
	switch s.Op.(type) {
	case Execve, ExitGroup, Reap:
		return // they do not come back, except with a tolerated error
	}
	zero, other := f.next(i, s.OnZero), f.next(i, s.OnNonzero)
	if zero != other {
		f.merge(zero, now)
	}
	f.hand(other, now)
}

func (f *flow) next(i int, l Label) int {
	if l == 0 {
		return i + 1
	}
	return f.plan.target(l)
}

// outputs adds the slots that the call writes into memory.
func (a *Arg) outputs(now bits) {
	if a.memory == nil {
		return
	}
	for _, c := range a.memory.Cells {
		if c.Out {
			now.set(c.Slot)
		}
	}
}

// unset finds a slot that the call uses and that is not set.
func unset(c *Call, now bits) (Slot, bool) {
	for i := range c.Args {
		a := &c.Args[i]
		if a.ref.Slot != 0 && !now.has(a.ref.Slot) {
			return a.ref.Slot, true
		}
		if a.memory != nil {
			if s, bad := a.memory.unset(now); bad {
				return s, true
			}
		}
	}
	return 0, false
}

func (m *Memory) unset(now bits) (Slot, bool) {
	for _, c := range m.Cells {
		if !c.Out && !now.has(c.Slot) {
			return c.Slot, true
		}
	}
	for _, p := range m.Pointers {
		if p.Memory != nil {
			if s, bad := p.Memory.unset(now); bad {
				return s, true
			}
		}
	}
	return 0, false
}
