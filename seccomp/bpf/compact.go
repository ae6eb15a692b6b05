package bpf

import "slices"

// # Compacting
//
// The kernel's price for a filter is paid when it is loaded: it converts,
// compiles and probes every instruction, 0.2 µs each, so that the 1,400 that
// libseccomp makes of podman's profile for three architectures cost as much as
// everything else that seccomp costs. Nearly all of them look up the number,
// one test per call, though most neighbours have the same fate.
//
// Compact runs the program for every architecture and number that it can tell
// apart, leaving only what depends on arguments: a decision graph whose equal
// parts are one. Numbers next to each other with the same graph make a range,
// and the ranges of an architecture one balanced tree. It is exact: between two
// neighbouring numbers that the program compares with, nothing can change.

// decision is a node of the graph: a return value, or a test of a word of
// seccomp_data. Equal nodes are the same node, so they compare by pointer.
type decision struct {
	test    bool
	op      uint16 // JeqK, JgtK, JgeK or JsetK
	word    value
	k       uint32 // operand, or what is returned
	yes, no *decision
	loaded  bool // the word is in A already
}

// value is what A holds: a known number, or a word of seccomp_data masked.
type value struct {
	known  bool
	number uint32 // if known
	offset uint32 // where it is from; immediate when from nowhere
	mask   uint32 // if not known
}

const immediate = DataSize

// Compact gives a program that returns what p does for every call, and is p
// itself where p is not well formed, uses operations that Compact does not
// follow, or would not become shorter. p may be longer than MaxInstructions.
func Compact(p []Instruction) []Instruction {
	s := &specializer{program: p, nodes: map[decision]*decision{}, done: map[point]*decision{}}
	if checkEach(p) != nil || !s.understood() {
		return p
	}
	root := s.root()
	if s.gaveUp {
		return p
	}
	var e emitter
	e.emit(root)
	slices.Reverse(e.reversed)
	if len(e.reversed) >= len(p) || Check(e.reversed) != nil {
		return p
	}
	return e.reversed
}

type specializer struct {
	program []Instruction
	nodes   map[decision]*decision
	arches  []uint32 // that the program compares with
	arch    uint32   // of the present run
	nr      uint32
	done    map[point]*decision // of the present run
	steps   int
	gaveUp  bool
}

// point is a test that is met again by other ways: without remembering them, a
// list of conditions would take twice the time for each that is added.
type point struct {
	pc int
	a  value
}

// maxSteps bounds the work, in instructions followed.
const maxSteps = 20_000_000

func (s *specializer) understood() bool {
	for _, in := range s.program {
		switch in.Op {
		case LdW, LdImm, Ja, JeqK, JgtK, JgeK, JsetK, RetK, Alu | AluAnd:
		default:
			return false
		}
	}
	return true
}

// node gives the one node that equals d.
func (s *specializer) node(d decision) *decision {
	if d.test && d.yes == d.no {
		return d.yes
	}
	if n, ok := s.nodes[d]; ok {
		return n
	}
	s.nodes[d] = &d
	return &d
}

// root tests the architecture, in the order of the program.
func (s *specializer) root() *decision {
	numbers := s.constants()
	other := uint32(1)
	for slices.Contains(s.arches, other) {
		other++
	}
	next := s.onArch(other, numbers)
	for _, arch := range slices.Backward(s.arches) {
		next = s.node(decision{test: true, op: JeqK, word: value{offset: OffsetArch, mask: ^uint32(0)}, k: arch, yes: s.onArch(arch, numbers), no: next})
	}
	return next
}

