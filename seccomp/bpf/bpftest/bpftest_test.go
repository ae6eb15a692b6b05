package bpftest

import (
	"testing"

	"github.com/homerun-oci/homerun/seccomp/bpf"
)

// socketOnly allows socket(AF_UNIX) on x86_64: the shape that libseccomp makes.
var socketOnly = []bpf.Instruction{
	{Op: bpf.LdW, K: bpf.OffsetArch},
	{Op: bpf.JeqK, K: bpf.AuditX86_64, JF: 6},
	{Op: bpf.LdW, K: bpf.OffsetNR},
	{Op: bpf.JeqK, K: 41, JF: 3},
	{Op: bpf.LdW, K: bpf.OffsetArgs},
	{Op: bpf.JeqK, K: 1, JF: 1},
	{Op: bpf.RetK, K: bpf.Allow},
	{Op: bpf.RetK, K: bpf.Errno | 38},
	{Op: bpf.RetK, K: bpf.KillProcess},
}

func TestInterpret(t *testing.T) {
	for _, c := range []struct {
		d    Data
		want uint32
	}{
		{Data{NR: 41, Arch: bpf.AuditX86_64, Args: [6]uint64{1}}, bpf.Allow},
		{Data{NR: 41, Arch: bpf.AuditX86_64, Args: [6]uint64{2}}, bpf.Errno | 38},
		{Data{NR: 40, Arch: bpf.AuditX86_64, Args: [6]uint64{1}}, bpf.Errno | 38},
		{Data{NR: 41, Arch: 0x40000003, Args: [6]uint64{1}}, bpf.KillProcess},
	} {
		if got := Interpret(socketOnly, c.d); got != c.want {
			t.Errorf("%+v: %s, want %s", c.d, bpf.ActionText(got), bpf.ActionText(c.want))
		}
	}
}

func TestArithmetic(t *testing.T) {
	for _, c := range []struct {
		op   uint16
		k    uint32
		want uint32
	}{
		{bpf.AluAdd, 3, 15}, {bpf.AluSub, 3, 9}, {bpf.AluMul, 3, 36}, {bpf.AluDiv, 3, 4}, {bpf.AluOr, 3, 15}, {bpf.AluAnd, 8, 8},
		{bpf.AluLsh, 2, 48}, {bpf.AluRsh, 2, 3}, {bpf.AluNeg, 0, ^uint32(11)}, {bpf.AluXor, 4, 8},
	} {
		byK := []bpf.Instruction{{Op: bpf.LdImm, K: 12}, {Op: bpf.Alu | c.op, K: c.k}, {Op: bpf.RetA}}
		byX := []bpf.Instruction{{Op: bpf.LdImm, K: c.k}, {Op: bpf.Tax}, {Op: bpf.LdImm, K: 12}, {Op: bpf.Alu | c.op | bpf.SourceX}, {Op: bpf.RetA}}
		if got := Interpret(byK, Data{}); got != c.want {
			t.Errorf("%#x %d: %d, want %d", c.op, c.k, got, c.want)
		}
		if got := Interpret(byX, Data{}); c.op != bpf.AluNeg && got != c.want {
			t.Errorf("%#x x: %d, want %d", c.op, got, c.want)
		}
	}
	zero := []bpf.Instruction{{Op: bpf.LdxImm}, {Op: bpf.LdImm, K: 5}, {Op: bpf.Alu | bpf.AluDiv | bpf.SourceX}, {Op: bpf.RetA}}
	if got := Interpret(zero, Data{}); got != bpf.KillThread {
		t.Errorf("division by zero: %#x", got)
	}
}

func TestRegistersAndMemory(t *testing.T) {
	p := []bpf.Instruction{
		{Op: bpf.LdxLen}, {Op: bpf.Stx, K: 3}, {Op: bpf.LdMem, K: 3}, {Op: bpf.St, K: 4}, {Op: bpf.LdxMem, K: 4},
		{Op: bpf.LdImm}, {Op: bpf.Txa}, {Op: bpf.JgeK, K: 65, JT: 1}, {Op: bpf.JsetK, K: 64, JT: 1}, {Op: bpf.RetK}, {Op: bpf.Ja, K: 1}, {Op: bpf.RetK}, {Op: bpf.RetA},
	}
	if err := bpf.Check(p); err != nil {
		t.Fatal(err)
	}
	if got := Interpret(p, Data{}); got != bpf.DataSize {
		t.Errorf("got %d", got)
	}
}

// FuzzCompact: the shorter program returns the same.
func FuzzCompact(f *testing.F) {
	f.Add(bpf.Bytes(socketOnly), uint32(41), uint32(bpf.AuditX86_64), uint64(1))
	f.Add([]byte{0x20, 0, 0, 0, 16, 0, 0, 0, 0x54, 0, 0, 0, 3, 0, 0, 0, 0x45, 0, 0, 1, 1, 0, 0, 0, 6, 0, 0, 0, 1, 0, 0, 0, 6, 0, 0, 0, 1, 0, 0, 0}, uint32(1), uint32(2), uint64(3))
	f.Fuzz(func(t *testing.T, b []byte, nr, arch uint32, arg uint64) {
		p, err := bpf.Parse(b)
		if err != nil || bpf.Check(p) != nil {
			return
		}
		q := bpf.Compact(p)
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
	p := []bpf.Instruction{{Op: bpf.LdW, K: bpf.OffsetNR}, {Op: bpf.JeqK, K: 16, JT: 1}, {Op: bpf.RetK, K: bpf.Errno | 1}}
	for i := range uint32(n) {
		p = append(p, bpf.Instruction{Op: bpf.LdW, K: bpf.OffsetArgs + 12}, bpf.Instruction{Op: bpf.JeqK, K: i % 7, JF: 3},
			bpf.Instruction{Op: bpf.LdW, K: bpf.OffsetArgs + 8}, bpf.Instruction{Op: bpf.JeqK, K: i, JF: 1}, bpf.Instruction{Op: bpf.RetK, K: bpf.Allow})
	}
	for nr := range uint32(1000) {
		p = append(p, bpf.Instruction{Op: bpf.LdW, K: bpf.OffsetNR}, bpf.Instruction{Op: bpf.JeqK, K: 2 * nr, JF: 1}, bpf.Instruction{Op: bpf.RetK, K: bpf.Errno | 2})
	}
	p = append(p, bpf.Instruction{Op: bpf.RetK, K: bpf.Errno | 3})
	q := bpf.Compact(p)
	if len(p) <= bpf.MaxInstructions || len(q) > bpf.MaxInstructions || bpf.Check(q) != nil {
		t.Fatalf("%d instructions become %d: %v", len(p), len(q), bpf.Check(q))
	}
	for i := range uint64(n + 2) {
		for _, nr := range []uint32{15, 16, uint32(i)} {
			for hi := range uint64(8) {
				d := Data{NR: nr, Arch: bpf.AuditX86_64, Args: [6]uint64{0, hi<<32 | i}}
				if a, z := Interpret(p, d), Interpret(q, d); a != z {
					t.Fatalf("%+v: %s, compacted %s", d, bpf.ActionText(a), bpf.ActionText(z))
				}
			}
		}
	}
}
