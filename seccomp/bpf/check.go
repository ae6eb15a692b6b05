package bpf

import "fmt"

// Check reports why the kernel would refuse p: it follows the tests of
// bpf_check_classic (net/core/filter.c) and seccomp_check_filter
// (kernel/seccomp.c). One test is left to the kernel, and makes it answer
// EINVAL: a scratch memory cell that is read before it is written.
func Check(p []Instruction) error {
	if len(p) == 0 || len(p) > MaxInstructions {
		return fmt.Errorf("bpf: program of %d instructions: want 1 to %d", len(p), MaxInstructions)
	}
	return checkEach(p)
}

// checkEach is Check for a program of any length but 0.
func checkEach(p []Instruction) error {
	for i, in := range p {
		if why := refuse(in, len(p)-i-1); why != "" {
			return fmt.Errorf("bpf: instruction %d (op %#04x, k %#x): %s", i, in.Op, in.K, why)
		}
	}
	if last := p[len(p)-1].Op; last != RetK && last != RetA {
		return fmt.Errorf("bpf: last instruction (op %#04x) does not return", last)
	}
	return nil
}

// refuse says what is wrong with in, which has rest instructions after it.
func refuse(in Instruction, rest int) string {
	switch in.Op {
	case LdW:
		if in.K%4 != 0 || in.K >= DataSize {
			return "loads outside of seccomp_data or unaligned"
		}
	case LdMem, LdxMem, St, Stx:
		if in.K >= MemoryCells {
			return "names a scratch memory cell that does not exist"
		}
	case LdLen, LdImm, LdxImm, LdxLen, RetK, RetA, Tax, Txa:
	default:
		return refuseComputed(in, rest)
	}
	return ""
}

func refuseComputed(in Instruction, rest int) string {
	switch in.Op & ClassMask {
	case ClassJmp:
		return refuseJump(in, rest)
	case ClassAlu:
		return refuseALU(in)
	}
	return "unknown operation for seccomp"
}

func refuseJump(in Instruction, rest int) string {
	switch in.Op &^ SourceX {
	case Ja:
		if in.Op != Ja || uint64(in.K) >= uint64(rest) {
			return "jumps past the end"
		}
	case JeqK, JgtK, JgeK, JsetK:
		if int(in.JT) >= rest || int(in.JF) >= rest {
			return "jumps past the end"
		}
	default:
		return "unknown jump"
	}
	return ""
}

func refuseALU(in Instruction) string {
	op, byX := in.Op&0xf0, in.Op&SourceX != 0
	switch {
	case in.Op > 0xff || op > AluXor || op == AluMod:
		return "unknown arithmetic for seccomp"
	case op == AluNeg && byX:
		return "unknown arithmetic for seccomp"
	case op == AluDiv && !byX && in.K == 0:
		return "divides by zero"
	case (op == AluLsh || op == AluRsh) && !byX && in.K >= 32:
		return "shifts by 32 or more"
	}
	return ""
}
