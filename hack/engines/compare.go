package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/tests/conformance"
)

// pair is a step on both runtimes, and what is wrong with it.
type pair struct {
	ours, theirs step
	reason       string
}

// result is what a comparison came to.
type result struct {
	passed, differing, failed []pair
}

// group is what the step's name begins with.
func (s step) group() string {
	group, _, _ := strings.Cut(s.name, ": ")
	return group
}

// statusIs begins the reason of a listed difference where homerun's exit status is not what the step wants, but this one. Else
// that counts in a listed step as in all, and so does what the step leaves.
const statusIs = "the status is %d: "

// compare goes through the steps of ours. A step that the other runtime lacks, or has in addition, is a failure.
func compare(ours, theirs []step, known map[string]string) (r result) {
	other := map[string]step{}
	for _, s := range theirs {
		other[s.name] = s
	}
	excess := map[string]string{}
	for i, s := range slices.Backward(ours) {
		excess[s.name] = more(s, other[s.name])
		if i+1 < len(ours) && s.group() == ours[i+1].group() && excess[ours[i+1].name] == "" {
			excess[s.name] = ""
		}
	}
	for _, s := range ours {
		t, found := other[s.name]
		delete(other, s.name)
		p := pair{ours: s, theirs: t}
		switch listed := known[s.name]; {
		case !found:
			p.reason = "not a step on the other runtime"
		default:
			why, left := difference(s, t), excess[s.name]
			p.reason = cmp.Or(left, why)
			if why != "" && left == "" && listed != "" && (s.status == s.want || strings.HasPrefix(listed, fmt.Sprintf(statusIs, s.status))) {
				p.reason = listed
				r.differing = append(r.differing, p)
				continue
			}
		}
		if p.reason != "" {
			r.failed = append(r.failed, p)
		} else {
			r.passed = append(r.passed, p)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(other)) {
		r.failed = append(r.failed, pair{theirs: other[name], ours: step{name: name}, reason: "no such step on homerun"})
	}
	return r
}

// difference says in which way a step on homerun is not as it has to be, in a few words.
func difference(ours, theirs step) string {
	switch {
	case ours.status != theirs.status:
		return fmt.Sprintf("exit status %d, and %d there", ours.status, theirs.status)
	case ours.status != ours.want:
		return fmt.Sprintf("exit status %d on both, want %d", ours.status, ours.want)
	case !ours.words && !sameLines(ours.output, theirs.output):
		return "the output differs"
	}
	return ""
}

// more says what a step leaves more of on homerun. What is gone after the next step of the group is not left: on a slow
// machine a process that ends by itself outlives the count.
func more(ours, theirs step) string {
	for _, kind := range slices.Sorted(maps.Keys(ours.left)) {
		if ours.left[kind] > theirs.left[kind] {
			return fmt.Sprintf("leaves %d %s, and %d there", ours.left[kind], kind, theirs.left[kind])
		}
	}
	return ""
}

// unused are the differences that are none.
func (r result) unused(known map[string]string) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if !slices.ContainsFunc(r.differing, func(p pair) bool { return p.ours.name == name }) {
			names = append(names, name)
		}
	}
	return names
}

// print shows what failed and what differs, or all of it, side by side.
func (r result) print(w io.Writer, p part, all bool) {
	if all {
		for _, s := range r.passed {
			fmt.Fprintf(w, "ok        %s: %s\n", p.name, s.ours.name)
			s.show(w, p)
		}
	}
	for _, s := range r.differing {
		fmt.Fprintf(w, "differs   %s: %s: %s\n", p.name, s.ours.name, s.reason)
		s.show(w, p)
	}
	for _, s := range r.failed {
		fmt.Fprintf(w, "FAIL      %s: %s: %s\n", p.name, s.ours.name, s.reason)
		s.show(w, p)
	}
}

// column is how wide homerun's side is.
const column = 76

// show prints both sides of a step, line by line.
func (s pair) show(w io.Writer, p part) {
	left := append([]string{fmt.Sprintf("homerun: status %d, left %s", s.ours.status, list(s.ours.left))}, s.ours.output...)
	right := append([]string{fmt.Sprintf("%s: status %d, left %s", p.peer, s.theirs.status, list(s.theirs.left))}, s.theirs.output...)
	for i := range max(len(left), len(right)) {
		a, b := at(left, i), at(right, i)
		mark := " "
		if i > 0 && normal(a) != normal(b) {
			mark = "|"
		}
		fmt.Fprintf(w, "    %-*s %s %s\n", column, a, mark, b)
	}
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

func list(counted map[string]int) string {
	var text []string
	for _, kind := range slices.Sorted(maps.Keys(counted)) {
		text = append(text, fmt.Sprintf("%s=%d", kind, counted[kind]))
	}
	return strings.Join(text, " ")
}

// readDifferences reads those of a part: PART: GROUP: STEP: REASON, one a line.
func readDifferences(path, part string) (map[string]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	known := map[string]string{}
	scan := bufio.NewScanner(file)
	for scan.Scan() {
		line := strings.TrimSpace(scan.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		where, reason, ok := strings.Cut(line, " -- ")
		of, name, named := strings.Cut(where, ": ")
		if !ok || !named || reason == "" {
			return nil, fmt.Errorf("%s: %q: not PART: GROUP: STEP -- REASON", path, line)
		}
		if slices.Contains(strings.Split(of, ","), part) {
			known[name] = reason
		}
	}
	return known, scan.Err()
}

// save writes down what a part came to on both runtimes. The other one is held to the exit statuses alone.
func (d day) save(p part, ours, theirs record, r result) error {
	o := ours.result(p)
	o.Passed, o.Unexplained = len(r.passed), len(r.failed) > 0
	for _, s := range r.differing {
		o.Differing = append(o.Differing, conformance.Finding{Name: s.ours.name, Reason: s.reason})
	}
	for _, s := range r.failed {
		o.Failed = append(o.Failed, conformance.Finding{Name: s.ours.name, Reason: s.reason})
	}
	t := theirs.result(p)
	for _, s := range theirs.steps {
		if s.status == s.want {
			t.Passed++
		} else {
			t.Failed = append(t.Failed, conformance.Finding{Name: s.name, Reason: fmt.Sprintf("exit status %d, want %d", s.status, s.want)})
		}
	}
	return errors.Join(o.Save(d.results), t.Save(d.results))
}

// result is an empty one of this part and runtime.
func (r record) result(p part) conformance.Result {
	empty := conformance.New("engines "+p.name, r.version, r.runtime, r.says)
	empty.Own, empty.Date = true, r.day
	return empty
}
