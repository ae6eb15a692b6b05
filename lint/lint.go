// Package lint finds in a config.json what is misspelt and what is unsafe. What cannot
// run at all, package bundle says, and what cannot run on a host, package compile; those
// are kinds of findings, too.
//
// The package is pure, and safe for concurrent use.
package lint

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/jsonread"
)

// Kind is what a finding is about.
type Kind string

// The kinds. They are stable.
const (
	// KindInvalid: no host can run it.
	KindInvalid Kind = "invalid"
	// KindUnknown: a member that the specification does not have.
	KindUnknown Kind = "unknown"
	// KindImpossible: this host, or this user, cannot run it.
	KindImpossible Kind = "impossible"
	// KindUnsafe: a container reaches further than it usually does.
	KindUnsafe Kind = "unsafe"
	// KindIgnored: part of it has no effect here.
	KindIgnored Kind = "ignored"
)

// IsError reports whether a finding is more than a warning.
func (k Kind) IsError() bool {
	return k == KindInvalid || k == KindUnknown || k == KindImpossible
}

// Finding is one thing to say about a config.json. Its JSON form is stable.
type Finding struct {
	Kind Kind `json:"kind"`
	// Place is the JSON path in config.json, as in mounts[4].options; empty where it
	// is about the whole, or not about it at all.
	Place string `json:"place,omitempty"`
	// Line and Column are where that begins, from 1 on; 0 where it is not there.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Message says what is wrong, in a line; Advice what helps.
	Message string `json:"message"`
	Advice  string `json:"advice,omitempty"`
}

// Locate fills in the lines and columns of findings, those of the nearest value around
// for what is not there, and puts them in that order.
func Locate(raw []byte, list []Finding) {
	for i := range list {
		if f := &list[i]; f.Line == 0 && f.Place != "" {
			f.Line, f.Column, _ = jsonread.Position(raw, f.Place)
		}
	}
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), strings.Compare(a.Place, b.Place))
	})
}

// In is a finding as compilers print theirs; file is the name of config.json.
func (f Finding) In(file string) string {
	severity := "warning"
	if f.Kind.IsError() {
		severity = "error"
	}
	text := file + ":"
	if f.Line > 0 {
		text += strconv.Itoa(f.Line) + ":" + strconv.Itoa(f.Column) + ":"
	}
	text += " " + severity + ": "
	if f.Place != "" {
		text += f.Place + ": "
	}
	return text + f.Message + " [" + string(f.Kind) + "]"
}
