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
	f := &flow{plan: p, now: p.noBits()}
	for _, in := range p.inputs {
		f.now.set(in.slot)
	}
	for i := range p.steps {
		f.arrive(i)
		if f.now == nil {
			return i, "no way leads here"
		}
		if s, ok := unset(&p.calls[i], f.now); ok {
			return i, "slot " + p.SlotName(s) + " may not be set"
		}
		f.step(i)
	}
	return 0, ""
}

// flow holds the slots that are set on all ways to the present step, and on those to each
// step that a way skips to. Few are ahead at a time: sets of all slots for each step would
// be quadratic.
type flow struct {
	plan  *Plan
	now   bits // nil where no way leads
	ahead []way
	free  []bits
}

// way has the slots that are set on all ways that skip to a step.
type way struct {
	to  int
	set bits
}

// arrive makes step i the present one: the ways that skip to it meet there.
func (f *flow) arrive(i int) {
	n := f.skipping(i)
	if n < 0 {
		return
	}
	set, last := f.ahead[n].set, len(f.ahead)-1
	f.ahead[n] = f.ahead[last]
	f.ahead = f.ahead[:last]
	if f.now == nil {
		f.now = set
		return
	}
	f.now.meet(set)
	f.free = append(f.free, set)
}

// skipping is the index of the ways that skip to step i, or -1.
func (f *flow) skipping(i int) int {
	return slices.IndexFunc(f.ahead, func(w way) bool { return w.to == i })
}

// lead records that a way leads to step i from the present one, with what is set now.
func (f *flow) lead(i int) {
	if n := f.skipping(i); n >= 0 {
		f.ahead[n].set.meet(f.now)
		return
	}
	f.ahead = append(f.ahead, way{i, f.copied()})
}

// copied is another set with the slots that are set now.
func (f *flow) copied() bits {
	last := len(f.free) - 1
	if last < 0 {
		return slices.Clone(f.now)
	}
	b := f.free[last]
	f.free = f.free[:last]
	copy(b, f.now)
	return b
}

// step records where step i, the present one, leads.
func (f *flow) step(i int) {
	s := &f.plan.steps[i]
	for _, t := range s.Tolerate {
		f.lead(f.next(i, t.To))
	}
	if s.Result != 0 {
		f.now.set(s.Result)
	}
	for _, a := range f.plan.calls[i].Args {
		a.outputs(f.now)
	}
	goesOn := false
	switch s.Op.(type) {
	case Execve, ExitGroup, Reap: // they do not come back, except with a tolerated error
	default:
		for _, l := range [...]Label{s.OnZero, s.OnNonzero} {
			if l == 0 {
				goesOn = true
			} else {
				f.lead(f.next(i, l))
			}
		}
	}
	if !goesOn {
		f.now = nil
	}
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
