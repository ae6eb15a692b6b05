package bpf

import (
	"fmt"
	"strings"
	"testing"
)

// socketOnly allows socket(AF_UNIX) on x86_64: the shape that libseccomp makes.
var socketOnly = []Instruction{
	{Op: LdW, K: OffsetArch},
	{Op: JeqK, K: AuditX86_64, JF: 6},
	{Op: LdW, K: OffsetNR},
	{Op: JeqK, K: 41, JF: 3},
	{Op: LdW, K: OffsetArgs},
	{Op: JeqK, K: 1, JF: 1},
	{Op: RetK, K: Allow},
	{Op: RetK, K: Errno | 38},
	{Op: RetK, K: KillProcess},
}

func TestInterpret(t *testing.T) {
	for _, c := range []struct {
		d    Data
		want uint32
	}{
		{Data{NR: 41, Arch: AuditX86_64, Args: [6]uint64{1}}, Allow},
		{Data{NR: 41, Arch: AuditX86_64, Args: [6]uint64{2}}, Errno | 38},
		{Data{NR: 40, Arch: AuditX86_64, Args: [6]uint64{1}}, Errno | 38},
		{Data{NR: 41, Arch: 0x40000003, Args: [6]uint64{1}}, KillProcess},
	} {
		if got := Interpret(socketOnly, c.d); got != c.want {
			t.Errorf("%+v: %s, want %s", c.d, ActionText(got), ActionText(c.want))
		}
	}
}

func TestArithmetic(t *testing.T) {
	for _, c := range []struct {
		op   uint16
		k    uint32
		want uint32
	}{
		{aluAdd, 3, 15}, {aluSub, 3, 9}, {aluMul, 3, 36}, {aluDiv, 3, 4}, {aluOr, 3, 15}, {aluAnd, 8, 8},
		{aluLsh, 2, 48}, {aluRsh, 2, 3}, {aluNeg, 0, ^uint32(11)}, {aluXor, 4, 8},
	} {
		byK := []Instruction{{Op: LdImm, K: 12}, {Op: Alu | c.op, K: c.k}, {Op: RetA}}
		byX := []Instruction{{Op: LdImm, K: c.k}, {Op: Tax}, {Op: LdImm, K: 12}, {Op: Alu | c.op | sourceX}, {Op: RetA}}
		if got := Interpret(byK, Data{}); got != c.want {
			t.Errorf("%s %d: %d, want %d", aluName(c.op), c.k, got, c.want)
		}
		if got := Interpret(byX, Data{}); c.op != aluNeg && got != c.want {
			t.Errorf("%s x: %d, want %d", aluName(c.op), got, c.want)
		}
	}
	zero := []Instruction{{Op: LdxImm}, {Op: LdImm, K: 5}, {Op: Alu | aluDiv | sourceX}, {Op: RetA}}
	if got := Interpret(zero, Data{}); got != KillThread {
		t.Errorf("division by zero: %#x", got)
	}
}

func TestRegistersAndMemory(t *testing.T) {
	p := []Instruction{
		{Op: LdxLen}, {Op: Stx, K: 3}, {Op: LdMem, K: 3}, {Op: St, K: 4}, {Op: LdxMem, K: 4},
		{Op: LdImm}, {Op: Txa}, {Op: JgeK, K: 65, JT: 1}, {Op: JsetK, K: 64, JT: 1}, {Op: RetK}, {Op: Ja, K: 1}, {Op: RetK}, {Op: RetA},
	}
	if err := Check(p); err != nil {
		t.Fatal(err)
	}
	if got := Interpret(p, Data{}); got != DataSize {
		t.Errorf("got %d", got)
	}
}

