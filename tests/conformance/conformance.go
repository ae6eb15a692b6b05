// Package conformance holds what other people's test suites said about a
// container runtime, and writes the document that shows it.
//
// # Theory of operation
//
// Who runs a suite (tests/oci, tests/runc, hack/engines, hack/conformance) makes a
// [Result] of each run and saves it in a directory, one file per suite and runtime.
// [Publish] takes them over into the directory results beside this file, which is
// part of the repository, and makes docs/conformance.md of that. Nothing else writes
// either, so the document holds what was measured, and what was not measured anew
// keeps its day.
//
// Why a test is not about homerun, or why the test is wrong, is known beforehand
// and stands in a document beside the suite: [ReadKnown]. A failure that is not in
// it is an error, and so is an entry whose test passes: such a result is kept, and
// not published. What is published has the reasons as they are written then.
package conformance

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Finding is one test that did not pass, and why.
type Finding struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// A Result is one run of a suite on one runtime.
type Result struct {
	Suite   string `json:"suite"`
	Version string `json:"version"`
	// Runtime is homerun, crun or runc.
	Runtime string `json:"runtime"`
	// RuntimeVersion is what the runtime says of itself.
	RuntimeVersion string `json:"runtime_version,omitempty"`
	// Date is the day of the run: 2006-01-02. Without one it is the file's.
	Date    string    `json:"date,omitempty"`
	Passed  int       `json:"passed"`
	Failed  []Finding `json:"failed"`
	Skipped []Finding `json:"skipped"`
	// Differing are those that end otherwise than on another runtime, as they may.
	Differing []Finding `json:"differing,omitempty"`
	// Own reports that the suite is homerun's own: other people's are only the
	// programs that it calls.
	Own bool `json:"own,omitempty"`
	// Unexplained reports that a failure, or that there is none, is against what is
	// known. Publish refuses such a result.
	Unexplained bool `json:"unexplained,omitempty"`
}

// Save writes the result into dir, which is made. An earlier one of this suite and
// runtime is replaced.
func (r Result) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// The form has lists, not null.
	r.Failed, r.Skipped = append([]Finding{}, r.Failed...), append([]Finding{}, r.Skipped...)
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	name := strings.NewReplacer("/", "-", " ", "-", ",", "", "'", "").Replace(r.Suite + "-" + r.Runtime + ".json")
	return os.WriteFile(filepath.Join(dir, name), append(text, '\n'), 0o644)
}

// Load reads all results of dir, in the order of suites and runtimes.
func Load(dir string) ([]Result, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	var all []Result
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var r Result
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if r.Suite == "" || r.Runtime == "" {
			return nil, fmt.Errorf("%s: no suite or no runtime", file)
		}
		if r.Date == "" {
			info, err := os.Stat(file)
			if err != nil {
				return nil, err
			}
			r.Date = info.ModTime().UTC().Format(time.DateOnly)
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Result) int {
		return cmp.Or(cmp.Compare(a.Suite, b.Suite), cmp.Compare(a.Runtime, b.Runtime))
	})
	return all, nil
}

// New is an empty result of today. says is what the runtime prints with --version:
// "crun version 1.28" and more lines, of which homerun's second has the commit.
func New(suite, version, runtime, says string) Result {
	first, rest, _ := strings.Cut(says, "\n")
	_, number, _ := strings.Cut(first, " version ")
	second, _, _ := strings.Cut(rest, "\n")
	if _, commit, ok := strings.Cut(second, "commit: "); ok && runtime == "homerun" {
		number += " of " + commit
	}
	return Result{Suite: suite, Version: version, Runtime: runtime, RuntimeVersion: number, Date: time.Now().UTC().Format(time.DateOnly)}
}

// Add takes in what a stream said.
func (r *Result) Add(points []Point) {
	for _, p := range points {
		switch {
		case p.Failed:
			r.Failed = append(r.Failed, Finding{p.Name, strings.TrimSpace(p.Text)})
		case p.Skipped != "":
			r.Skipped = append(r.Skipped, Finding{p.Name, p.Skipped})
		default:
			r.Passed++
		}
	}
}
