package container

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/process"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestFeatures(t *testing.T) {
	f := Features(Helpers{})
	if len(f.Linux.Capabilities) != 41 || f.Linux.Capabilities[0] != "CAP_CHOWN" {
		t.Errorf("capabilities: %d %v", len(f.Linux.Capabilities), f.Linux.Capabilities[0])
	}
	for _, list := range [][]string{f.MountOptions, f.Linux.Namespaces} {
		if !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
			t.Errorf("not sorted, or twice: %q", list)
		}
	}
	if rdt := f.Linux.IntelRdt; !*rdt.Enabled || rdt.Schemata == nil || !*rdt.Schemata || rdt.Monitoring == nil || !*rdt.Monitoring {
		t.Errorf("resctrl: %+v", rdt)
	}
	// The test has no helper beside it, so no profile works.
	if s := f.Linux.Seccomp; *s.Enabled || len(s.Archs) > 0 {
		t.Errorf("seccomp without a helper: %+v", s)
	}
	if text, err := json.Marshal(f); err != nil || len(text) < 1000 {
		t.Errorf("%s %v", text, err)
	}
}

func TestMemoryPolicies(t *testing.T) {
	p := memoryPolicies()
	for _, mode := range p.Modes {
		policy := &specs.LinuxMemoryPolicy{Mode: specs.MemoryPolicyModeType(mode), Nodes: "0"}
		if mode == "MPOL_DEFAULT" || mode == "MPOL_LOCAL" {
			policy.Nodes = ""
		}
		if err := process.MemoryPolicy(plan.NewBuilder(3), policy); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
	for _, f := range p.Flags {
		policy := &specs.LinuxMemoryPolicy{Mode: "MPOL_BIND", Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MemoryPolicyFlagType(f)}}
		if err := process.MemoryPolicy(plan.NewBuilder(3), policy); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}
