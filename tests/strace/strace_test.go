package strace

import (
	"strings"
	"testing"
)

// TestPlanIsTheStrace compares containers of every kind.
func TestPlanIsTheStrace(t *testing.T) {
	tests := map[string]trial{
		"root":                            {},
		"root with everything":            {Full: true},
		"root waiting for start":          {Wait: true},
		"one id":                          {Rootless: true, OneID: true},
		"one id waiting for start":        {Rootless: true, OneID: true, Wait: true},
		"subordinate ids":                 {Rootless: true},
		"subordinate ids with everything": {Rootless: true, Full: true},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			p, out := strace(t, c)
			ran := follow(t, p, out)
			if n := count(ran); n < 80 || !ranStep(p, ran, "execve(") || !ranStep(p, ran, "pivot_root(") {
				t.Errorf("only %d of %d steps ran", n, len(ran))
			}
		})
	}
}

func count(ran []bool) int {
	n := 0
	for _, r := range ran {
		if r {
			n++
		}
	}
	return n
}

func ranStep(p printed, ran []bool, prefix string) bool {
	for i, s := range p.Steps {
		if ran[i] && strings.HasPrefix(s.Call, prefix) {
			return true
		}
	}
	return false
}

// TestOperationsPrintAsStrace compares what no ordinary container has: the
// operations fail, but strace shows them all the same.
func TestOperationsPrintAsStrace(t *testing.T) {
	p, out := strace(t, trial{Operations: true})
	ran := follow(t, p, out)
	for i, r := range ran {
		if !r {
			t.Errorf("step %d did not run: %s", i+1, p.Steps[i].Line)
		}
	}
}
