package bpf

import "encoding/binary"

// Data is struct seccomp_data: what a filter sees of a system call.
type Data struct {
	NR   uint32 // system call number; x32 calls carry X32Bit
	Arch uint32 // AUDIT_ARCH_* of the calling convention
	IP   uint64 // instruction pointer
	Args [6]uint64
}

const memoryCells = 16 // BPF_MEMWORDS

// Arithmetic operations, bits 4-7 of an ALU instruction.
const (
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
	data [DataSize]byte
}

// Interpret evaluates p over d as the kernel of a little-endian machine does,
// and gives the filter's 32-bit return value. A program that Check refuses
// ends in KillProcess instead of a panic.
func Interpret(p []Instruction, d Data) uint32 {
	m := machine{data: d.bytes()}
	for pc := 0; pc >= 0 && pc < len(p); pc++ {
		in := p[pc]
		switch {
		case in.Op == RetK:
			return in.K
		case in.Op == RetA:
			return m.a
		case in.Op == Ja:
			pc += int(in.K)
		case in.Op&classMask == classJmp:
			pc += m.jump(in)
		case in.Op&classMask == classAlu:
			if !m.alu(in) {
				return KillThread
			}
		default:
			m.move(in)
		}
	}
	return KillProcess
}

func (d Data) bytes() (b [DataSize]byte) {
	binary.LittleEndian.PutUint32(b[OffsetNR:], d.NR)
	binary.LittleEndian.PutUint32(b[OffsetArch:], d.Arch)
	binary.LittleEndian.PutUint64(b[OffsetIP:], d.IP)
	for i, a := range d.Args {
		binary.LittleEndian.PutUint64(b[OffsetArgs+8*i:], a)
	}
	return b
}

// move runs the loads, stores and register copies.
func (m *machine) move(in Instruction) {
	cell := &m.mem[in.K%memoryCells]
	switch in.Op {
	case LdW:
		m.a = binary.LittleEndian.Uint32(m.data[in.K%DataSize&^3:])
	case LdLen:
		m.a = DataSize
	case LdImm:
		m.a = in.K
	case LdMem:
		m.a = *cell
	case LdxImm:
		m.x = in.K
	case LdxMem:
		m.x = *cell
	case LdxLen:
		m.x = DataSize
	case St:
		*cell = m.a
	case Stx:
		*cell = m.x
	case Tax:
		m.x = m.a
	case Txa:
		m.a = m.x
	}
}

func (m *machine) operand(in Instruction) uint32 {
	if in.Op&sourceX != 0 {
		return m.x
	}
	return in.K
}

// jump gives the number of instructions to skip.
func (m *machine) jump(in Instruction) int {
	k, yes := m.operand(in), false
	switch in.Op &^ sourceX {
	case JeqK:
		yes = m.a == k
	case JgtK:
		yes = m.a > k
	case JgeK:
		yes = m.a >= k
	case JsetK:
		yes = m.a&k != 0
	}
	if yes {
		return int(in.JT)
	}
	return int(in.JF)
}

// alu reports false for a division by a zero in X, at which the kernel ends
// the program with 0, which seccomp reads as KillThread.
func (m *machine) alu(in Instruction) bool {
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

// aluName prints an arithmetic operation, or "".
func aluName(op uint16) string {
	switch op & 0xf0 {
	case aluAdd:
		return "add"
	case aluSub:
		return "sub"
	case aluMul:
		return "mul"
	case aluDiv:
		return "div"
	case aluOr:
		return "or"
	case aluAnd:
		return "and"
	case aluLsh:
		return "lsh"
	case aluRsh:
		return "rsh"
	case aluNeg:
		return "neg"
	case aluXor:
		return "xor"
	}
	return ""
}
