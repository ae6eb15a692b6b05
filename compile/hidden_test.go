package compile

import (
	"slices"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
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
			both, err := meet(r.Plan)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, why, err)
			}
			at := moments(both)
			if len(at["hide"]) == 0 || len(at["record all"]) != 1 {
				t.Fatalf("%s, %s: nothing hides, or there is no one complete record: %v", name, why, at)
			}
			held := slices.Min(append(at["record"], at["record all"]...)) < at["hide"][0]
			if why != "" && !held {
				t.Errorf("%s, %s: init hides before it is recorded: %v", name, why, at)
			}
			if why == "" && held && name == "userns-single-id" {
				t.Errorf("%s, %s: init waits for its record for nothing: %v", name, why, at)
			}
		}
	}
}
