package bpf

// Arithmetic operations, bits 4-7 of an ALU instruction.
const (
	AluAdd = 0x00
	AluSub = 0x10
	AluMul = 0x20
	AluDiv = 0x30
	AluOr  = 0x40
	AluAnd = 0x50
	AluLsh = 0x60
	AluRsh = 0x70
	AluNeg = 0x80
	AluMod = 0x90
	AluXor = 0xa0
)

// aluName prints an arithmetic operation, or "".
func aluName(op uint16) string {
	switch op & 0xf0 {
	case AluAdd:
		return "add"
	case AluSub:
		return "sub"
	case AluMul:
		return "mul"
	case AluDiv:
		return "div"
	case AluOr:
		return "or"
	case AluAnd:
		return "and"
	case AluLsh:
		return "lsh"
	case AluRsh:
		return "rsh"
	case AluNeg:
		return "neg"
	case AluXor:
		return "xor"
	}
	return ""
}

// MemoryCells is how many scratch cells a program has: BPF_MEMWORDS.
const MemoryCells = 16

// Skips is how many instructions a conditional jump skips, with these values of the
// accumulator and of the index register.
func (in Instruction) Skips(a, x uint32) int {
	k, yes := in.K, false
	if in.Op&SourceX != 0 {
		k = x
	}
	switch in.Op &^ SourceX {
	case JeqK:
		yes = a == k
	case JgtK:
		yes = a > k
	case JgeK:
		yes = a >= k
	case JsetK:
		yes = a&k != 0
	}
	if yes {
		return int(in.JT)
	}
	return int(in.JF)
}
