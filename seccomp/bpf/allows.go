package bpf

// Allows reports whether a program, as Bytes writes it, is certain to let system calls of
// an architecture (AUDIT_ARCH_*) through, whatever their arguments. Of one that decides by
// arguments, or computes, nothing is certain.
func Allows(program []byte, arch uint32, numbers ...uint32) bool {
	for _, nr := range numbers {
		if !allows(program, arch, nr) {
			return false
		}
	}
	return true
}

func allows(program []byte, arch, nr uint32) bool {
	a, known := uint32(0), true // the accumulator
	for pc := 0; pc < len(program)/InstructionSize; {
		in := decode(program[pc*InstructionSize:])
		pc++
		switch in.Op {
		case RetK:
			return in.K&ActionMask == Allow
		case Ja:
			pc += int(in.K)
		case LdImm:
			a, known = in.K, true
		case LdW:
			a, known = wordOf(in.K, arch, nr)
		case JeqK, JgtK, JgeK, JsetK:
			if !known {
				return false
			}
			pc += in.Skips(a, 0)
		default:
			return false
		}
	}
	return false
}

// wordOf is a word of struct seccomp_data, if it is known.
func wordOf(offset, arch, nr uint32) (value uint32, known bool) {
	switch offset {
	case OffsetNR:
		return nr, true
	case OffsetArch:
		return arch, true
	}
	return 0, false
}
