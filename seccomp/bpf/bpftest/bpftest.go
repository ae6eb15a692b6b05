// Package bpftest evaluates filters, for tests. No program needs it: the kernel does.
package bpftest

import (
	"encoding/binary"

	"github.com/homerun-oci/homerun/seccomp/bpf"
)

// Data is struct seccomp_data: what a filter sees of a system call.
type Data struct {
	NR   uint32 // system call number; x32 calls carry bpf.X32Bit
	Arch uint32 // AUDIT_ARCH_* of the calling convention
	IP   uint64 // instruction pointer
	Args [6]uint64
}

type machine struct {
	a, x uint32
	mem  [bpf.MemoryCells]uint32
	data [bpf.DataSize]byte
}

// Interpret evaluates p over d as the kernel of a little-endian machine does,
// and gives the filter's 32-bit return value. A program that bpf.Check refuses
// ends in KillProcess instead of a panic.
func Interpret(p []bpf.Instruction, d Data) uint32 {
	m := machine{data: d.bytes()}
	for pc := 0; pc >= 0 && pc < len(p); pc++ {
		in := p[pc]
		switch {
		case in.Op == bpf.RetK:
			return in.K
		case in.Op == bpf.RetA:
			return m.a
		case in.Op == bpf.Ja:
			pc += int(in.K)
		case in.Op&bpf.ClassMask == bpf.ClassJmp:
			pc += in.Skips(m.a, m.x)
		case in.Op&bpf.ClassMask == bpf.ClassAlu:
			if !m.alu(in) {
				return bpf.KillThread
			}
		default:
			m.move(in)
		}
	}
	return bpf.KillProcess
}

func (d Data) bytes() (b [bpf.DataSize]byte) {
	binary.LittleEndian.PutUint32(b[bpf.OffsetNR:], d.NR)
	binary.LittleEndian.PutUint32(b[bpf.OffsetArch:], d.Arch)
	binary.LittleEndian.PutUint64(b[bpf.OffsetIP:], d.IP)
	for i, a := range d.Args {
		binary.LittleEndian.PutUint64(b[bpf.OffsetArgs+8*i:], a)
	}
	return b
}

// move runs the loads, stores and register copies.
func (m *machine) move(in bpf.Instruction) {
	cell := &m.mem[in.K%bpf.MemoryCells]
	switch in.Op {
	case bpf.LdW:
		m.a = binary.LittleEndian.Uint32(m.data[in.K%bpf.DataSize&^3:])
	case bpf.LdLen:
		m.a = bpf.DataSize
	case bpf.LdImm:
		m.a = in.K
	case bpf.LdMem:
		m.a = *cell
	case bpf.LdxImm:
		m.x = in.K
	case bpf.LdxMem:
		m.x = *cell
	case bpf.LdxLen:
		m.x = bpf.DataSize
	case bpf.St:
		*cell = m.a
	case bpf.Stx:
		*cell = m.x
	case bpf.Tax:
		m.x = m.a
	case bpf.Txa:
		m.a = m.x
	}
}

func (m *machine) operand(in bpf.Instruction) uint32 {
	if in.Op&bpf.SourceX != 0 {
		return m.x
	}
	return in.K
}

// alu reports false for a division by a zero in X, at which the kernel ends
// the program with 0, which seccomp reads as KillThread.
func (m *machine) alu(in bpf.Instruction) bool {
	k := m.operand(in)
	switch in.Op & 0xf0 {
	case bpf.AluAdd:
		m.a += k
	case bpf.AluSub:
		m.a -= k
	case bpf.AluMul:
		m.a *= k
	case bpf.AluDiv:
		if k == 0 {
			return false
		}
		m.a /= k
	case bpf.AluOr:
		m.a |= k
	case bpf.AluAnd:
		m.a &= k
	case bpf.AluLsh:
		m.a <<= k & 31
	case bpf.AluRsh:
		m.a >>= k & 31
	case bpf.AluNeg:
		m.a = -m.a
	case bpf.AluXor:
		m.a ^= k
	}
	return true
}
