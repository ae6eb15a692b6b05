package container

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/homerun-oci/homerun/fault"
)

// TestKept: without homerun-log what was asked for in so many words is not left out, and
// the start fails then; what is kept because nobody said otherwise is, with a warning.
func TestKept(t *testing.T) {
	for driver, want := range map[string]bool{"": false, OutputFiles: true, OutputJournal: true} {
		var warnings []string
		r := &Runtime{Options{Helpers: Helpers{Log: "/nonexistent/homerun-log"}, Warn: func(s string) { warnings = append(warnings, s) }}}
		if kept := r.kept(&Output{Driver: driver}) != nil; kept != want || (len(warnings) > 0) == want {
			t.Errorf("%q: kept %t, %q", driver, kept, warnings)
		}
		if r.kept(nil) != nil {
			t.Errorf("%q: kept without an Output", driver)
		}
	}
	r := &Runtime{Options{Helpers: Helpers{Log: "/bin/sh"}}}
	if o := (&Output{}); r.kept(o) != o {
		t.Error("not kept, and the helper is there")
	}
}

// TestOutputPipes: pipes are in the place of streams that are not there, and a driver that
// is none is an error.
func TestOutputPipes(t *testing.T) {
	s := Streams{}
	p, err := (&Output{}).pipes(&s)
	if err != nil || s.In != nil || s.Out == nil || s.Err == nil || p.max != 2<<20 || slices.Contains(p.read[:], nil) {
		t.Fatalf("%+v, %+v, %v", p, s, err)
	}
	p.close()
	out := s.Out
	s = Streams{Out: out}
	if p, err = (&Output{MaxSize: 5}).pipes(&s); err != nil || s.Out != out || p.read[0] != nil || s.Err == nil || p.max != 5 {
		t.Errorf("%+v, %+v, %v", p, s, err)
	}
	p.close()
	if p, err := (*Output)(nil).pipes(&s); p != nil || err != nil {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := (&Output{Driver: "syslog"}).pipes(&s); err == nil || err.Error() != `unknown log driver "syslog": want journald or file` {
		t.Error(err)
	}
}

// TestLogHelperSays: what homerun-log says in its first line is the error, and the rest is what
// helps.
func TestLogHelperSays(t *testing.T) {
	for said, want := range map[string][2]string{"why": {"why", ""}, `why\nhelps\nmore`: {"why", "helps\nmore"}} {
		program := filepath.Join(t.TempDir(), "homerun-log")
		if err := os.WriteFile(program, fmt.Appendf(nil, "#!/bin/sh\nprintf '%s' >&4\nexit 1\n", said), 0o755); err != nil {
			t.Fatal(err)
		}
		c, err := made(&Runtime{Options{Root: filepath.Join(t.TempDir(), "root"), Helpers: Helpers{Log: program}}}, "web")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		err = c.showOutput(t.Context(), &keeping{Driver: OutputJournal}, nil, LogOptions{})
		if err == nil || err.Error() != want[0] || fault.Hint(err) != want[1] {
			t.Errorf("%s: %v, %q", said, err, fault.Hint(err))
		}
	}
}
