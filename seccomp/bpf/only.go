package bpf

// Only is a filter that allows these system calls of one architecture, by number, and
// kills the process at any other. There may be 250 of them.
func Only(audit uint32, calls ...int) []Instruction {
	n := len(calls)
	p := []Instruction{{Op: LdW, K: OffsetArch}, {Op: JeqK, K: audit, JF: uint8(n + 1)}, {Op: LdW, K: OffsetNR}}
	for i, nr := range calls {
		p = append(p, Instruction{Op: JeqK, K: uint32(nr), JT: uint8(n - i)})
	}
	return append(p, Instruction{Op: RetK, K: KillProcess}, Instruction{Op: RetK, K: Allow})
}
