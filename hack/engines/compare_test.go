package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/tests/conformance"
)

// printed is what ./run prints of one step.
func printed(name, output, status, left string) string {
	return "#step " + name + "\n| " + output + "\n#status " + status + "\n#left " + left + "\n"
}

func steps(t *testing.T, text string) []step {
	t.Helper()
	r, err := read(strings.NewReader("#version one 1\n#day 2026-01-02\n" + text + "#end\n"))
	if err != nil || r.version != "one 1" {
		t.Fatalf("%+v, %v", r, err)
	}
	return r.steps
}

func TestCompare(t *testing.T) {
	const name = "run: a step"
	same := printed(name, "hello", "0 0", "processes=3 state=0")
	for _, tt := range []struct {
		what, ours, theirs, reason string
		known                      map[string]string
		failed                     bool
	}{
		{what: "the same", ours: same, theirs: same},
		{what: "an id, the runtime, a time", ours: printed(name, strings.Repeat("ab", 32)+" /usr/bin/homerun 2026-01-02T03:04:05Z", "0 0", "a=1"),
			theirs: printed(name, strings.Repeat("cd", 32)+" /usr/local/bin/crun 2026-01-02T03:04:06Z", "0 0", "a=1")},
		{what: "other output", ours: same, theirs: printed(name, "hallo", "0 0", "processes=3 state=0"), reason: "the output differs", failed: true},
		{what: "less output", ours: "#step " + name + "\n#status 0 0\n#left a=1\n", theirs: printed(name, "hallo", "0 0", "a=1"), reason: "the output differs", failed: true},
		{what: "other words", ours: "#words\n" + same, theirs: "#words\n" + printed(name, "hallo", "0 0", "processes=3")},
		{what: "another status", ours: printed(name, "hello", "1 0", "processes=3 state=0"), theirs: same, reason: "exit status 1, and 0 there", failed: true},
		{what: "the same wrong status", ours: printed(name, "x", "1 0", "a=1"), theirs: printed(name, "x", "1 0", "a=1"), reason: "exit status 1 on both, want 0", failed: true},
		{what: "more left", ours: printed(name, "hello", "0 0", "processes=4 state=0"), theirs: same, reason: "leaves 4 processes, and 3 there", failed: true},
		{what: "less left", ours: printed(name, "hello", "0 0", "processes=2 state=0"), theirs: same},
		{what: "listed", ours: printed(name, "hallo", "0 0", "processes=3 state=0"), theirs: same, known: map[string]string{name: "so it is"}, reason: "so it is"},
		{what: "listed with its status", ours: printed(name, "hello", "1 0", "processes=3 state=0"), theirs: same, known: map[string]string{name: "the status is 1: so it is"}, reason: "the status is 1: so it is"},
		{what: "listed with another status", ours: printed(name, "hello", "2 0", "processes=3 state=0"), theirs: same, known: map[string]string{name: "the status is 1: so it is"},
			reason: "exit status 2, and 0 there", failed: true},
		{what: "only there", ours: "", theirs: same, reason: "no such step on homerun", failed: true},
		{what: "only here", ours: same, theirs: "", reason: "not a step on the other runtime", failed: true},
	} {
		r := compare(steps(t, tt.ours), steps(t, tt.theirs), tt.known)
		all := append(append(r.passed, r.differing...), r.failed...)
		if len(all) != 1 || all[0].reason != tt.reason || (len(r.failed) > 0) != tt.failed || (len(r.differing) > 0) != (tt.known != nil && !tt.failed) {
			t.Errorf("%s: %+v", tt.what, r)
		}
	}
}

// TestListedFails: of a listed step the exit status counts, and what it leaves.
func TestListedFails(t *testing.T) {
	const name = "run: a step"
	r := compare(steps(t, printed(name, "hello", "1 0", "a=1")), steps(t, printed(name, "hello", "0 0", "a=1")), map[string]string{name: "so it is"})
	if len(r.failed) != 1 || len(r.differing) > 0 {
		t.Errorf("%+v", r)
	}
	r = compare(steps(t, printed(name, "hallo", "0 0", "a=2")), steps(t, printed(name, "hello", "0 0", "a=1")), map[string]string{name: "so it is"})
	if len(r.failed) != 1 || len(r.differing) > 0 || r.failed[0].reason != "leaves 2 a, and 1 there" {
		t.Errorf("%+v", r)
	}
}