// constants finds the architectures that the program compares with, and gives
// the numbers at which something may change. It takes every operand for a
// number: too many is no harm. An architecture that it missed makes run give
// up.
func (s *specializer) constants() []uint32 {
	flow := trace(s.program)
	numbers := []uint32{0}
	for i, in := range s.program {
		if in.Op != JeqK && in.Op != JgtK && in.Op != JgeK {
			continue
		}
		if flow[i].loaded == OffsetArch && !slices.Contains(s.arches, in.K) {
			s.arches = append(s.arches, in.K)
		}
		numbers = append(numbers, in.K)
		if in.K != ^uint32(0) {
			numbers = append(numbers, in.K+1)
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

// span is the numbers from start to the next span's start.
type span struct {
	start uint32
	node  *decision
}

func (s *specializer) onArch(arch uint32, numbers []uint32) *decision {
	var spans []span
	for _, nr := range numbers {
		s.arch, s.nr = arch, nr
		clear(s.done)
		n := s.run(0, value{known: true, offset: immediate})
		if len(spans) == 0 || spans[len(spans)-1].node != n {
			spans = append(spans, span{nr, n})
		}
	}
	return s.tree(spans, false)
}

func (s *specializer) tree(spans []span, loaded bool) *decision {
	if len(spans) == 1 {
		return spans[0].node
	}
	middle := len(spans) / 2
	return s.node(decision{
		test: true, op: JgeK, word: value{offset: OffsetNR, mask: ^uint32(0)}, k: spans[middle].start, loaded: loaded,
		yes: s.tree(spans[middle:], true), no: s.tree(spans[:middle], true),
	})
}

// run follows the program from pc with a in A, for one architecture and
// number, and gives the graph of what is left to decide.
func (s *specializer) run(pc int, a value) *decision {
	for {
		if s.steps++; s.steps > maxSteps || s.gaveUp {
			s.gaveUp = true
			return &decision{}
		}
		in := s.program[pc]
		pc++
		switch in.Op {
		case RetK:
			return s.node(decision{k: in.K})
		case Ja:
			pc += int(in.K)
		case LdImm:
			a = value{known: true, number: in.K, offset: immediate}
		case LdW:
			a = s.load(in.K)
		case Alu | AluAnd:
			s.gaveUp = s.gaveUp || a.known && a.offset != immediate
			a.number, a.mask = a.number&in.K, a.mask&in.K
		default:
			if !a.known {
				return s.branch(pc, in, a)
			}
			s.gaveUp = s.gaveUp || !s.exact(in, a)
			pc += in.Skips(a.number, 0)
		}
	}
}

// branch follows both ways of a test that depends on an argument.
func (s *specializer) branch(pc int, in Instruction, a value) *decision {
	at := point{pc, a}
	if n, ok := s.done[at]; ok {
		return n
	}
	yes, no := s.run(pc+int(in.JT), a), s.run(pc+int(in.JF), a)
	n := s.node(decision{test: true, op: in.Op, word: a, k: in.K, yes: yes, no: no})
	s.done[at] = n
	return n
}

// exact reports whether the numbers and architectures that are tried show all
// that a test of a known word can do.
func (s *specializer) exact(in Instruction, a value) bool {
	switch a.offset {
	case OffsetArch:
		return in.Op == JeqK && slices.Contains(s.arches, in.K)
	case OffsetNR:
		return in.Op != JsetK
	}
	return true
}

func (s *specializer) load(offset uint32) value {
	switch offset {
	case OffsetNR:
		return value{known: true, number: s.nr, offset: OffsetNR}
	case OffsetArch:
		return value{known: true, number: s.arch, offset: OffsetArch}
	}
	return value{offset: offset, mask: ^uint32(0)}
}

// emitter writes a graph from its end, so that the targets of a jump are
// always there already.
type emitter struct {
	reversed []Instruction
	at       map[*decision]int // index in reversed of a node's first instruction
}

// emit writes n unless it is there.
func (e *emitter) emit(n *decision) {
	if e.at == nil {
		e.at = map[*decision]int{}
	}
	if _, ok := e.at[n]; ok {
		return
	}
	if !n.test {
		e.put(n, Instruction{Op: RetK, K: n.k})
		return
	}
	e.emit(n.no)
	e.emit(n.yes)
	e.near(n.yes)
	e.near(n.no)
	e.put(n, Instruction{Op: n.op, K: n.k, JT: uint8(e.skip(n.yes)), JF: uint8(e.skip(n.no))})
	if n.loaded {
		return
	}
	if n.word.mask != ^uint32(0) {
		e.put(n, Instruction{Op: Alu | AluAnd, K: n.word.mask})
	}
	e.put(n, Instruction{Op: LdW, K: n.word.offset})
}

func (e *emitter) put(n *decision, in Instruction) {
	e.at[n] = len(e.reversed)
	e.reversed = append(e.reversed, in)
}

// skip is how many instructions a jump that is written now has to skip.
func (e *emitter) skip(n *decision) int { return len(e.reversed) - 1 - e.at[n] }

// near brings n within the reach of a conditional jump, which is 255
// instructions, with a jump to it; a return is repeated instead.
func (e *emitter) near(n *decision) {
	const reach = 250
	switch {
	case e.skip(n) <= reach:
	case !n.test:
		e.put(n, Instruction{Op: RetK, K: n.k})
	default:
		e.put(n, Instruction{Op: Ja, K: uint32(e.skip(n))})
	}
}
