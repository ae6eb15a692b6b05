package main

import (
	"fmt"

	"github.com/homerun-oci/homerun/seccomp/bpf"
)

// # What the program is made of
//
// libseccomp compiles the rules, but two things it cannot say. They are put in
// front of its program, so that the whole is up to three parts, each of which
// either returns or falls into the next:
//
//  1. newer: a call with a number above the newest one that the profile
//     mentions gives ENOSYS when the default would give another errno. C
//     libraries try a new call first and fall back on ENOSYS only; a profile
//     older than the C library would break its programs with EPERM
//     (runc#2151, runtime-spec#1122).
//  2. guard: the rules whose action is the default action. libseccomp refuses
//     such a rule (EACCES), and other runtimes skip it. But its absence is not
//     its presence: from an ALLOW of socket with conditions libseccomp makes,
//     for 32-bit x86, an ALLOW of socketcall(SYS_SOCKET, ...) without them,
//     since it cannot see through the pointer, so that the explicit denial of
//     socketcall was what kept AF_ALG shut (containerd#13330,
//     CVE-2026-31431). And of an ALLOW without conditions and a denial with
//     some, libseccomp keeps the ALLOW. The guard is a libseccomp program of
//     only these rules, whose own default is a mark that is replaced by a jump
//     to part 3: what it denies stays denied.
//  3. main: libseccomp's program for all other rules.
//
// A default of ALLOW or LOG has no guard: rules equal to it would open what
// other rules of the profile shut, and are what happens without them anyway.

const (
	enosys = 38

	// privateNumbers is where ARM's private calls begin (cacheflush,
	// set_tls: linux, arch/arm/include/uapi/asm/unistd.h). They are older
	// than any profile and say nothing about how new it is.
	privateNumbers = 0x0f0000

	restart = 0xffffffff // number -1: a tracer skipped the call
)

// newest is the highest system call number that a profile mentions on an
// architecture.
type newest struct {
	arch bpf.Arch
	nr   uint32
}

// newerCalls gives part 1, which returns ENOSYS or falls off its end. It keeps
// away from number -1, from ARM's private calls, and, where the profile does
// not name x32, from x32 calls, all of which are part 3's to judge.
func newerCalls(list []newest) []bpf.Instruction {
	var out []bpf.Instruction
	for _, n := range list {
		if n.arch.Audit != bpf.AuditX86_64 {
			out = appendArch(out, n.arch.Audit, plainTest(n.nr))
		}
	}
	if x64, x32 := x86Pair(list); x64 != nil || x32 != nil {
		out = appendArch(out, bpf.AuditX86_64, x86Test(x64, x32))
	}
	if len(out) == 0 {
		return nil
	}
	return append([]bpf.Instruction{{Op: bpf.LdW, K: bpf.OffsetArch}}, out...)
}

func x86Pair(list []newest) (x64, x32 *uint32) {
	for i := range list {
		switch list[i].arch.Name {
		case "SCMP_ARCH_X86_64":
			x64 = &list[i].nr
		case "SCMP_ARCH_X32":
			x32 = &list[i].nr
		}
	}
	return x64, x32
}

// appendArch puts a test of the architecture in front of body, which ends with
// "the number is judged elsewhere", and leaves the architecture in A for the
// next one. The reload costs nothing: the next test is never an equal one.
func appendArch(out []bpf.Instruction, audit uint32, body []bpf.Instruction) []bpf.Instruction {
	out = append(out, bpf.Instruction{Op: bpf.JeqK, K: audit, JF: uint8(len(body) + 2)})
	out = append(out, bpf.Instruction{Op: bpf.LdW, K: bpf.OffsetNR})
	out = append(out, body...)
	return append(out, bpf.Instruction{Op: bpf.LdW, K: bpf.OffsetArch})
}

var retENOSYS = bpf.Instruction{Op: bpf.RetK, K: bpf.Errno | enosys}

// plainTest: nr < newest.. <= privateNumbers. Number -1 is above both.
func plainTest(nr uint32) []bpf.Instruction {
	return []bpf.Instruction{
		{Op: bpf.JgeK, K: privateNumbers, JT: 2},
		{Op: bpf.JgtK, K: nr, JF: 1},
		retENOSYS,
	}
}

// x86Test tells x86_64 from x32 by X32Bit, which number -1 has too.
func x86Test(x64, x32 *uint32) []bpf.Instruction {
	var low, high []bpf.Instruction
	if x64 != nil {
		low = []bpf.Instruction{{Op: bpf.JgtK, K: *x64, JF: 1}, retENOSYS}
	}
	if x32 != nil {
		high = []bpf.Instruction{
			{Op: bpf.JeqK, K: restart, JT: 2},
			{Op: bpf.JgtK, K: bpf.X32Bit | *x32, JF: 1},
			retENOSYS,
		}
	}
	out := []bpf.Instruction{{Op: bpf.JgeK, K: bpf.X32Bit, JT: uint8(len(low) + 1)}}
	out = append(out, low...)
	out = append(out, bpf.Instruction{Op: bpf.Ja, K: uint32(len(high))})
	return append(out, high...)
}

// join puts part 1 and the guard in front of main. Each "return mark" of the
// guard becomes a jump to main.
func join(newer, guard, main []bpf.Instruction, mark uint32) ([]bpf.Instruction, error) {
	p := append(append([]bpf.Instruction(nil), newer...), guard...)
	for i := len(newer); i < len(p); i++ {
		if p[i].Op == bpf.RetK && p[i].K == mark {
			p[i] = bpf.Instruction{Op: bpf.Ja, K: uint32(len(p) - i - 1)}
		}
	}
	p = append(p, main...)
	if len(p) > bpf.MaxInstructions {
		return nil, fmt.Errorf("linux.seccomp: compiles to %d instructions, and the kernel takes %d", len(p), bpf.MaxInstructions)
	}
	if err := bpf.Check(p); err != nil {
		return nil, fmt.Errorf("BUG: %w, please report", err)
	}
	return p, nil
}