// TestLeft: what is gone after the next step was not left, but at the end of a group, and in another one, all counts.
func TestLeft(t *testing.T) {
	group := func(counts ...string) []step {
		var text string
		for i, n := range counts {
			text += printed(string(rune('a'+i/3))+": step "+string(rune('1'+i)), "x", "0 0", "processes="+n)
		}
		return steps(t, text)
	}
	for ours, want := range map[string]string{
		"3 3 3 3": "", "4 3 3 3": "", "3 4 3 3": "", "4 4 3 3": "", "3 3 4 3": "a: step 3", "3 4 4 3": "a: step 2,a: step 3", "3 3 3 4": "b: step 4", "2 2 2 2": "",
	} {
		var failed []string
		for _, p := range compare(group(strings.Fields(ours)...), group("3", "3", "3", "3"), nil).failed {
			failed = append(failed, p.ours.name)
		}
		if got := strings.Join(failed, ","); got != want {
			t.Errorf("%s: %q, want %q", ours, got, want)
		}
	}
}

func TestUnused(t *testing.T) {
	s := steps(t, printed("a: b", "x", "0 0", "a=1"))
	if got := compare(s, s, nil).unused(map[string]string{"a: b": "why"}); len(got) != 1 || got[0] != "a: b" {
		t.Errorf("%q", got)
	}
}

// TestSave: what is written down is what hack/conformance reads.
func TestSave(t *testing.T) {
	ours := record{runtime: "homerun", says: "homerun version 1.0", version: "podman 5", steps: steps(t, printed("a: b", "x", "0 0", "a=1")+printed("a: c", "x", "0 0", "a=1"))}
	theirs := record{runtime: "crun", says: "crun version 1.28", version: "podman 5", steps: steps(t, printed("a: b", "x", "0 0", "a=1")+printed("a: c", "x", "1 0", "a=1"))}
	d := day{results: t.TempDir()}
	if err := d.save(part{name: "p"}, ours, theirs, compare(ours.steps, theirs.steps, map[string]string{"a: c": "so it is"})); err != nil {
		t.Fatal(err)
	}
	got, err := conformance.Load(d.results)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	if c := got[0]; c.RuntimeVersion != "1.28" || c.Passed != 1 || len(c.Failed) != 1 || !c.Own || c.Failed[0].Reason != "exit status 1, want 0" {
		t.Errorf("%+v", c)
	}
	if h := got[1]; h.Suite != "engines p" || h.Passed != 1 || len(h.Failed) != 0 || len(h.Differing) != 1 || h.Differing[0].Reason != "so it is" {
		t.Errorf("%+v", h)
	}
}

