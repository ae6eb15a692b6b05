package process

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxNodes is the kernel's largest MAX_NUMNODES, 1 << CONFIG_NODES_SHIFT.
const maxNodes = 1024

// MemoryPolicy writes where the process's memory comes from: config-linux.md,
// "Memory policy", set_mempolicy(2). Children and execve inherit it.
func MemoryPolicy(b *plan.Builder, p *specs.LinuxMemoryPolicy) error {
	if p == nil {
		return nil
	}
	mode, ok := memoryMode(p.Mode)
	if !ok {
		return memoryError("mode", fmt.Sprintf("unknown mode %q", p.Mode))
	}
	for i, f := range p.Flags {
		bit, ok := memoryFlag(f)
		if !ok {
			return memoryError("flags["+strconv.Itoa(i)+"]", fmt.Sprintf("unknown flag %q", f))
		}
		mode |= bit
	}
	nodes, ok := memoryNodes(p.Nodes)
	if !ok {
		return memoryError("nodes", fmt.Sprintf("%q is not a list of nodes such as 0-1,3", p.Nodes))
	}
	b.At("linux.memoryPolicy", "set the memory policy")
	b.Do(plan.SetMempolicy{Mode: mode, Nodes: nodes})
	return nil
}

func memoryError(field, why string) error {
	return &fault.Error{Place: "linux.memoryPolicy." + field, What: "set the memory policy", Why: why}
}

func memoryMode(m specs.MemoryPolicyModeType) (int, bool) {
	switch m {
	case specs.MpolDefault:
		return unix.MPOL_DEFAULT, true
	case specs.MpolBind:
		return unix.MPOL_BIND, true
	case specs.MpolInterleave:
		return unix.MPOL_INTERLEAVE, true
	case specs.MpolWeightedInterleave:
		return unix.MPOL_WEIGHTED_INTERLEAVE, true
	case specs.MpolPreferred:
		return unix.MPOL_PREFERRED, true
	case specs.MpolPreferredMany:
		return unix.MPOL_PREFERRED_MANY, true
	case specs.MpolLocal:
		return unix.MPOL_LOCAL, true
	}
	return 0, false
}

func memoryFlag(f specs.MemoryPolicyFlagType) (int, bool) {
	switch f {
	case specs.MpolFNumaBalancing:
		return unix.MPOL_F_NUMA_BALANCING, true
	case specs.MpolFRelativeNodes:
		return unix.MPOL_F_RELATIVE_NODES, true
	case specs.MpolFStaticNodes:
		return unix.MPOL_F_STATIC_NODES, true
	}
	return 0, false
}

// memoryNodes reads a list of ranges (0-1,3) as a set; an empty one is none.
func memoryNodes(list string) ([]uint64, bool) {
	var set []uint64
	if strings.TrimSpace(list) == "" {
		return nil, true
	}
	for _, part := range strings.Split(list, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.ParseUint(from, 10, 32)
		last, err2 := strconv.ParseUint(to, 10, 32)
		if err1 != nil || err2 != nil || first > last || last >= maxNodes {
			return nil, false
		}
		for n := first; n <= last; n++ {
			for uint64(len(set)) <= n/64 {
				set = append(set, 0)
			}
			set[n/64] |= 1 << (n % 64)
		}
	}
	return set, true
}