func TestCheck(t *testing.T) {
	ret := Instruction{Op: RetK, K: Allow}
	for _, c := range []struct {
		p    []Instruction
		want string
	}{
		{socketOnly, ""},
		{nil, "0 instructions"},
		{make([]Instruction, MaxInstructions+1), "4097 instructions"},
		{[]Instruction{{Op: LdW}}, "does not return"},
		{[]Instruction{{Op: LdW, K: 64}, ret}, "instruction 0 (op 0x0020, k 0x40): loads outside"},
		{[]Instruction{{Op: LdW, K: 2}, ret}, "unaligned"},
		{[]Instruction{{Op: 0x28}, ret}, "unknown operation"},
		{[]Instruction{{Op: Ja, K: 1}, ret}, "jumps past the end"},
		{[]Instruction{{Op: Ja, K: 0xffffffff}, ret}, "jumps past the end"},
		{[]Instruction{{Op: JeqK, JT: 1}, ret}, "jumps past the end"},
		{[]Instruction{{Op: JeqK, JF: 1}, ret}, "jumps past the end"},
		{[]Instruction{{Op: 0x55}, ret}, "unknown jump"},
		{[]Instruction{{Op: St, K: 16}, ret}, "memory cell"},
		{[]Instruction{{Op: Alu | aluDiv}, ret}, "divides by zero"},
		{[]Instruction{{Op: Alu | aluLsh, K: 32}, ret}, "shifts by 32"},
		{[]Instruction{{Op: Alu | aluMod, K: 2}, ret}, "unknown arithmetic"},
	} {
		err := Check(c.p)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

func TestParse(t *testing.T) {
	p, err := Parse(Bytes(socketOnly))
	if err != nil || fmt.Sprint(p) != fmt.Sprint(socketOnly) {
		t.Errorf("%v %v", p, err)
	}
	for _, n := range []int{0, 7, 9, 8 * (MaxInstructions + 1)} {
		if _, err := Parse(make([]byte, n)); err == nil {
			t.Errorf("%d bytes are a program", n)
		}
	}
}

func TestDisassemble(t *testing.T) {
	want := `   0  ld arch
   1  jeq 0xc000003e (x86_64) ? 2 : 8
   2  ld nr
   3  jeq 41 (socket) ? 4 : 7
   4  ld arg0.lo
   5  jeq 0x1 ? 6 : 7
   6  ret ALLOW
   7  ret ERRNO(38)
   8  ret KILL_PROCESS`
	if got := strings.Join(Disassemble(socketOnly), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSyscallName(t *testing.T) {
	for _, c := range []struct {
		audit, nr uint32
		want      string
	}{
		{AuditX86_64, 0, "read"}, {AuditX86_64, 272, "unshare"}, {AuditX86_64, 424, "pidfd_send_signal"}, {AuditX86_64, 9999, ""},
		{AuditX86_64, X32Bit | 1, "x32:write"}, {AuditX86_64, X32Bit | 512, "x32:rt_sigaction"}, {AuditX86_64, X32Bit | 547, "x32:pwritev2"},
		{0x40000003, 102, "socketcall"}, {0xc00000b7, 93, "exit"}, {0x40000028, 1, "exit"}, {0xc00000f3, 259, "riscv_flush_icache"}, {1, 1, ""},
	} {
		name, ok := SyscallName(c.audit, c.nr)
		if ok != (c.want != "") || ok && name != c.want {
			t.Errorf("%#x %d: %q, want %q", c.audit, c.nr, name, c.want)
		}
	}
}

// FuzzDisassemble: any bytes that are whole instructions print as as many
// lines, and neither the interpreter nor Check panics.
func FuzzDisassemble(f *testing.F) {
	f.Add(Bytes(socketOnly))
	f.Add([]byte{5, 0, 0, 0, 255, 255, 255, 255})
	f.Add([]byte{0x15, 0, 255, 255, 0, 0, 0, 0, 0x44, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		if lines := Disassemble(p); len(lines) != len(p) {
			t.Fatalf("%d lines for %d instructions", len(lines), len(p))
		}
		_ = Check(p)
		Interpret(p, Data{NR: 41, Arch: AuditX86_64})
		if string(Bytes(p)) != string(b) {
			t.Fatal("Bytes is not the inverse of Parse")
		}
	})
}

// FuzzCompact: the shorter program returns the same.
func FuzzCompact(f *testing.F) {
	f.Add(Bytes(socketOnly), uint32(41), uint32(AuditX86_64), uint64(1))
	f.Add([]byte{0x20, 0, 0, 0, 16, 0, 0, 0, 0x54, 0, 0, 0, 3, 0, 0, 0, 0x45, 0, 0, 1, 1, 0, 0, 0, 6, 0, 0, 0, 1, 0, 0, 0, 6, 0, 0, 0, 1, 0, 0, 0}, uint32(1), uint32(2), uint64(3))
	f.Fuzz(func(t *testing.T, b []byte, nr, arch uint32, arg uint64) {
		p, err := Parse(b)
		if err != nil || Check(p) != nil {
			return
		}
		q := Compact(p)
		for _, in := range p { // the operands are the interesting numbers
			for _, d := range []Data{{NR: nr, Arch: arch}, {NR: in.K, Arch: arch}, {NR: in.K + 1, Arch: arch}, {NR: nr, Arch: in.K}} {
				d.Args = [6]uint64{arg, arg >> 1, uint64(in.K), uint64(in.K) << 32, 0, ^arg}
				if a, z := Interpret(p, d), Interpret(q, d); a != z {
					t.Fatalf("%+v: %#x, compacted %#x", d, a, z)
				}
			}
		}
	})
}

// TestCompactManyConditions: many conditions on one call take no exponential
// time, and jumps beyond 255 instructions arrive.
func TestCompactManyConditions(t *testing.T) {
	const n = 600
	p := []Instruction{{Op: LdW, K: OffsetNR}, {Op: JeqK, K: 16, JT: 1}, {Op: RetK, K: Errno | 1}}
	for i := range uint32(n) {
		p = append(p, Instruction{Op: LdW, K: OffsetArgs + 12}, Instruction{Op: JeqK, K: i % 7, JF: 3},
			Instruction{Op: LdW, K: OffsetArgs + 8}, Instruction{Op: JeqK, K: i, JF: 1}, Instruction{Op: RetK, K: Allow})
	}
	for nr := range uint32(1000) {
		p = append(p, Instruction{Op: LdW, K: OffsetNR}, Instruction{Op: JeqK, K: 2 * nr, JF: 1}, Instruction{Op: RetK, K: Errno | 2})
	}
	p = append(p, Instruction{Op: RetK, K: Errno | 3})
	q := Compact(p)
	if len(p) <= MaxInstructions || len(q) > MaxInstructions || Check(q) != nil {
		t.Fatalf("%d instructions become %d: %v", len(p), len(q), Check(q))
	}
	for i := range uint64(n + 2) {
		for _, nr := range []uint32{15, 16, uint32(i)} {
			for hi := range uint64(8) {
				d := Data{NR: nr, Arch: AuditX86_64, Args: [6]uint64{0, hi<<32 | i}}
				if a, z := Interpret(p, d), Interpret(q, d); a != z {
					t.Fatalf("%+v: %s, compacted %s", d, ActionText(a), ActionText(z))
				}
			}
		}
	}
}