// TestSpend: a part is good when all its steps are, there are some, and what is listed differs.
func TestSpend(t *testing.T) {
	t.Chdir("../..") // where the differences are
	one := func(status string) string { return printed("run: a step", "x", status, "a=1") }
	for _, test := range []struct{ what, part, ours, theirs, says string }{
		{"all is well", "tools", one("0 0"), one("0 0"), ""},
		{"a failure", "tools", one("1 0"), one("0 0"), "bad"},
		{"no steps", "tools", "", "", "bad"},
		{"nothing differs", "containerd", one("0 0"), one("0 0"), "listed in differences, and the same on both"},
		{"no end", "tools", one("0 0") + "#broken", one("0 0"), "broke off"},
	} {
		kept := t.TempDir()
		for name, text := range map[string]string{"homerun": test.ours, "crun": test.theirs} {
			end := "#end\n"
			if strings.HasSuffix(text, "#broken") {
				end = ""
			}
			if err := os.WriteFile(filepath.Join(kept, test.part+"-"+name), []byte("#version one 1\n#day 2026-01-02\n"+text+end), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var out strings.Builder
		d := day{out: &out, results: t.TempDir(), kept: kept, again: true}
		good, err := d.spend(part{name: test.part, peer: "crun"})
		if good != (test.says == "") || (err != nil) != (len(test.says) > len("bad")) || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, %v\n%s", test.what, good, err, out.String())
		}
	}
}

// TestBrokenOff: what ends in the middle is no result.
func TestBrokenOff(t *testing.T) {
	_, err := read(strings.NewReader("#version x\n" + printed("a: b", "x", "0 0", "a=1") + "#step a: c\n"))
	if err == nil || !strings.Contains(err.Error(), `after 1 steps, at "a: c"`) {
		t.Errorf("%v", err)
	}
}

func TestReadDifferences(t *testing.T) {
	path := filepath.Join(t.TempDir(), "differences")
	if err := os.WriteFile(path, []byte("# x\none,two: run: a: step -- because\nthree,two-root: run: b -- not\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readDifferences(path, "two")
	if err != nil || len(got) != 1 || got["run: a: step"] != "because" {
		t.Errorf("%q, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("one: run: a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readDifferences(path, "one"); err == nil {
		t.Error("a difference without a reason is read")
	}
}

// TestChoose: a part that there is not is an error, which names those that there are.
func TestChoose(t *testing.T) {
	for names, want := range map[string]string{"": "podman,podman-root,tools,docker,containerd,nerdctl,cri", "cri": "cri", "tools,podman": "tools,podman"} {
		chosen, err := choose(parts(), names)
		var got []string
		for _, p := range chosen {
			got = append(got, p.name)
		}
		if strings.Join(got, ",") != want || err != nil {
			t.Errorf("%q: %q, %v", names, got, err)
		}
	}
	for _, names := range []string{"podmann", "cri,", "^cri$"} {
		if chosen, err := choose(parts(), names); err == nil || len(chosen) > 0 || !strings.Contains(err.Error(), "the parts are podman, podman-root, tools,") {
			t.Errorf("%q: %v, %v", names, chosen, err)
		}
	}
}

// TestPieces: a part of which some groups have not run, or not to their end, is no result.
func TestPieces(t *testing.T) {
	whole := func(name string) string { return printed(name+": nothing is left", "", "0 0", "a=1") }
	head := "#runtime crun version 1.28\n#day 2026-01-02\n#version podman 5\n#group a\n#group b\n"
	first, second := head+whole("a")+printed("b: one", "x", "0 0", "a=1")+"#end\n", head+whole("b")+"#end\n"
	both, err := joined(first, second)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir("../..") // where the differences are
	for text, want := range map[string]string{first: "b", second: "a", both: ""} {
		d := day{out: io.Discard, results: t.TempDir(), kept: t.TempDir(), again: true}
		for _, runtime := range []string{"homerun", "crun"} {
			if err := os.WriteFile(filepath.Join(d.kept, "p-"+runtime), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		good, err := d.spend(part{name: "p", peer: "crun"})
		saved, _ := os.ReadDir(d.results)
		if whole := want == ""; good != whole || (err == nil) != whole || (len(saved) == 2) != whole || !whole && !strings.Contains(err.Error(), `"`+want+`"`) {
			t.Errorf("want %q: %v, %v, %d results", want, good, err, len(saved))
		}
	}
}

// TestJoin: a group that ran again takes the place of what was kept of it, whole, and the day is the first.
func TestJoin(t *testing.T) {
	head := func(day string) string { return "#runtime crun version 1.28\n#day " + day + "\n#version podman 5\n" }
	one := func(name, output string) string { return printed(name, output, "0 0", "a=1") }
	before := head("2026-01-02") + one("a: one", "x") + one("b: one", "old") + "#words\n" + one("b: two", "old") + one("d: one", "x") + "#end\n"
	fresh := head("2026-01-03") + "#words\n" + one("b: one", "new") + one("c: one", "new") + "#end\n"
	text, err := joined(before, fresh)
	if err != nil {
		t.Fatal(err)
	}
	r, err := read(strings.NewReader(text))
	if err != nil || r.day != "2026-01-02" || r.says != "crun version 1.28" || r.version != "podman 5" {
		t.Errorf("%+v, %v", r, err)
	}
	var got []string
	for _, s := range r.steps {
		got = append(got, fmt.Sprint(s.name, " ", s.output[0], " ", s.words))
	}
	if want := "a: one x false,b: one new true,c: one new false,d: one x false"; strings.Join(got, ",") != want {
		t.Errorf("%q, want %q", got, want)
	}
	if _, err := joined(before, strings.ReplaceAll(fresh, "podman 5", "podman 6")); err == nil || !strings.Contains(err.Error(), "run the whole part") {
		t.Errorf("other versions: %v", err)
	}
	dir := t.TempDir()
	into, from := filepath.Join(dir, "into"), filepath.Join(dir, "from")
	for _, want := range []string{before, text} {
		content := map[bool]string{true: before, false: fresh}[want == before]
		if err := os.WriteFile(from, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := join(into, from); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(into); string(got) != want {
			t.Errorf("joined: %q, want %q", got, want)
		}
	}
}
