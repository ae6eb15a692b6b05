package compile

import (
	"slices"
	"testing"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestRecordedBeforeHidden: where /proc shows nobody who has hidden, and where the
// container's processes are known by their mount namespace, init waits for what comes after
// its record, and hides then. Elsewhere it waits only where others write its id maps. Its
// record is complete once.
func TestRecordedBeforeHidden(t *testing.T) {
	for _, name := range []string{"userns-single-id", "namespace-cgroup-late", "run-foreground"} {
		for _, why := range []string{"", "proc hides", "no PID namespace"} {
			g := readGolden(t, readArchive(t, "testdata/"+name+".txtar"))
			b, facts := g.input(t)
			facts.Process.ProcHides = why == "proc hides"
			if why == "no PID namespace" {
				b.Config.Linux.Namespaces = slices.DeleteFunc(b.Config.Linux.Namespaces, func(ns specs.LinuxNamespace) bool {
					return ns.Type == specs.PIDNamespace
				})
			}
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
				t.Errorf("%s, %s: nothing hides, or there are %d complete records: %v", name, why, records, at)
			}
			if why != "" && !held {
				t.Errorf("%s, %s: init hides before it is recorded: %v", name, why, at)
			}
			if why == "" && held && name == "userns-single-id" {
				t.Errorf("%s, %s: init waits for its record for nothing: %v", name, why, at)
			}
		}
	}
}
