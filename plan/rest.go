package plan

// Theory of operation
//
// A plan may have two parts, so that the runtime can measure the host and
// compile the second one while the first one runs: making namespaces takes the
// kernel longer than both. The first part ends with an await and with the
// mmap of a descriptor that is empty when the stage starts. Before the runtime
// signals, it writes the second part to the descriptor and seals it.
//
// The stage needs no code for that: the second part's records lie a whole
// number of records after the first one's, so the mmap is a step that skips
// forward to them.

const (
	// RestAddress is where the stage maps the second part: after the largest
	// first part, and in reach of a skip.
	RestAddress = 0x480000
	// RestSize is how much it maps, in bytes, and so a bound for the second part.
	RestSize = 16 << 20
)

// Split counts the steps of the plan's first part; 0 when it has only one.
func (p *Plan) Split() int { return p.split }

// firstEnd counts the steps of the first image.
func (p *Plan) firstEnd() int {
	if p.split > 0 {
		return p.split
	}
	return len(p.steps)
}

// restIndex is the place of the second part's first record, counted in records
// from the first part's first one at address code.
func restIndex(code uint32) int {
	return int((RestAddress - code + RecordSize - 1) / RecordSize)
}

// Index is the index of the step whose record was the one with number record,
// counted in records from the first one at address code.
func (p *Plan) Index(record int, code uint32) int {
	if n := restIndex(code); p.split > 0 && record >= n {
		return record - n + p.split
	}
	return record
}

// Record is the reverse of Index.
func (p *Plan) Record(step int, code uint32) int {
	if p.split > 0 && step >= p.split {
		return step - p.split + restIndex(code)
	}
	return step
}

// Encoding is a plan's image, of its first part if it has two.
type Encoding struct {
	Image
	encoder encoder
}

// NewEncoding lowers the plan, or its first part, for a stage that has its
// records at address code and its writable block at address data. Only a plan
// that passed Check exists, so nothing can fail.
func NewEncoding(p *Plan, code, data uint32) *Encoding {
	to := p.firstEnd()
	e := &Encoding{encoder: encoder{texts: make(map[string]uint32, 2*to)}}
	e.encoder.begin(p, 0, to, code, data)
	e.encoder.data = make([]byte, headerSize, 512)
	e.encoder.report()
	e.encoder.restSkip = restIndex(code) - p.split
	e.Image = e.encoder.encode(to)
	return e
}

// Rest lowers the second part of the whole plan. The image's records begin at
// CodeAt, its writable block at DataAt.
func (e *Encoding) Rest(p *Plan) RestImage {
	code := e.encoder.firstBase + uint32(RecordSize*restIndex(e.encoder.firstBase))
	data := (code + uint32(p.sizeOf(p.split, p.Len())) + 4095) &^ 4095
	e.encoder.begin(p, p.split, p.Len(), code, data)
	e.encoder.data = nil
	return RestImage{Image: e.encoder.encode(p.Len()), CodeAt: code, DataAt: data}
}

// RestImage is the second part of a plan.
type RestImage struct {
	Image
	// CodeAt and DataAt are the addresses of its two blocks.
	CodeAt, DataAt uint32
}

// checkParts: the second part may rely on nothing but results of the first one.
func checkParts(p *Plan) (int, string) {
	for i := range p.steps {
		if is[Mmap](p.steps[i].Op) != (p.split > 0 && i == p.split-1) {
			return i, "maps a second part where none begins"
		}
		if i < p.split && p.leaves(i) {
			return i, "skips into the second part"
		}
	}
	return p.checkHomesOfParts()
}

// leaves reports whether step i of the first part skips out of it.
func (p *Plan) leaves(i int) bool {
	s := &p.steps[i]
	out := func(l Label) bool { return l != 0 && p.labels[l] >= p.split }
	for _, t := range s.Tolerate {
		if out(t.To) {
			return true
		}
	}
	return out(s.OnZero) || out(s.OnNonzero)
}

// checkHomesOfParts: a slot that the first part sets has its cell there.
func (p *Plan) checkHomesOfParts() (int, string) {
	if p.split == 0 || p.part {
		return 0, ""
	}
	set := p.noBits()
	for i := range p.split {
		set.set(p.steps[i].Result)
		for _, a := range p.calls[i].Args {
			a.outputs(set)
		}
	}
	for i := p.split; i < len(p.calls); i++ {
		for n := range p.calls[i].Args {
			if m := p.calls[i].Args[n].memory; m != nil && m.holds(set) {
				return i, "a slot of the first part would have a second cell"
			}
		}
	}
	return 0, ""
}

// holds reports whether one of the slots lives in the block.
func (m *Memory) holds(slots bits) bool {
	for _, c := range m.Cells {
		if slots.has(c.Slot) {
			return true
		}
	}
	for _, p := range m.Pointers {
		if p.Memory != nil && p.Memory.holds(slots) {
			return true
		}
	}
	return false
}
