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

const memoryCells = 16 // BPF_MEMWORDS

// Classes and operands of instructions, and arithmetic operations, bits 4-7: linux/bpf_common.h.
const (
	classMask = 0x07
	classAlu  = 0x04
	classJmp  = 0x05
	sourceX   = 0x08

	aluAdd = 0x00
	aluSub = 0x10
	aluMul = 0x20
	aluDiv = 0x30
	aluOr  = 0x40
	aluAnd = 0x50
	aluLsh = 0x60
	aluRsh = 0x70
	aluNeg = 0x80
	aluMod = 0x90
	aluXor = 0xa0
)

type machine struct {
	a, x uint32
	mem  [memoryCells]uint32
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
		case in.Op&classMask == classJmp:
			pc += in.Skips(m.a, m.x)
		case in.Op&classMask == classAlu:
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
	cell := &m.mem[in.K%memoryCells]
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
	if in.Op&sourceX != 0 {
		return m.x
	}
	return in.K
}

// alu reports false for a division by a zero in X, at which the kernel ends
// the program with 0, which seccomp reads as KillThread.
func (m *machine) alu(in bpf.Instruction) bool {
	k := m.operand(in)
	switch in.Op & 0xf0 {
	case aluAdd:
		m.a += k
	case aluSub:
		m.a -= k
	case aluMul:
		m.a *= k
	case aluDiv:
		if k == 0 {
			return false
		}
		m.a /= k
	case aluOr:
		m.a |= k
	case aluAnd:
		m.a &= k
	case aluLsh:
		m.a <<= k & 31
	case aluRsh:
		m.a >>= k & 31
	case aluNeg:
		m.a = -m.a
	case aluXor:
		m.a ^= k
	}
	return true
}
