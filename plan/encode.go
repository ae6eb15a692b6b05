package plan

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Theory of operation
//
// The stage reads records of RecordSize bytes one after the other. Everything
// that an argument points to has a fixed address, chosen here, so the stage
// needs no relocation. Constants (strings, structures) stand after the
// records; cells and buffers stand in a separate, writable block, so that one
// private page is all that a run dirties.
//
//	record, little-endian:
//	 0 u16 system call      2 u8 arguments that are cells (bit N: argument N)
//	 3 u8 bit 0: a result is wanted           4 i32 the wanted result
//	   bit 1: EAGAIN is tried again
//	 8 u16 skip on zero    10 u16 skip on another result
//	12 u32 address of the result's cell, or 0
//	16 4 x { u16 errno, u16 skip }, tolerated errors; unused ones are 0
//	32 6 x i32 arguments: number, address, or address of a cell
//
//	start of the writable block:
//	 0 u32 offset of the record that failed    4 i32 its result
//	 8 i32 the report descriptor              12 unused
//
// A skip counts records after the present one. An argument is sign-extended
// to 64 bits: addresses are below 2 GiB, and no operation needs a larger number.

// RecordSize is the size of one encoded operation in bytes.
const RecordSize = 56

// MaxErrnos is how many errors a step can tolerate.
const MaxErrnos = 4

// headerSize is the size of the fields at the start of the writable block.
const headerSize = 16

// Image is an encoded plan.
type Image struct {
	// Code holds the records with the constants after them.
	Code []byte
	// Data is the writable block.
	Data []byte
}

// begin readies the encoder for the steps from first up to to.
func (e *encoder) begin(p *Plan, first, to int, code, data uint32) {
	if first == 0 {
		e.firstBase = code
	}
	e.plan, e.first, e.codeBase, e.dataBase = p, first, code, data
	e.cells = append(make([]uint32, 0, len(p.names)), e.cells...)[:len(p.names)]
	e.code = make([]byte, RecordSize*(to-first), 2*RecordSize*(to-first))
}

// report says where failures are reported.
func (e *encoder) report() {
	binary.LittleEndian.PutUint32(e.data[8:], uint32(e.plan.ReportFD))
}

// encode lowers the steps up to to.
func (e *encoder) encode(to int) Image {
	calls := e.plan.calls[:to]
	for i := e.first; i < to; i++ {
		e.placeCells(calls[i])
	}
	if e.first == 0 {
		e.placeInputs()
	}
	for i := e.first; i < to; i++ {
		e.record(i, calls[i])
	}
	return Image{Code: e.code, Data: e.data}
}

type encoder struct {
	plan               *Plan
	first              int    // step of the first record
	firstBase          uint32 // address of the first part's records
	restSkip           int    // records between the parts
	codeBase, dataBase uint32
	code, data         []byte
	cells              []uint32 // by slot: its address
	texts              map[string]uint32
	blocks             map[*Memory]uint32
	shared             map[share]uint32
}

// placeCells places the blocks that slots live in, before anything refers to
// the slots.
func (e *encoder) placeCells(c Call) {
	for i := range c.Args {
		if m := c.Args[i].memory; m != nil {
			e.placeBlock(m)
		}
	}
}

func (e *encoder) placeBlock(m *Memory) {
	for _, inner := range m.Pointers {
		if inner.Memory != nil {
			e.placeBlock(inner.Memory)
		}
	}
	if len(m.Cells) == 0 {
		return
	}
	at := e.writable(m.Bytes)
	if e.blocks == nil {
		e.blocks = make(map[*Memory]uint32)
	}
	e.blocks[m] = at
	for _, c := range m.Cells {
		if fd, ok := e.plan.input(c.Slot); ok && e.first > 0 {
			binary.LittleEndian.PutUint32(e.data[at-e.dataBase+uint32(c.Offset):], uint32(fd)) // its cell is in the first part
			continue
		}
		e.cells[c.Slot] = at + uint32(c.Offset)
	}
}

// placeInputs writes the descriptors that the stage is started with into their
// cells.
func (e *encoder) placeInputs() {
	for _, in := range e.plan.inputs {
		at := e.cell(in.slot) - e.dataBase
		binary.LittleEndian.PutUint32(e.data[at:], uint32(in.fd))
	}
}

// cell is the address of a slot's cell.
func (e *encoder) cell(s Slot) uint32 {
	if e.cells[s] == 0 {
		e.cells[s] = e.dataBase + uint32(len(e.data))
		e.data = append(e.data, 0, 0, 0, 0)
	}
	return e.cells[s]
}

// writable appends a block to the writable part and returns its address.
func (e *encoder) writable(b []byte) uint32 {
	e.data = align8(e.data)
	at := e.dataBase + uint32(len(e.data))
	e.data = append(e.data, b...)
	return at
}

