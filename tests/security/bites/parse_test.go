package bites

import (
	"slices"
	"testing"
)

const twoFiles = `# H1: the owner is not looked at
package: ./container
test: TestOwner/a.*
needs: root, cgroup2
file: a.go
-- old --
one
	two
-- new --
-- old --
three
-- new --
3
file: b.go
-- old --
x
-- new --
y

`

func TestParse(t *testing.T) {
	m, err := parse("H1-owner", twoFiles)
	if err != nil {
		t.Fatal(err)
	}
	want := []hunk{{"a.go", "one\n\ttwo", ""}, {"a.go", "three", "3"}, {"b.go", "x", "y\n"}}
	if !slices.Equal(m.hunks, want) {
		t.Errorf("%q, want %q", m.hunks, want)
	}
	if m.title != "H1: the owner is not looked at" || m.pkg != "./container" || m.test != "TestOwner/a.*" || !slices.Equal(m.needs, []string{"root", "cgroup2"}) {
		t.Errorf("%+v", m)
	}
}

func TestParseRefuses(t *testing.T) {
	const head = "# title\npackage: ./x\ntest: TestX\nneeds: nothing\n"
	for name, text := range map[string]string{
		"nothing":     "",
		"no file":     head,
		"no old":      head + "file: a\n",
		"no title":    "package: ./x\ntest: TestX\nneeds: nothing\nfile: a\n-- old --\nx\n-- new --\n",
		"no change":   head + "file: a\n-- old --\nx\n-- new --\nx\n",
		"a stray key": head + "color: red\nfile: a\n-- old --\nx\n-- new --\n",
		"new first":   head + "file: a\n-- new --\nx\n",
		"old first":   head + "-- old --\nx\n-- new --\n",
	} {
		if m, err := parse("m", text); err == nil {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func TestVerdict(t *testing.T) {
	m := &mutant{test: "TestA/b.*/root"}
	for name, row := range map[string]struct {
		output string
		status int
		want   verdict
	}{
		"a failure":            {"    --- FAIL: TestA/bc/root (0.00s)\n", 1, failed},
		"no failure":           {"        --- PASS: TestA/bc/root (0.00s)\nPASS\n", 0, passed},
		"nothing was run":      {"--- PASS: TestA (0.00s)\nPASS\n", 0, broken},
		"another failed":       {"--- FAIL: TestA/xx/root (0.00s)\n", 1, broken},
		"it skipped":           {"--- SKIP: TestA/bc/root (0.00s)\nPASS\n", 0, broken},
		"one of two skipped":   {"--- PASS: TestA/bc/root (0.00s)\n--- SKIP: TestA/bc/root/x (0.00s)\n", 0, broken},
		"it timed out":         {"--- FAIL: TestA/bc/root (0.00s)\npanic: test timed out after 1s\n", 2, broken},
		"a panic":              {"--- FAIL: TestA/bc/root (0.00s)\npanic: nil map [recovered]\n", 2, broken},
		"the set-up is broken": {"security tests: no user\n", 1, broken},
	} {
		if got := m.judge(row.output, row.status); got != row.want {
			t.Errorf("%s: %s, want %s", name, got, row.want)
		}
	}
}
