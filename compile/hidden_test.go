package compile

import (
	"testing"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// TestRecordedBeforeHidden: where /proc shows nobody who has hidden, init waits for what
// comes after its record, and hides then. Elsewhere it waits only
// where others write its id maps. Its record is complete once.
func TestRecordedBeforeHidden(t *testing.T) {
	for _, name := range []string{"userns-single-id", "namespace-cgroup-late", "run-foreground"} {
		for _, hides := range []bool{true, false} {
			g := readGolden(t, readArchive(t, "testdata/"+name+".txtar"))
			b, facts := g.input(t)
			facts.Process.ProcHides = hides
			r, err := compileAnswered(b.Config, facts, g.wishes(t))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			at, records := map[string]int{}, 0
			first := func(what string, i int) {
				if at[what] == 0 {
					at[what] = i + 1
				}
			}
			for i := range r.Plan.Len() {
				step := r.Plan.Step(i)
				switch o := step.Op.(type) {
				case plan.Prctl:
					if o.Option == unix.PR_SET_DUMPABLE && o.Arg2 == 0 {
						first("hide", i)
					}
				case plan.Read:
					if step.Awaits != "" {
						first("await "+step.Awaits, i)
					}
				}
			}
			for i, step := range r.Plan.Runtime() {
				switch a := step.Action.(type) {
				case action.Record:
					if a.Complete {
						records++
					}
					first("record", i)
				case plan.Answer:
					first("answer "+a.Awaited, i)
				}
			}
			held := false
			for _, awaited := range []string{"rest", "mapped"} {
				held = held || at["record"] < at["answer "+awaited] && at["await "+awaited] < at["hide"]
			}
			if at["hide"] == 0 || records != 1 {
				t.Errorf("%s: nothing hides, or there are %d complete records: %v", name, records, at)
			}
			if hides && !held {
				t.Errorf("%s: init hides before it is recorded: %v", name, at)
			}
			if !hides && held && name == "userns-single-id" {
				t.Errorf("%s: init waits for its record for nothing: %v", name, at)
			}
		}
	}
}
