package process

import (
	"reflect"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestNames: each mode and flag of config.json is the kernel's of that name, by which a plan shows it.
func TestNames(t *testing.T) {
	policy := func(mode specs.MemoryPolicyModeType, flags ...specs.MemoryPolicyFlagType) string {
		return strings.Join(lines(t, func(b *plan.Builder) {
			if err := MemoryPolicy(b, &specs.LinuxMemoryPolicy{Mode: mode, Flags: flags}); err != nil {
				t.Error(err)
			}
		}), " ")
	}
	for _, mode := range []specs.MemoryPolicyModeType{specs.MpolDefault, specs.MpolBind, specs.MpolInterleave, specs.MpolWeightedInterleave,
		specs.MpolPreferred, specs.MpolPreferredMany, specs.MpolLocal} {
		if got := policy(mode); !strings.Contains(got, "("+string(mode)+",") {
			t.Errorf("%s: %s", mode, got)
		}
	}
	for _, flag := range []specs.MemoryPolicyFlagType{specs.MpolFNumaBalancing, specs.MpolFRelativeNodes, specs.MpolFStaticNodes} {
		if got := policy(specs.MpolBind, flag); !strings.Contains(got, "(MPOL_BIND|"+string(flag)+",") {
			t.Errorf("%s: %s", flag, got)
		}
	}
	for _, flag := range []specs.LinuxSchedulerFlag{specs.SchedFlagResetOnFork, specs.SchedFlagReclaim, specs.SchedFlagDLOverrun,
		specs.SchedFlagKeepPolicy, specs.SchedFlagKeepParams, specs.SchedFlagUtilClampMin, specs.SchedFlagUtilClampMax} {
		got := strings.Join(lines(t, func(b *plan.Builder) {
			if err := Schedule(b, &specs.Process{Scheduler: &specs.Scheduler{Policy: specs.SchedBatch, Flags: []specs.LinuxSchedulerFlag{flag}}}); err != nil {
				t.Error(err)
			}
		}), " ")
		if !strings.Contains(got, "sched_flags="+string(flag)+",") {
			t.Errorf("%s: %s", flag, got)
		}
	}
}

func TestMemoryNodes(t *testing.T) {
	for _, row := range []struct {
		text string
		want []uint64
		ok   bool
	}{
		{"", nil, true}, {"0", []uint64{1}, true}, {"0-1,3", []uint64{11}, true}, {" 1 , 64", []uint64{2, 1}, true},
		{"1-0", nil, false}, {"x", nil, false}, {"0-", nil, false}, {"1024", nil, false}, {"-1", nil, false}, {",", nil, false},
	} {
		if got, ok := memoryNodes(row.text); ok != row.ok || !reflect.DeepEqual(got, row.want) {
			t.Errorf("%q: %v, %v", row.text, got, ok)
		}
	}
}