// constant appends a block after the records and returns its address.
func (e *encoder) constant(b []byte) uint32 {
	e.code = align8(e.code)
	at := e.codeBase + uint32(len(e.code))
	e.code = append(e.code, b...)
	return at
}

// text is the address of a string; equal strings share one.
func (e *encoder) text(s string) uint32 {
	if at, ok := e.texts[s]; ok {
		return at
	}
	at := e.codeBase + uint32(len(e.code))
	e.code = append(append(e.code, s...), 0)
	e.texts[s] = at
	return at
}

// block is the address of a structure, with its pointers filled in.
func (e *encoder) block(m *Memory) uint32 {
	if at, ok := e.shared[m.share]; ok {
		return at
	}
	at := e.placed(m)
	if m.share.first != nil {
		if e.shared == nil {
			e.shared = make(map[share]uint32)
		}
		e.shared[m.share] = at
	}
	return at
}

// placed puts a block into the image.
func (e *encoder) placed(m *Memory) uint32 {
	at, placed := e.blocks[m]
	if !placed && m.Mutable {
		at, placed = e.writable(m.Bytes), true
	}
	target := &e.data
	offset := at - e.dataBase
	addresses := e.addresses(m)
	if !placed {
		at = e.constant(m.Bytes)
		target, offset = &e.code, at-e.codeBase
	}
	for i, p := range m.Pointers {
		binary.LittleEndian.PutUint64((*target)[offset+uint32(p.Offset):], uint64(addresses[i]))
	}
	return at
}

// addresses places what a block points to.
func (e *encoder) addresses(m *Memory) []uint32 {
	list := make([]uint32, len(m.Pointers))
	for i, p := range m.Pointers {
		if p.Memory != nil {
			list[i] = e.block(p.Memory)
		} else {
			list[i] = e.text(p.Text)
		}
	}
	return list
}

// record encodes step i.
func (e *encoder) record(i int, c Call) {
	var args [6]uint32
	var slots byte
	for n := range c.Args {
		switch a := &c.Args[n]; {
		case a.text != nil:
			args[n] = e.text(*a.text)
		case a.memory != nil:
			args[n] = e.block(a.memory)
		case a.ref.Slot != 0:
			args[n] = e.cell(a.ref.Slot)
			slots |= 1 << n
		default:
			args[n] = uint32(a.ref.Number)
		}
	}
	e.fill(i, c, slots, args)
}

func (e *encoder) fill(i int, c Call, slots byte, args [6]uint32) {
	s := &e.plan.steps[i]
	var result uint32
	if s.Result != 0 {
		result = e.cell(s.Result)
	}
	r := e.code[(i-e.first)*RecordSize:][:RecordSize]
	le := binary.LittleEndian
	le.PutUint16(r[0:], uint16(c.Number))
	r[2] = slots
	if s.Want != nil {
		r[3] = 1
		le.PutUint32(r[4:], uint32(*s.Want))
	}
	if o, ok := s.Op.(Openat2); ok && o.Resolve&(unix.RESOLVE_IN_ROOT|unix.RESOLVE_BENEATH) != 0 {
		r[3] |= 2 // a rename anywhere on the host came between: openat2(2)
	}
	le.PutUint16(r[8:], uint16(e.plan.skip(i, s.OnZero)))
	le.PutUint16(r[10:], uint16(e.plan.skip(i, s.OnNonzero)))
	if i == e.plan.split-1 {
		le.PutUint16(r[10:], uint16(e.restSkip))
	}
	le.PutUint32(r[12:], result)
	for n, t := range s.Tolerate {
		le.PutUint16(r[16+4*n:], uint16(t.Errno))
		le.PutUint16(r[18+4*n:], uint16(e.plan.skip(i, t.To)))
	}
	for n, a := range args {
		le.PutUint32(r[32+4*n:], a)
	}
}

func align8(b []byte) []byte {
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return b
}

// CodeSize is a bound on the size of Image.Code in bytes: the first part's when
// there are two.
func (p *Plan) CodeSize() int { return p.sizeOf(0, p.firstEnd()) }

// sizeOf is the bound for the steps from first up to to.
func (p *Plan) sizeOf(first, to int) int {
	n := RecordSize * (to - first)
	for i := first; i < to; i++ {
		for k := range p.calls[i].Args {
			n += p.calls[i].Args[k].size()
		}
	}
	return n
}

// size is how much an argument can add to the constants.
func (a *Arg) size() int {
	if a.text != nil {
		return len(*a.text) + 1
	}
	return a.memory.size()
}

func (m *Memory) size() int {
	if m == nil {
		return 0
	}
	n := len(m.Bytes) + 8
	for _, p := range m.Pointers {
		n += p.Memory.size() + len(p.Text) + 1
	}
	return n
}
