package main

import (
	"errors"
	"slices"

	"github.com/homerun-oci/homerun/seccomp/bpf"
)

// # Arguments that the kernel cuts to 32 bits
//
// A filter sees 64-bit registers, libseccomp compares all 64 bits, and the
// kernel's socket(int family, ...) looks at 32. On a 64-bit machine
// socket(1<<32 | AF_ALG) is therefore "> 40" to docker's rule that shuts
// AF_ALG with ranges, and AF_ALG to the kernel; it is "not NETLINK" to
// podman's. The same hole was CVE-2019-10063 in flatpak and CVE-2019-7303 in
// snapd (ioctl TIOCSTI).
//
// So calls with conditions on such an argument are compiled a second time,
// alone, and each load of an argument's upper half in that program becomes a
// load of 0. A part in front of the others sends there the calls whose upper
// half is not 0: they are judged by what the kernel will read. A sign-extended
// argument, which musl makes of ioctl's, is judged right, too.

// intArguments are calls that profiles put conditions on and which of their
// arguments the kernel declares int or unsigned int (Linux 6.18,
// include/linux/syscalls.h).
var intArguments = []struct {
	call      string
	arguments []uint
}{
	{"bpf", []uint{0, 2}},
	{"fcntl", []uint{0, 1}},
	{"getsockopt", []uint{0, 1, 2}},
	{"ioctl", []uint{0, 1}},
	{"keyctl", []uint{0}},
	{"personality", []uint{0}},
	{"prctl", []uint{0}},
	{"setns", []uint{0, 1}},
	{"setsockopt", []uint{0, 1, 2}},
	{"socket", []uint{0, 1, 2}},
	{"socketpair", []uint{0, 1, 2}},
}

const is64Bit = 0x80000000 // __AUDIT_ARCH_64BIT

// narrow is a call with conditions on int arguments.
type narrow struct {
	call      string
	arguments []uint            // those with conditions
	numbers   map[uint32]uint32 // its number by 64-bit architecture
	program   []bpf.Instruction // judges the call by the lower halves
}

// narrowCalls gives the calls of p that need a second program, without it.
func (p *profile) narrowCalls() []narrow {
	var list []narrow
	for _, c := range intArguments {
		n := narrow{call: c.call}
		for _, r := range p.only(c.call).rules {
			for _, a := range r.args {
				if slices.Contains(c.arguments, a.index) && !slices.Contains(n.arguments, a.index) {
					n.arguments = append(n.arguments, a.index)
				}
			}
		}
		if n.arguments != nil {
			list = append(list, n)
		}
	}
	return list
}

// only gives a profile with nothing but p's rules for a call.
func (p *profile) only(call string) *profile {
	q := *p
	q.rules = nil
	for _, r := range p.rules {
		if slices.Contains(r.names, call) {
			r.names = []string{call}
			q.rules = append(q.rules, r)
		}
	}
	return &q
}

// ignoreUpper makes program take the upper halves of n's arguments for 0.
func (n *narrow) ignoreUpper(program []bpf.Instruction) {
	for i, in := range program {
		for _, a := range n.arguments {
			if in.Op == bpf.LdW && in.K == upperHalf(a) {
				program[i] = bpf.Instruction{Op: bpf.LdImm}
			}
		}
	}
	n.program = program
}

func upperHalf(argument uint) uint32 { return bpf.OffsetArgs + 8*uint32(argument) + 4 }

// narrowPart gives the part in front: it tests the architecture, the number
// and the upper halves, and holds the programs. Calls that are none of its
// business fall off its end.
func narrowPart(arches []bpf.Arch, calls []narrow) ([]bpf.Instruction, error) {
	var d dispatch
	for _, a := range arches {
		var body []bpf.Instruction
		for i, c := range calls {
			if nr, ok := c.numbers[a.Audit]; ok {
				body = append(body, testUpper(nr, c.arguments, uint32(i))...)
			}
		}
		if len(body) > 250 {
			return nil, errors.New("BUG: jump over int arguments too long, please report")
		}
		if body != nil {
			d.tests = appendArch(d.tests, a.Audit, body)
		}
	}
	if d.tests == nil {
		return nil, nil
	}
	d.tests = append([]bpf.Instruction{{Op: bpf.LdW, K: bpf.OffsetArch}}, d.tests...)
	return d.link(calls), nil
}

// dispatch is a part whose Ja operands are not offsets yet but the index of
// the program to go to, or leave.
type dispatch struct{ tests []bpf.Instruction }

const leave = 0xffffffff

// testUpper goes to program when an upper half is not 0, and leaves when all
// are; another number goes on after it with the number still in A.
func testUpper(nr uint32, arguments []uint, program uint32) []bpf.Instruction {
	body := []bpf.Instruction{{Op: bpf.JeqK, K: nr, JF: uint8(3*len(arguments) + 1)}}
	for _, a := range arguments {
		body = append(body,
			bpf.Instruction{Op: bpf.LdW, K: upperHalf(a)},
			bpf.Instruction{Op: bpf.JeqK, K: 0, JT: 1},
			bpf.Instruction{Op: bpf.Ja, K: program})
	}
	return append(body, bpf.Instruction{Op: bpf.Ja, K: leave})
}

// link puts the programs after the tests and resolves the jumps. What falls
// off the tests jumps over the programs.
func (d *dispatch) link(calls []narrow) []bpf.Instruction {
	p := append(d.tests, bpf.Instruction{Op: bpf.Ja, K: leave})
	tests := len(p)
	starts := make([]int, len(calls))
	for i, c := range calls {
		starts[i] = len(p)
		p = append(p, c.program...)
	}
	for i := range p[:tests] {
		if p[i].Op != bpf.Ja {
			continue
		}
		to := len(p)
		if p[i].K != leave {
			to = starts[p[i].K]
		}
		p[i].K = uint32(to - i - 1)
	}
	return p
}
