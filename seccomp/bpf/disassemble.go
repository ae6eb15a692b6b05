package bpf

import (
	"fmt"
	"strings"
)

// Disassemble prints p, one line per instruction: its index, what it does,
// and at a jump where it goes. Where the flow of control says which word of
// seccomp_data is in the accumulator and which architecture was tested, the
// operands are printed as architecture and system call names.
//
//	4  ld nr
//	5  jeq 41 (socket) ? 6 : 9
func Disassemble(p []Instruction) []string {
	lines := make([]string, len(p))
	flow := trace(p)
	for i, in := range p {
		lines[i] = fmt.Sprintf("%4d  %s", i, text(i, in, flow[i]))
	}
	return lines
}

// knowledge is what holds before an instruction whatever way led to it.
type knowledge struct {
	reached bool
	loaded  int    // offset into seccomp_data of the word in A, or unknown
	arch    uint32 // architecture that was tested equal, or 0
}

const unknown = -1

// trace follows the jumps, which only go forward, so that one pass over the
// program meets every predecessor of an instruction before the instruction.
func trace(p []Instruction) []knowledge {
	flow := make([]knowledge, len(p))
	if len(p) > 0 {
		flow[0] = knowledge{reached: true, loaded: unknown}
	}
	for i, in := range p {
		k := flow[i]
		if !k.reached || in.Op == RetK || in.Op == RetA {
			continue
		}
		switch {
		case in.Op == Ja:
			meet(flow, uint64(i)+1+uint64(in.K), k)
		case in.Op&ClassMask == ClassJmp:
			meet(flow, uint64(i)+1+uint64(in.JT), learn(k, in))
			meet(flow, uint64(i)+1+uint64(in.JF), k)
		default:
			meet(flow, uint64(i)+1, load(k, in))
		}
	}
	return flow
}

// meet joins what is known at instruction to with what one more way to it knows.
func meet(flow []knowledge, to uint64, k knowledge) {
	if to >= uint64(len(flow)) {
		return
	}
	old := &flow[to]
	if !old.reached {
		*old = k
		return
	}
	if old.loaded != k.loaded {
		old.loaded = unknown
	}
	if old.arch != k.arch {
		old.arch = 0
	}
}

func learn(k knowledge, in Instruction) knowledge {
	if in.Op == JeqK && k.loaded == OffsetArch {
		k.arch = in.K
	}
	return k
}

func load(k knowledge, in Instruction) knowledge {
	switch {
	case in.Op == LdW && in.K < DataSize:
		k.loaded = int(in.K)
	case in.Op == LdLen || in.Op == LdImm || in.Op == LdMem || in.Op == Txa || in.Op&ClassMask == ClassAlu:
		k.loaded = unknown
	}
	return k
}

func text(i int, in Instruction, k knowledge) string {
	switch in.Op {
	case LdW:
		return "ld " + word(in.K)
	case RetK:
		return "ret " + ActionText(in.K)
	case Ja:
		return fmt.Sprintf("ja %d", uint64(i)+1+uint64(in.K))
	}
	if s := conditional(i, in, k); s != "" {
		return s
	}
	return plain(in)
}

func conditional(i int, in Instruction, k knowledge) string {
	name := ""
	switch in.Op {
	case JeqK:
		name = "jeq"
	case JgtK:
		name = "jgt"
	case JgeK:
		name = "jge"
	case JsetK:
		name = "jset"
	default:
		return ""
	}
	return fmt.Sprintf("%s %s ? %d : %d", name, operand(in, k), i+1+int(in.JT), i+1+int(in.JF))
}

// operand prints the number that A is compared with.
func operand(in Instruction, k knowledge) string {
	switch {
	case k.loaded == OffsetArch:
		if a, ok := archByAudit(in.K); ok {
			return fmt.Sprintf("%#x (%s)", in.K, strings.ToLower(strings.TrimPrefix(a.Name, "SCMP_ARCH_")))
		}
	case k.loaded == OffsetNR && in.Op == JsetK || in.K == X32Bit:
		return fmt.Sprintf("%#x", in.K)
	case k.loaded == OffsetNR:
		if name, ok := SyscallName(k.arch, in.K); ok {
			return fmt.Sprintf("%d (%s)", in.K, name)
		}
		return fmt.Sprint(int32(in.K))
	}
	return fmt.Sprintf("%#x", in.K)
}

// word names a word of seccomp_data. The halves of an argument are those of a
// little-endian machine.
func word(offset uint32) string {
	switch {
	case offset == OffsetNR:
		return "nr"
	case offset == OffsetArch:
		return "arch"
	case offset >= DataSize || offset%4 != 0:
		return fmt.Sprintf("[%d]", offset)
	}
	half := "lo"
	if offset%8 == 4 {
		half = "hi"
	}
	if offset < OffsetArgs {
		return "ip." + half
	}
	return fmt.Sprintf("arg%d.%s", (offset-OffsetArgs)/8, half)
}

// ActionText prints a filter's return value: ERRNO(38), ALLOW, TRACE(7).
func ActionText(value uint32) string {
	data := value &^ uint32(ActionMask)
	name := ""
	switch value & ActionMask {
	case KillProcess:
		name = "KILL_PROCESS"
	case KillThread:
		name = "KILL_THREAD"
	case Trap:
		name = "TRAP"
	case Errno:
		return fmt.Sprintf("ERRNO(%d)", data)
	case Notify:
		name = "USER_NOTIF"
	case Trace:
		return fmt.Sprintf("TRACE(%d)", data)
	case Log:
		name = "LOG"
	case Allow:
		name = "ALLOW"
	default:
		return fmt.Sprintf("%#x", value)
	}
	if data != 0 {
		name += fmt.Sprintf("(%d)", data)
	}
	return name
}

// plain prints the operations that libseccomp makes seldom or never.
func plain(in Instruction) string {
	if name := aluName(in.Op); name != "" && in.Op&ClassMask == ClassAlu {
		if in.Op&SourceX != 0 {
			return name + " x"
		}
		return fmt.Sprintf("%s %#x", name, in.K)
	}
	switch in.Op {
	case LdLen:
		return "ld len"
	case LdImm:
		return fmt.Sprintf("ld #%#x", in.K)
	case LdMem:
		return fmt.Sprintf("ld M[%d]", in.K)
	case LdxImm:
		return fmt.Sprintf("ldx #%#x", in.K)
	case LdxMem:
		return fmt.Sprintf("ldx M[%d]", in.K)
	case LdxLen:
		return "ldx len"
	case St:
		return fmt.Sprintf("st M[%d]", in.K)
	case Stx:
		return fmt.Sprintf("stx M[%d]", in.K)
	case RetA:
		return "ret a"
	case Tax:
		return "tax"
	case Txa:
		return "txa"
	}
	return fmt.Sprintf(".op %#04x jt %d jf %d k %#x", in.Op, in.JT, in.JF, in.K)
}
