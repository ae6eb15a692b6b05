package cgroupv2

import "encoding/binary"

// This file is a very small assembler for BPF_PROG_TYPE_CGROUP_DEVICE (Linux
// 4.15; Documentation/bpf/standardization/instruction-set.rst).
//
// The kernel runs the program at every open and mknod of a device node by a
// process of the cgroup, with struct bpf_cgroup_dev_ctx: access << 16 | type,
// major, minor. The result 1 allows. The programs of all ancestors must allow
// too, so a program can only take away.
//
// Rules are tested from the last to the first, and r3 holds the accesses that
// nothing has decided yet. A denying rule that meets one of them ends with 0;
// an allowing one takes its accesses out of r3 and ends with 1 when none is
// left. So "c 1:3 r" and "c 1:3 w" together allow an open for reading and
// writing, and a rule that denies w does not deny a plain read.

// Instruction is one instruction of the BPF machine (struct bpf_insn).
type Instruction struct {
	Op       uint8
	Dst, Src uint8
	Offset   int16
	Imm      int32
}

// Operation codes, as class | mode or operation | source.
const (
	loadWord  = 0x61 // BPF_LDX|BPF_MEM|BPF_W
	moveReg   = 0xbf // BPF_ALU64|BPF_MOV|BPF_X
	moveImm   = 0xb7 // BPF_ALU64|BPF_MOV|BPF_K
	andImm    = 0x57 // BPF_ALU64|BPF_AND|BPF_K
	shiftImm  = 0x77 // BPF_ALU64|BPF_RSH|BPF_K
	jumpEqual = 0x15 // BPF_JMP|BPF_JEQ|BPF_K
	jumpOther = 0x55 // BPF_JMP|BPF_JNE|BPF_K
	exit      = 0x95 // BPF_JMP|BPF_EXIT
)

// Registers: 1 is the context at entry, 0 the result.
const (
	regResult = iota
	regContext
	regType
	regAccess
	regMajor
	regMinor
)

// DeviceProgram compiles device rules, as DeviceRules gives them.
func DeviceProgram(rules []DeviceRule) []Instruction {
	rules, otherwise := effective(rules)
	code := []Instruction{
		{Op: loadWord, Dst: regType, Src: regContext, Offset: 0},
		{Op: moveReg, Dst: regAccess, Src: regType},
		{Op: andImm, Dst: regType, Imm: 0xffff},
		{Op: shiftImm, Dst: regAccess, Imm: 16},
		{Op: loadWord, Dst: regMajor, Src: regContext, Offset: 4},
		{Op: loadWord, Dst: regMinor, Src: regContext, Offset: 8},
	}
	for i := len(rules) - 1; i >= 0; i-- {
		code = append(code, rules[i].code()...)
	}
	return append(code, result(otherwise)...)
}

// code is the test of one rule; it falls through when it decides nothing.
func (r DeviceRule) code() []Instruction {
	var tests []Instruction
	test := func(reg uint8, want int64) {
		tests = append(tests, Instruction{Op: jumpOther, Dst: reg, Imm: int32(want)})
	}
	switch r.Type {
	case 'b':
		test(regType, typeBlock)
	case 'c':
		test(regType, typeChar)
	}
	if r.Major != wildcard {
		test(regMajor, r.Major)
	}
	if r.Minor != wildcard {
		test(regMinor, r.Minor)
	}
	body := r.verdict()
	for i := range tests {
		tests[i].Offset = int16(len(tests) - i - 1 + len(body))
	}
	return append(tests, body...)
}

func (r DeviceRule) verdict() []Instruction {
	if r.Allow {
		return append([]Instruction{
			{Op: andImm, Dst: regAccess, Imm: int32(accessAll &^ r.Access)},
			{Op: jumpOther, Dst: regAccess, Imm: 0, Offset: 2},
		}, result(true)...)
	}
	return append([]Instruction{
		{Op: moveReg, Dst: regResult, Src: regAccess},
		{Op: andImm, Dst: regResult, Imm: int32(r.Access)},
		{Op: jumpEqual, Dst: regResult, Imm: 0, Offset: 2},
	}, result(false)...)
}

func result(allow bool) []Instruction {
	verdict := int32(0)
	if allow {
		verdict = 1
	}
	return []Instruction{{Op: moveImm, Dst: regResult, Imm: verdict}, {Op: exit}}
}

// Encode lays instructions out as the kernel reads them, in the machine's byte
// order; which half of the second byte is the destination depends on it.
func Encode(code []Instruction) []byte {
	var b []byte
	for _, i := range code {
		registers := i.Src<<4 | i.Dst
		if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
			registers = i.Dst<<4 | i.Src
		}
		b = append(b, i.Op, registers)
		b = binary.NativeEndian.AppendUint16(b, uint16(i.Offset))
		b = binary.NativeEndian.AppendUint32(b, uint32(i.Imm))
	}
	return b
}
