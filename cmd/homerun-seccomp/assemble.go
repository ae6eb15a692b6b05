package main

import (
	"fmt"

	"github.com/homerun-oci/homerun/seccomp/bpf"
)

// # What the program is made of
//
// libseccomp compiles the rules, but three things it cannot say. They are put
// in front of its program, so that the whole is up to four parts, each of which
// either returns or falls into the next:
//
//  1. newer: a call with a number above the newest one that the profile
//     mentions gives ENOSYS when the default would give another errno. C
//     libraries try a new call first and fall back on ENOSYS only; a profile
//     older than the C library would break its programs with EPERM
//     (runc#2151, runtime-spec#1122).
//  2. narrow: calls whose int arguments have bits in the upper half; narrow.go
//     tells.
//  3. guard: the rules whose action is the default action. libseccomp refuses
//     such a rule (EACCES), and other runtimes skip it. But its absence is not
//     its presence: from an ALLOW of socket with conditions libseccomp makes,
//     for 32-bit x86, an ALLOW of socketcall(SYS_SOCKET, ...) without them,
//     since it cannot see through the pointer, so that the explicit denial of
//     socketcall was what kept AF_ALG shut (containerd#13330,
//     CVE-2026-31431). And of an ALLOW without conditions and a denial with
//     some, libseccomp keeps the ALLOW. The guard is a libseccomp program of
//     only these rules, whose own default is a mark that is replaced by a jump
//     to part 4: what it denies stays denied.
//  4. main: libseccomp's program for all other rules.
//
// The whole is then compacted (bpf.Compact) to about a fifth, which is what the
// kernel's time to load it depends on.
//
// A default of ALLOW or LOG has no guard: rules equal to it would open what
// other rules of the profile shut, and are what happens without them anyway.

const (
	enosys = 38

	// privateNumbers is where ARM's private calls begin (cacheflush,
	// set_tls: linux, arch/arm/include/uapi/asm/unistd.h). They are older
	// than any profile and say nothing about how new it is.
	privateNumbers = 0x0f0000

	// x32Numbers is where the calls begin that x32 has its own structures
	// for, 512 to 547; x32 numbers new calls below them, like x86_64.
	x32Numbers = 512
)

// newest is the highest system call number that a profile mentions on an
// architecture, X32Bit, private and x32's own numbers left out.
type newest struct {
	arch bpf.Arch
	nr   uint32
}

// newerCalls gives part 1, which returns ENOSYS or falls off its end. It keeps
// away from number -1, from ARM's private calls, and, where the profile does
// not name x32, from x32 calls, all of which are main's to judge. x86_64
// comes first, as libseccomp puts it, being what nearly all calls are.
func newerCalls(list []newest) []bpf.Instruction {
	var out []bpf.Instruction
	if body := x86Tests(list); body != nil {
		out = appendArch(out, bpf.AuditX86_64, body)
	}
	for _, n := range list {
		if n.arch.Audit != bpf.AuditX86_64 {
			out = appendArch(out, n.arch.Audit, above(n.nr, privateNumbers))
		}
	}
	if len(out) == 0 {
		return nil
	}
	return append([]bpf.Instruction{{Op: bpf.LdW, K: bpf.OffsetArch}}, out...)
}

// appendArch puts a test of the architecture in front of body. Where body
// falls through, the architecture is loaded again for the next test.
func appendArch(out []bpf.Instruction, audit uint32, body []bpf.Instruction) []bpf.Instruction {
	out = append(out, bpf.Instruction{Op: bpf.JeqK, K: audit, JF: uint8(len(body) + 2)})
	out = append(out, bpf.Instruction{Op: bpf.LdW, K: bpf.OffsetNR})
	out = append(out, body...)
	return append(out, bpf.Instruction{Op: bpf.LdW, K: bpf.OffsetArch})
}

// above returns ENOSYS for numbers above nr and below limit. Number -1 is
// above every limit.
func above(nr, limit uint32) []bpf.Instruction {
	return []bpf.Instruction{
		{Op: bpf.JgeK, K: limit, JT: 2},
		{Op: bpf.JgtK, K: nr, JF: 1},
		{Op: bpf.RetK, K: bpf.Errno | enosys},
	}
}

// x86Tests judges x86_64 and x32, which share an architecture and differ by
// X32Bit in the number. One test after the other: what the first lets pass
// for its limit, the second takes.
func x86Tests(list []newest) []bpf.Instruction {
	var x64, x32 []bpf.Instruction
	for _, n := range list {
		switch n.arch.Name {
		case "SCMP_ARCH_X86_64":
			x64 = above(n.nr, bpf.X32Bit)
		case "SCMP_ARCH_X32":
			x32 = []bpf.Instruction{{Op: bpf.JgeK, K: bpf.X32Bit, JF: 3}}
			x32 = append(x32, above(bpf.X32Bit|n.nr, bpf.X32Bit|x32Numbers)...)
		}
	}
	return append(x64, x32...)
}

// guarded puts the guard in front of main. Each "return mark" of the guard
// becomes a jump to main.
func guarded(guard, main []bpf.Instruction, mark uint32) []bpf.Instruction {
	p := append([]bpf.Instruction(nil), guard...)
	for i := range p {
		if p[i].Op == bpf.RetK && p[i].K == mark {
			p[i] = bpf.Instruction{Op: bpf.Ja, K: uint32(len(p) - i - 1)}
		}
	}
	return append(p, main...)
}

// join makes the program of its parts, compacts it and checks it.
func join(parts ...[]bpf.Instruction) ([]bpf.Instruction, error) {
	var p []bpf.Instruction
	for _, part := range parts {
		p = append(p, part...)
	}
	p = bpf.Compact(p)
	if len(p) > bpf.MaxInstructions {
		return nil, fmt.Errorf("linux.seccomp: compiles to %d instructions, and the kernel takes %d", len(p), bpf.MaxInstructions)
	}
	if err := bpf.Check(p); err != nil {
		return nil, fmt.Errorf("BUG: %w, please report", err)
	}
	return p, nil
}
