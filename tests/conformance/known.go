package conformance

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Known holds why tests fail, by their names: from a document in which headings
// "### `name`" stand above the reasons. Tests that have one reason share a heading.
type Known map[string]Reason

// A Reason is why a test fails.
type Reason struct {
	Why string
	// Points are the beginnings of all that it may fail at: a list after the text.
	Points []string
	// Sometimes it passes: its heading says "(sometimes)".
	Sometimes bool
}

// ReadKnown reads such a document. What is below a heading of a higher level, before
// the first test, is for people.
func ReadKnown(file string) (Known, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	known := Known{}
	for _, section := range strings.Split(string(text), "\n### ")[1:] {
		section, _, _ = strings.Cut(section, "\n## ")
		heading, reason, _ := strings.Cut(section, "\n")
		reason, list, _ := strings.Cut(reason, "\n- ")
		r := Reason{Why: strings.Join(strings.Fields(reason), " "), Sometimes: strings.HasSuffix(heading, "(sometimes)")}
		if list = strings.TrimSpace(list); list != "" {
			r.Points = strings.Split(list, "\n- ")
		}
		if len(r.Points) == 0 {
			return nil, fmt.Errorf("%s: %q does not list what fails", file, heading)
		}
		names := quoted(heading)
		if r.Why == "" || len(names) == 0 {
			return nil, fmt.Errorf("%s: %q names no test or gives no reason", file, heading)
		}
		for _, name := range names {
			if _, twice := known[name]; twice {
				return nil, fmt.Errorf("%s: %q has two reasons", file, name)
			}
			known[name] = r
		}
	}
	return known, nil
}

// saying stands between what a test failed at and what homerun said.
const saying = " -- "

// covers reports whether all that a test failed at is known. Where homerun said something,
// a point has the beginning of that too.
func (r Reason) covers(failures []string) bool {
	return r.Why != "" && !slices.ContainsFunc(failures, func(failure string) bool {
		return !slices.ContainsFunc(r.Points, func(point string) bool {
			return strings.HasPrefix(failure, point) && (strings.Contains(point, saying) || !strings.Contains(failure, saying))
		})
	})
}

// quoted returns what stands between each pair of backquotes.
func quoted(text string) (names []string) {
	for i, part := range strings.Split(text, "`") {
		if i%2 == 1 {
			names = append(names, part)
		}
	}
	return names
}

// Explain puts the reasons into a result, and returns an error that names failures
// without a reason, and reasons without a failure. The result takes note of that.
func (k Known) Explain(r *Result) error {
	var wrong []string
	failed := map[string]bool{}
	for i, f := range r.Failed {
		failed[f.Name] = true
		if !k[f.Name].covers(strings.Split(f.Reason, "\n")) {
			wrong = append(wrong, f.Name+" fails:\n"+f.Reason)
			continue
		}
		r.Failed[i].Reason = k[f.Name].Why
	}
	for name, reason := range k {
		if !failed[name] && !reason.Sometimes {
			wrong = append(wrong, name+" passes or did not run, though a reason for its failure is written down")
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	r.Unexplained = true
	return fmt.Errorf("%s, %s:\n%s", r.Suite, r.Runtime, strings.Join(wrong, "\n"))
}
