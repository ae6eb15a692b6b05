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
		{[]Instruction{{Op: Alu | AluDiv}, ret}, "divides by zero"},
		{[]Instruction{{Op: Alu | AluLsh, K: 32}, ret}, "shifts by 32"},
		{[]Instruction{{Op: Alu | AluMod, K: 2}, ret}, "unknown arithmetic"},
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
// lines, and Check does not panic.
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
		if string(Bytes(p)) != string(b) {
			t.Fatal("Bytes is not the inverse of Parse")
		}
	})
}
