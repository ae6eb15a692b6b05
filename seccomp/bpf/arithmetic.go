package bpf

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

const memoryCells = 16 // BPF_MEMWORDS

// Skips is how many instructions a conditional jump skips, with these values of the
// accumulator and of the index register.
func (in Instruction) Skips(a, x uint32) int {
	k, yes := in.K, false
	if in.Op&sourceX != 0 {
		k = x
	}
	switch in.Op &^ sourceX {
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
