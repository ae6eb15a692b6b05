package main

import (
	"cmp"
	"slices"
	"strings"
)

// outcome orders what may happen to a test: a worse one is the larger.
type outcome int

const (
	skip outcome = iota
	pass
	fail
)

// test is one test or subtest; an empty name stands for the package itself.
type test struct {
	pkg  string
	name string
}

func (t test) String() string { return strings.TrimSuffix(t.pkg+" "+t.name, " ") }

// top is the name of the test function that a subtest belongs to.
func (t test) top() string {
	name, _, _ := strings.Cut(t.name, "/")
	return name
}

// result is a test's outcome and, for one that was skipped, why.
type result struct {
	outcome outcome
	reason  string
}

// results holds what is known about each test after running in some places.
type results map[test]result

// add keeps the larger outcome: a test that was skipped in one place and
// passed in another passed; one that failed anywhere failed.
func (r results) add(t test, o outcome, reason string) {
	if old, ok := r[t]; !ok || o > old.outcome {
		r[t] = result{outcome: o, reason: reason}
	}
}

func (r results) count(o outcome) int {
	n := 0
	for _, got := range r {
		if got.outcome == o {
			n++
		}
	}
	return n
}

// skipped lists the tests that have not run yet, in a stable order.
func (r results) skipped() []test {
	var list []test
	for t, got := range r {
		if got.outcome == skip {
			list = append(list, t)
		}
	}
	slices.SortFunc(list, func(a, b test) int {
		return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.name, b.name))
	})
	return list
}

// byPackage groups the names of test functions, each once.
func byPackage(tests []test) map[string][]string {
	groups := map[string][]string{}
	for _, t := range tests {
		if !slices.Contains(groups[t.pkg], t.top()) {
			groups[t.pkg] = append(groups[t.pkg], t.top())
		}
	}
	return groups
}

// skipReason picks the text given to t.Skip out of a test's output.
func skipReason(output string) string {
	var lines []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return "no reason given"
	}
	return lines[len(lines)-1]
}
