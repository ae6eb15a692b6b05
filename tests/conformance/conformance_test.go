package conformance

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestComplete(t *testing.T) {
	for text, whole := range map[string]bool{"1..2\nok 1 a\nnot ok 2 b\n1..1\nok 1 c\n": true, "1..2\nok 1 a\n1..1\nok 1 c\n": false, "": false, "1..1\n": false, "1..1\nok 1 a\nok 2 b\n": false} {
		if err := Complete(text); (err == nil) != whole {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseTAP(t *testing.T) {
	got := ParseTAP("1..6\nok 1 - one\nnot ok 2 two # not a skip in 12ms\n# why\nmore\nok 3 three in 5 ms in 17ms # skip (no time)\n" +
		"ok 4 # SKIP\nokay\nok 5x no\nnot ok 6 six # skip late\r\n")
	want := []Point{{Name: "one"}, {Name: "two # not a skip", Failed: true, Text: "why\nmore\n"}, {Name: "three in 5 ms", Skipped: "no time"},
		{Skipped: "no reason given"}, {Name: "six", Failed: true}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
}

func document(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "KNOWN.md")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestKnown(t *testing.T) {
	known, err := ReadKnown(document(t, "# Title\n\n## Part\nText.\n\n### `one`, `two`\nIt is\nso.\n\n- first\n- second\n- last -- homerun: no\n\n## Next\n\n### `three` (sometimes)\nRaces.\n\n- third\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Known{"one": {Why: "It is so.", Points: []string{"first", "second", "last -- homerun: no"}}, "two": {Why: "It is so.", Points: []string{"first", "second", "last -- homerun: no"}},
		"three": {Why: "Races.", Points: []string{"third"}, Sometimes: true}}
	if !reflect.DeepEqual(known, want) {
		t.Fatalf("got %+v", known)
	}
	for name, test := range map[string]struct {
		failed []Finding
		want   string
	}{
		"as written":     {failed: []Finding{{"one", "first: 12"}, {"two", "second\nfirst"}}},
		"the race too":   {failed: []Finding{{"one", "first"}, {"two", "first"}, {"three", "third: now"}}},
		"another race":   {failed: []Finding{{"one", "first"}, {"two", "first"}, {"three", "first"}}, want: "three fails:\nfirst"},
		"another point":  {failed: []Finding{{"one", "first\nthird"}, {"two", "first"}}, want: "one fails:\nfirst\nthird"},
		"its words":      {failed: []Finding{{"one", "last -- homerun: no"}, {"two", "last -- homerun: nobody"}}},
		"other words":    {failed: []Finding{{"one", "last -- homerun: yes"}, {"two", "first"}}, want: "one fails:\nlast -- homerun: yes"},
		"no words known": {failed: []Finding{{"one", "first -- homerun: no"}, {"two", "first"}}, want: "one fails:\nfirst -- homerun: no"},
		"in the middle":  {failed: []Finding{{"one", "not first"}, {"two", "first"}}, want: "one fails:\nnot first"},
		"not written":    {failed: []Finding{{"one", "first"}, {"two", "first"}, {"four", "x"}}, want: "four fails:\nx"},
		"it passes now":  {failed: []Finding{{"one", "first"}}, want: "two passes or did not run"},
		"nothing at all": {want: "one passes or did not run"},
	} {
		r := Result{Failed: test.failed}
		err := known.Explain(&r)
		if r.Unexplained != (test.want != "") {
			t.Errorf("%s: unexplained: %v", name, r.Unexplained)
		}
		if test.want == "" && (err != nil || r.Failed[0].Reason != "It is so.") || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: got %v, %+v", name, err, r.Failed)
		}
	}
	for _, bad := range []string{"\n### one\nx\n\n- p", "\n### `one`\n\n- p", "\n### `one`\nx", "\n### `one`\nx\n\n- p\n\n### `one`\ny\n\n- p"} {
		if _, err := ReadKnown(document(t, bad)); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
}

func TestSaveAndLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	want := []Result{{Suite: "a b", Version: "1", Runtime: "crun", Date: "2026-01-02", Passed: 3, Failed: []Finding{{"x", "y"}}, Skipped: []Finding{}},
		{Suite: "a b", Version: "1", Runtime: "homerun", Date: "2026-01-02", Failed: []Finding{}, Skipped: []Finding{{"x", "y"}}}}
	for _, r := range []Result{want[1], want[0], want[0]} {
		if err := r.Save(dir); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Load(dir)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n%+v, want\n%+v", err, got, want)
	}
	if err := os.WriteFile(filepath.Join(dir, "bad.json"), []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil {
		t.Error("no error for a result without a suite")
	}
}

// results are of two suites, one of which ran on homerun alone.
func results() []Result {
	return []Result{
		{Suite: "engine", Version: "5", Runtime: "homerun", RuntimeVersion: "1.0", Date: "2026-01-03", Passed: 4},
		{Suite: "tests", Version: "2", Runtime: "homerun", RuntimeVersion: "1.0", Date: "2026-01-02", Passed: 10,
			Failed: []Finding{{"b|c", "its\nwords"}, {"d", "its\nwords"}}, Skipped: []Finding{{"e", "no SELinux"}, {"f", "no SELinux"}}},
		{Suite: "tests", Version: "2", Runtime: "crun", RuntimeVersion: "1.28", Date: "2026-01-02", Passed: 12, Failed: []Finding{{"b|c", "x"}}},
	}
}

func TestDocument(t *testing.T) {
	text := Document(results())
	for _, want := range []string{
		"homerun passes 14, fails 2, skips 2; crun passes 12, fails 1, skips 0; runc passes 0, fails 0, skips 0.\n",
		"| engine | 5 | 2026-01-03 | 4, 0, 0; 1.0 | not run | not run |\n",
		"| tests | 2 | 2026-01-02 | 10, 2, 2; 1.0 | 12, 1, 0; 1.28 | not run |\n",
		"| b\\|c | fails |  | its words |\n| d | passes |  | the same |\n",
		"| no SELinux | e; f |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the document lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "engine: what") {
		t.Error("a suite without failures has a table of them")
	}
}

// TestOwn: steps of homerun's own stand apart, and are not counted as other people's.
func TestOwn(t *testing.T) {
	text := Document(append(results(),
		Result{Suite: "engines p", Version: "podman 5", Runtime: "homerun", RuntimeVersion: "1.0", Date: "2026-01-04", Passed: 100, Own: true,
			Differing: []Finding{{"run: a", "so"}}, Failed: []Finding{{"run: b", "not so"}}},
		Result{Suite: "engines p", Version: "podman 5", Runtime: "crun", RuntimeVersion: "1.28", Date: "2026-01-04", Passed: 101, Own: true}))
	for _, want := range []string{
		"homerun passes 14, fails 2, skips 2; crun passes 12, fails 1, skips 0; runc passes 0, fails 0, skips 0.\n",
		"| engines p | podman 5 | 2026-01-04 | 100, 1, 1; 1.0 | 101, 0; crun 1.28 |\n",
		"| engines p: run: a | differs | so |\n| engines p: run: b | fails | not so |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the document lacks %q:\n%s", want, text)
		}
	}
	if strings.Count(text, "engines p |") != 1 || strings.Contains(text, "engines p: what") {
		t.Errorf("own steps among other people's:\n%s", text)
	}
}

// TestOlder: what was not run anew says so.
func TestOlder(t *testing.T) {
	text := Document(results())
	if want := "\nNot run anew on 2026-01-03: tests on homerun (2026-01-02), tests on crun (2026-01-02).\n"; !strings.Contains(text, want) {
		t.Errorf("the document lacks %q:\n%s", want, text)
	}
	if text := Document(results()[:1]); strings.Contains(text, "anew") {
		t.Errorf("all of one day:\n%s", text)
	}
}

// TestStatement: of bats' words the failed statement counts, and what homerun said before it.
func TestStatement(t *testing.T) {
	for text, want := range map[string]string{
		"(in test file a.bats, line 2)\n  `[ \"$status\" -eq 0 ]' failed\nhomerun spec (status=0)\nhomerun: run a: first\nhomerun: run b: no\nhomerun: debug: x\n  `later' failed\n--- teardown ---\nhomerun: late\n": `[ "$status" -eq 0 ] -- homerun: run b: no`,
		"(from function `f' in file a.bats, line 1,\n in test file a.bats, line 2)\n  `f --it's' failed with status 3\n":                                                                                              "f --it's",
		"only words\nof its own\n": "only words\nof its own",
	} {
		if got := Statement(text); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestPublish(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	readme := filepath.Join(root, "README.md")
	if err := Publish(dir, root); err == nil {
		t.Error("no error without results")
	}
	for _, r := range results() {
		if err := r.Save(dir); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(root, "docs"), 0o755); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"a\n" + start + "old.\nb\n": "a\n" + start + Totals(results()) + ".\nb\n", "a\n": ""} {
		if err := os.WriteFile(readme, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		err := Publish(dir, root)
		if got, _ := os.ReadFile(readme); want != "" && (err != nil || string(got) != want) || want == "" && err == nil {
			t.Errorf("%v, README.md is %q, want %q", err, got, want)
		}
	}
	// What did not end as is known is kept, and said.
	bad := results()[0]
	bad.Unexplained, bad.Passed = true, 77
	unexplained := t.TempDir()
	if err := bad.Save(unexplained); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(filepath.Join(root, "docs/conformance.md"))
	err := Publish(unexplained, root)
	if now, _ := os.ReadFile(filepath.Join(root, "docs/conformance.md")); err == nil || !strings.Contains(err.Error(), "engine on homerun did not end as is known") || string(now) != string(before) {
		t.Errorf("%v:\n%s", err, now)
	}
	// A suite runs anew, where the results of the others are no more: those that the repository has stay.
	anew := Result{Suite: "engine", Version: "6", Runtime: "homerun", Date: "2026-01-04", Passed: 5}
	earlier := Result{Suite: "tests", Version: "1", Runtime: "crun", Date: "2026-01-01", Passed: 99}
	first := anew // of the same day
	first.Passed = 4
	if err := os.WriteFile(readme, []byte(start+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, r := range []Result{first, anew} {
		dir = t.TempDir()
		for _, r := range []Result{r, earlier} {
			if err := r.Save(dir); err != nil {
				t.Fatal(err)
			}
		}
		if err := Publish(dir, root); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "docs/conformance.md"))
	for _, want := range []string{"| engine | 6 | 2026-01-04 | 5, 0, 0;", "| tests | 2 | 2026-01-02 | 10, 2, 2; 1.0 | 12, 1, 0; 1.28 | not run |", "anew on 2026-01-04: tests on crun (2026-01-02), tests on homerun"} {
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%v, the document lacks %q:\n%s", err, want, text)
		}
	}
}

// TestVersion: of homerun the commit counts too.
func TestVersion(t *testing.T) {
	for _, test := range []struct{ runtime, says, want string }{
		{"homerun", "homerun version 1.0\ncommit: abc\nspec: 1.3.0\n", "1.0 of abc"},
		{"homerun", "# homerun version 1.0\n# commit: abc\n1..1\nok 1 commit: no\n", "1.0 of abc"},
		{"homerun", "homerun version 1.0", "1.0"},
		{"crun", "crun version 1.28\ncommit: abc\n", "1.28"},
	} {
		if got := New("s", "1", test.runtime, test.says).RuntimeVersion; got != test.want {
			t.Errorf("%q: %q, not %q", test.says, got, test.want)
		}
	}
}

// TestKept: docs/conformance.md is what the results in the repository make, with the reasons
// that are written down.
func TestKept(t *testing.T) {
	all, err := Load("results")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.Unexplained {
			t.Errorf("%s on %s did not end as is known", r.Suite, r.Runtime)
		}
		if err := r.explainAnew("../.."); err != nil {
			t.Error(err)
		}
	}
	for suite := range reasons() {
		if !slices.ContainsFunc(all, func(r Result) bool { return r.Suite == suite && r.Runtime == "homerun" }) {
			t.Errorf("no result of %s", suite)
		}
	}
	text, err := os.ReadFile("../../docs/conformance.md")
	if err != nil || Document(all) != string(text) {
		t.Errorf("docs/conformance.md is not of tests/conformance/results, tests/oci/KNOWN.md and tests/runc/KNOWN.md: go run ./hack/conformance (%v)", err)
	}
}

// TestREADME holds the line in README.md to the document, and the document's totals to
// its own table.
func TestREADME(t *testing.T) {
	var texts [2]string
	for i, file := range []string{"../../README.md", "../../docs/conformance.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[i] = string(text)
	}
	_, line, found := strings.Cut(texts[0], "\n"+start)
	line, _, _ = strings.Cut(line, "\n")
	if !found || !strings.Contains(texts[1], "\n"+line+"\n") {
		t.Fatalf("docs/conformance.md does not say %q, as README.md does: make conformance", line)
	}
	if got := Totals(readTable(texts[1])) + "."; got != line {
		t.Errorf("the rows of docs/conformance.md add up to %q, and README.md says %q", got, line)
	}
}

// readTable reads the rows of suites of the document.
func readTable(text string) (all []Result) {
	for row := range strings.Lines(text) {
		cells := strings.Split(row, " | ")
		for i, runtime := range runtimes() {
			var passed, failed, skipped int
			if len(cells) != 6 {
				break
			}
			if n, _ := fmt.Sscanf(strings.TrimSuffix(cells[3+i], " |\n"), "%d, %d, %d", &passed, &failed, &skipped); n == 3 {
				all = append(all, Result{Runtime: runtime, Passed: passed, Failed: make([]Finding, failed), Skipped: make([]Finding, skipped)})
			}
		}
	}
	return all
}

// TestInside: of a file of runc's tests that breaks off, each test that has said nothing is a
// failure by its name, and what comes after is read from a line of its own.
func TestInside(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	write("images/none", "")
	write("commands/none", "")
	write("runtime", "#!/bin/sh\necho runtime version 1\n")
	write("bats/bin/bats", `#!/bin/sh
case $2 in
a.bats) printf '1..3\nok 1 first\nnot ok 2 secon';;
b.bats) printf '1..1\nok 1 good\n';;
c.bats) printf 'no plan';;
esac
`)
	write("tests/integration/a.bats", "@test \"first\" {\n}\n@test \"second\" {\n}\n@test \"third\" {\n}\n")
	write("tests/integration/b.bats", "@test \"good\" {\n}\n")
	write("tests/integration/c.bats", "@test \"lonely\" {\n}\n")
	c := exec.Command("../runc/inside", dir, dir+"/runtime", dir+"/out")
	c.Env = append(os.Environ(), "TMPDIR="+dir)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(dir + "/out")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range ParseTAP(string(text)) {
		got = append(got, fmt.Sprint(p.Name, " ", p.Failed))
	}
	want := []string{"first false", "secon true", "third true", "good false", "lonely true"}
	if err := Complete(string(text)); err != nil || !slices.Equal(got, want) || !strings.HasSuffix(string(text), "\n# all files have run\n") {
		t.Errorf("%q, %v", got, err)
	}
}
