// Package bpf reads, checks, shortens and prints seccomp's classic BPF.
//
// A seccomp filter is a program of struct sock_filter (linux/filter.h) that
// the kernel runs over a struct seccomp_data (linux/seccomp.h) at each system
// call. The package holds a model of that machine: Parse turns bytes into
// instructions, Check refuses what the kernel refuses, and Disassemble prints a
// program. Package bpftest evaluates one. It is pure: it makes no system call.
// All functions may be called concurrently.
package bpf

import (
	"encoding/binary"
	"fmt"
)

// InstructionSize is the size of a struct sock_filter in bytes.
const InstructionSize = 8

// MaxInstructions is the kernel's BPF_MAXINSNS (linux/bpf_common.h).
const MaxInstructions = 4096

// Instruction is a struct sock_filter: an operation, the two relative jump
// targets and the operand.
type Instruction struct {
	Op uint16
	JT uint8
	JF uint8
	K  uint32
}

// Operations that occur in seccomp programs (linux/bpf_common.h). The names
// are the kernel's classes, sizes and modes joined.
const (
	LdW    = 0x20 // A = data[K]
	LdLen  = 0x80 // A = size of seccomp_data
	LdImm  = 0x00 // A = K
	LdMem  = 0x60 // A = M[K]
	LdxImm = 0x01 // X = K
	LdxMem = 0x61 // X = M[K]
	LdxLen = 0x81 // X = size of seccomp_data
	St     = 0x02 // M[K] = A
	Stx    = 0x03 // M[K] = X
	Alu    = 0x04 // A = A op K; the operation is in bits 4-7
	Ja     = 0x05 // skip K instructions
	JeqK   = 0x15 // A == K
	JgtK   = 0x25 // A > K
	JgeK   = 0x35 // A >= K
	JsetK  = 0x45 // A & K
	RetK   = 0x06 // return K
	RetA   = 0x16 // return A
	Tax    = 0x07 // X = A
	Txa    = 0x87 // A = X

	// ClassMask has the bits of an instruction's class, SourceX that its operand is X.
	ClassMask = 0x07
	ClassAlu  = 0x04
	ClassJmp  = 0x05
	SourceX   = 0x08
)

// Offsets into struct seccomp_data, and its size, in bytes.
const (
	OffsetNR   = 0
	OffsetArch = 4
	OffsetIP   = 8
	OffsetArgs = 16
	DataSize   = 64
)

// Actions in the upper half of a filter's return value (seccomp(2)).
const (
	KillProcess = 0x80000000
	KillThread  = 0x00000000
	Trap        = 0x00030000
	Errno       = 0x00050000
	Notify      = 0x7fc00000
	Trace       = 0x7ff00000
	Log         = 0x7ffc0000
	Allow       = 0x7fff0000

	// ActionMask is SECCOMP_RET_ACTION_FULL; the rest is data.
	ActionMask = 0xffff0000
)

// X32Bit is __X32_SYSCALL_BIT: it marks a system call number of the x32 ABI
// (linux: arch/x86/include/uapi/asm/unistd.h).
const X32Bit = 0x40000000

// Parse reads an array of struct sock_filter in little-endian order, which is
// the order of every machine that homerun runs on. The error says when the
// length is not that of 1 to MaxInstructions whole instructions.
func Parse(b []byte) ([]Instruction, error) {
	n := len(b) / InstructionSize
	if len(b)%InstructionSize != 0 || n == 0 || n > MaxInstructions {
		return nil, fmt.Errorf("bpf: program of %d bytes: want 1 to %d instructions of %d bytes", len(b), MaxInstructions, InstructionSize)
	}
	p := make([]Instruction, n)
	for i := range p {
		p[i] = decode(b[i*InstructionSize:])
	}
	return p, nil
}

func decode(b []byte) Instruction {
	return Instruction{
		Op: binary.LittleEndian.Uint16(b),
		JT: b[2],
		JF: b[3],
		K:  binary.LittleEndian.Uint32(b[4:]),
	}
}

// Bytes is the inverse of Parse.
func Bytes(p []Instruction) []byte {
	b := make([]byte, 0, len(p)*InstructionSize)
	for _, in := range p {
		b = binary.LittleEndian.AppendUint16(b, in.Op)
		b = append(b, in.JT, in.JF)
		b = binary.LittleEndian.AppendUint32(b, in.K)
	}
	return b
}
