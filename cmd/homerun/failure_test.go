package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/fault"
)

// TestHints: the hint of an error is found, however wrapped, and so are its step and
// its code.
func TestHints(t *testing.T) {
	inner := &fault.Error{Hint: "h", Step: "step 1", Code: "E"}
	for _, err := range []error{inner, fmt.Errorf("wrapped: %w", inner), &fault.Error{What: "outer", Cause: inner},
		errors.Join(errors.New("other"), inner)} {
		if got := fault.Hint(err); got != "h" {
			t.Errorf("%v: %q", err, got)
		}
	}
}

// TestErrorLine: the first line is one line of bounded length, whatever is in it,
// and says how many more errors there are.
func TestErrorLine(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, test := range []struct {
		err  error
		want string
	}{
		{errors.New("a\n\x1b[2J"), `run web: a\n\x1b[2J`},
		{errors.Join(errors.New("a"), errors.New("b"), errors.New("c")), "run web: a (and 2 more)"},
		{errors.Join(errors.New("a\nb")), `run web: a\nb`},
		{fmt.Errorf("%w: %w", errors.New("a"), errors.New("b")), "run web: a: b"},
		{errors.New("a" + long + ": no such file or directory"), ""},
	} {
		o := &options{verb: "run", id: "web"}
		got := o.line(test.err)
		if test.want != "" && got != test.want || len(got) > maxLine+10 {
			t.Errorf("%.100q: %.100q, want %q", test.err, got, test.want)
		}
		if len(got) > 1000 && !strings.HasSuffix(got, ": no such file or directory") {
			t.Errorf("...%q", got[len(got)-50:])
		}
	}
}
