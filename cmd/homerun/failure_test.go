package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"
)

// TestShown: what an error has to say beside its line reaches the user, however deep it
// is: on standard error with --debug, and always in the log; and so do warnings.
func TestShown(t *testing.T) {
	inner := &fault.Error{What: "mount /a", Place: "mounts[1]", Why: "denied", Hint: "first\nsecond", Step: "step 1 of 2: open()", Code: "E_A"}
	for _, err := range []error{inner, fmt.Errorf("make: %w", inner), &fault.Error{What: "outer", Why: inner.Error(), Cause: inner},
		errors.Join(inner, errors.New("other"))} {
		for _, format := range []string{"text", "json"} {
			o := &options{verb: "run", id: "web", debug: true, logFormat: format, log: filepath.Join(t.TempDir(), "log")}
			shown := onStandardError(t, func() { o.warn("careful"); o.fail(err) })
			for _, want := range []string{"mount /a (mounts[1]): denied", "\n    step 1 of 2: open()\n    hint: first\n          second\n"} {
				if !strings.Contains(shown, want) || !strings.HasPrefix(shown, "homerun: run web: ") {
					t.Errorf("%v: standard error lacks %q: %q", err, want, shown)
				}
			}
			text, readErr := os.ReadFile(o.log)
			for _, want := range []string{"careful", "mount /a (mounts[1]): denied", "step 1 of 2: open()", "first", "second", "E_A"} {
				if readErr != nil || !strings.Contains(string(text), want) {
					t.Errorf("%v: the log lacks %q: %s", err, want, text)
				}
			}
		}
	}
	o := &options{verb: "run", logFormat: "text"}
	if shown := onStandardError(t, func() { o.warn("careful") }); shown != "homerun: warning: careful\n" {
		t.Errorf("the warning is %q", shown)
	}
}

// onStandardError is what do writes there.
func onStandardError(t *testing.T, do func()) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	before, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		err = unix.Dup3(int(file.Fd()), 2, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	do()
	if err := unix.Dup3(before, 2, 0); err != nil {
		t.Fatal(err)
	}
	unix.Close(before)
	text, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
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
