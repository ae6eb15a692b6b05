package strace

import (
	"strings"
	"testing"
)

// TestPlanIsTheStrace compares containers of every kind.
func TestPlanIsTheStrace(t *testing.T) {
	tests := []struct {
		name string
		trial
		root bool // needs it
	}{
		{"root", trial{}, true},
		{"root with everything", trial{Full: true}, true},
		{"root waiting for start", trial{Wait: true}, true},
		{"one id", trial{Rootless: true, OneID: true}, false},
		{"subordinate ids", trial{Rootless: true}, false},
		{"subordinate ids with everything", trial{Rootless: true, Full: true}, false},
		{"one id waiting for start", trial{Rootless: true, OneID: true, Wait: true}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.root {
				needRoot(t)
			}
			p, out := strace(t, test.trial)
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
