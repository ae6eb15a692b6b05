// Package bites proves that the security tests mean something. Each file of
// ../mutants takes one defence out of homerun and names the test that must
// then fail. mutants/README.md has the form of such a file.
//
// TestMutants looks at the files alone. With -bites each defence is taken out,
// one by one, and the tests run, on this host or in the test machine.
package bites

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// repository is where the paths in a mutant begin.
const repository = "../../.."

// mutant is a defence taken out, and the test that must see it.
type mutant struct {
	name, title string
	// pkg and test are what `go test -run` takes; test is anchored, element
	// by element.
	pkg, test string
	// needs are words for what the test cannot do without.
	needs []string
	hunks []hunk
}

// hunk replaces a text that occurs once in a file.
type hunk struct{ file, before, after string }

// parse reads a mutant.
func parse(name, text string) (*mutant, error) {
	m := &mutant{name: name}
	var in *string // what lines are added to
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = strings.TrimSpace(value)
		switch {
		case line == "-- old --\n":
			if len(m.hunks) == 0 {
				return nil, errors.New("-- old -- before file:")
			}
			if h := m.hunks[len(m.hunks)-1]; h.before != "" { // the same file again
				m.hunks = append(m.hunks, hunk{file: h.file})
			}
			in = &m.hunks[len(m.hunks)-1].before
		case line == "-- new --\n":
			if in == nil {
				return nil, errors.New("-- new -- before -- old --")
			}
			in = &m.hunks[len(m.hunks)-1].after
		case strings.HasPrefix(line, "file: "):
			m.hunks, in = append(m.hunks, hunk{file: value}), nil
		case in != nil:
			*in += line
		case strings.HasPrefix(line, "# ") && m.title == "":
			m.title = strings.TrimSpace(line[2:])
		case !m.set(key, value):
			return nil, fmt.Errorf("line %q", line)
		}
	}
	return m, m.complete()
}

// set sets one of the fields that the head of a file has.
func (m *mutant) set(key, value string) bool {
	switch key {
	case "package":
		m.pkg = value
	case "test":
		m.test = value
	case "needs":
		m.needs = strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == ',' })
	default:
		return key == "" || strings.HasPrefix(key, "#")
	}
	return true
}

func (m *mutant) complete() error {
	for i := range m.hunks {
		h := &m.hunks[i]
		h.before, h.after = strings.TrimSuffix(h.before, "\n"), strings.TrimSuffix(h.after, "\n")
		if h.before == "" || h.before == h.after {
			return fmt.Errorf("%s: nothing is replaced", h.file)
		}
	}
	if m.title == "" || m.pkg == "" || m.test == "" || len(m.needs) == 0 || len(m.hunks) == 0 {
		return errors.New("a title (#), package, test, needs or file is missing")
	}
	return nil
}

// mutated has the text of each file that the mutant changes.
func (m *mutant) mutated() (map[string]string, error) {
	files := map[string]string{}
	for _, h := range m.hunks {
		text, ok := files[h.file]
		if !ok {
			read, err := os.ReadFile(filepath.Join(repository, h.file))
			if err != nil {
				return nil, err
			}
			text = string(read)
		}
		if n := strings.Count(text, h.before); n != 1 {
			return nil, fmt.Errorf("%s has the old text %d times, not once:\n%s", h.file, n, h.before)
		}
		files[h.file] = strings.Replace(text, h.before, h.after, 1)
	}
	return files, nil
}

// mutants reads all of them.
func mutants(t *testing.T) []*mutant {
	t.Helper()
	paths, err := filepath.Glob("../mutants/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no mutants: %v", err)
	}
	var list []*mutant
	for _, p := range paths {
		name := strings.TrimSuffix(filepath.Base(p), ".txt")
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		m, err := parse(name, string(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		list = append(list, m)
	}
	return list
}

// TestMutants: each mutant still fits the code, names a test that is there, and
// has a row in the table of README.md, as each row has its mutants.
func TestMutants(t *testing.T) {
	list := mutants(t)
	for _, m := range list {
		t.Run(m.name, func(t *testing.T) {
			if _, err := m.mutated(); err != nil {
				t.Error(err)
			}
			if err := m.findTest(); err != nil {
				t.Error(err)
			}
			if m.place() == unknown {
				t.Errorf("needs: %v: known are %v", m.needs, words())
			}
		})
	}
	if *full && !t.Failed() {
		takeOut(t, list)
	}
	checkTable(t, list)
}

// findTest looks for the test function in the package's test files.
func (m *mutant) findTest() error {
	files, err := filepath.Glob(filepath.Join(repository, m.pkg, "*_test.go"))
	if err != nil {
		return err
	}
	top, _, _ := strings.Cut(m.test, "/")
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if strings.Contains(string(text), "\nfunc "+top+"(t *testing.T)") {
			return nil
		}
	}
	return fmt.Errorf("no func %s in the tests of %s", top, m.pkg)
}

// checkTable holds the mutants against the two tables of README.md before its
// audits. The last column names the mutants of a row, or says why there is none.
func checkTable(t *testing.T, list []*mutant) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## Advisories\n")
	table, _, _ = strings.Cut(table, "\n## Audits\n")
	named := map[string]bool{}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != columns || strings.HasPrefix(cells[0], "---") || isHead(cells) {
			if strings.HasPrefix(line, "|") && len(cells) != columns {
				t.Errorf("README.md: %d columns, want %d: %s", len(cells), columns, line)
			}
			continue
		}
		checkRow(t, cells, list, named)
	}
	for _, m := range list {
		// A row may be written after its mutant, so this is for a whole run.
		if !testing.Short() && *only == "" && !named[m.name] {
			t.Errorf("mutant %s has no row in README.md", m.name)
		}
	}
}

func isHead(cells []string) bool { return strings.TrimSpace(cells[len(cells)-1]) == "Mutant" }

// columns of the table: advisory, what went wrong, test, why not here, mutant.
const columns = 5

func checkRow(t *testing.T, cells []string, list []*mutant, named map[string]bool) {
	row, last := strings.TrimSpace(cells[0]), strings.TrimSpace(cells[columns-1])
	names := quoted(last)
	if len(names) == 0 && !strings.HasPrefix(last, "none: ") {
		t.Errorf("README.md: %s: the mutant is %q, want names in backquotes, or none: and why", row, last)
	}
	for _, name := range names {
		named[name] = true
		i := slices.IndexFunc(list, func(m *mutant) bool { return m.name == name })
		switch {
		case i < 0:
			t.Errorf("README.md: %s: there is no mutant %s", row, name)
		case list[i].place() == nowhere && !strings.Contains(last, "nowhere in CI"):
			t.Errorf("README.md: %s: %s needs %v, so its row must say \"nowhere in CI\"", row, name, list[i].needs)
		}
	}
}

// quoted are the words in backquotes.
func quoted(text string) []string {
	var words []string
	for i, part := range strings.Split(text, "`") {
		if i%2 == 1 {
			words = append(words, part)
		}
	}
	return words
}
