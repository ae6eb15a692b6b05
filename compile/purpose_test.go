package compile

import (
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/plan"
)

// TestPurposes: what plan.Check and Explain know by a step's purpose is marked so in
// each golden plan; the places in config.json tell.
func TestPurposes(t *testing.T) {
	seen := map[plan.Purpose]int{}
	trials(t, func(file string, c trial) {
		r, err := c.compile(c.facts)
		if err != nil {
			if strings.Contains(err.Error(), "BUG") {
				t.Errorf("%s: %v", file, err)
			}
			return
		}
		for i := range r.Plan.Len() {
			s := r.Plan.Step(i)
			seen[s.Purpose]++
			if want := purposeOf(s.Pointer); want != 0 && s.Purpose != want && !strings.HasPrefix(s.What, "unmount ") {
				t.Errorf("%s: step %d, %s, of %s, %s: purpose %d, want %d", file, i+1, r.Plan.Text(i), s.Pointer, s.What, s.Purpose, want)
			}
		}
	})
	for p := plan.ForRoot; p <= plan.ForHook; p++ {
		if seen[p] == 0 {
			t.Errorf("no step has purpose %d", p)
		}
	}
}

func purposeOf(pointer string) plan.Purpose {
	for prefix, p := range map[string]plan.Purpose{"linux.maskedPaths": plan.ForMask, "linux.readonlyPaths": plan.ForMask, "mounts[": plan.ForMount,
		"process.rlimits": plan.ForLimit, "process.args": plan.ForProgram, "hooks": plan.ForHook} {
		if strings.HasPrefix(pointer, prefix) {
			return p
		}
	}
	return 0
}
