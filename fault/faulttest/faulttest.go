// Package faulttest is for tests that hold each hint and each warning in the sources of
// a package against what a user is shown.
//
// # Theory of operation
//
// Sites finds them by syntax: what a field, a variable, a parameter, a result, a
// constant or a function called hint is given, and what is handed to a function called
// warn or appended to a list called warnings. The strings that stand there are the
// sites. Walk runs what provokes them, shows each error and each warning as the command
// does, and wants the fixed words of each site in that. So a hint that somebody adds is
// a failed test until a line is added that provokes it, and one that gets lost on its
// way to fault.Error is too.
package faulttest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/plain"
)

// Shown collects what is shown. It is not safe for concurrent use.
type Shown struct{ hints, warnings strings.Builder }

// Error is an error that reaches the command: by itself, from below others, and in a
// list.
func (s *Shown) Error(err error) {
	if err == nil {
		return
	}
	for _, err := range []error{err, fmt.Errorf("wrapped: %w", err), &fault.Error{What: "outer", Cause: err}} {
		list := fault.Details(err)
		if i := slices.IndexFunc(list, func(d fault.Detail) bool { return d.Name == "hint" }); i >= 0 {
			s.hints.WriteString(list[i].Lines())
		}
	}
}

// Warnings are warnings that reach the command, and beside them an error, which may be
// nil.
func (s *Shown) Warnings(list []string, err error) {
	for _, text := range list {
		s.warnings.WriteString(plain.Short(text, fault.MaxLine) + "\n")
	}
	s.Error(err)
}

// Warn is a function to which warnings are handed one by one.
func (s *Shown) Warn(text string) { s.Warnings([]string{text}, nil) }

// Err is the error of a call, to be handed to Error.
func Err[T any](_ T, err error) error { return err }

// Walk fails for each hint and each warning in the sources of the test's package that
// show does not show.
func Walk(t *testing.T, show func(*Shown)) {
	t.Helper()
	sites, err := Sites(".")
	if err != nil {
		t.Fatal(err)
	}
	if len(sites) == 0 {
		t.Error("the package has no hint and no warning: the test can go")
	}
	s := &Shown{}
	show(s)
	for _, site := range sites {
		text := s.hints.String()
		if site.Warning {
			text = s.warnings.String()
		}
		if !strings.Contains(text, site.Words) {
			t.Errorf("%s: nobody is shown this: %q. Provoke it in this test", site.At, site.Words)
		}
		for _, phrase := range []string{"not found", "o such file", "ot a directory", "ermission denied", "peration not permitted"} {
			if !site.Warning && strings.Contains(site.Words, phrase) {
				t.Errorf("%s: podman takes this hint for an error: %q", site.At, site.Words)
			}
		}
	}
}
