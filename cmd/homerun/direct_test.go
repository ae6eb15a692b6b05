package main

import (
	"context"
	"strings"
	"testing"
)

// TestDirect shows which command lines are run without cobra's own way, and
// which are left to it. None does anything: there is no such place.
func TestDirect(t *testing.T) {
	const place = "/no such place"
	for _, c := range []struct {
		args []string
		want string // the error, or "" when cobra is to answer
	}{
		{[]string{"spec", "-b", place}, "make " + place},
		{[]string{"--root", "run", "-log-level=warn", "spec", "-bundle", place}, "make " + place},
		{[]string{"--debug", "run", "-b", place, "x"}, "config.json of bundle " + place},
		{[]string{"run", "-b", place}, "want one argument"},
		{[]string{"run", "--rootfs", place, "--net", "spider", "--", "true"}, "spider"},
		{[]string{"kill", "x", "TERM", "y"}, "want one argument"},

		{[]string{"spec", "--help"}, ""},
		{[]string{"help", "spec"}, ""},
		{[]string{"spec", "--no-such-flag"}, ""},
		{[]string{"run", "-e", "A=b", "x"}, ""}, // for cobra to say what it goes with
		{[]string{"--", "spec", "-b", place}, ""},
		{[]string{"--version"}, ""},
		{[]string{"spek"}, ""},
		{[]string{"__complete", "spec", ""}, ""},
		{nil, ""},
	} {
		o := &options{plain: isPlain(c.args)}
		done, err := direct(context.Background(), newRootCommand(o, c.args), c.args)
		if done != (c.want != "") {
			t.Errorf("%q: done is %t, the error %v", c.args, done, err)
		}
		if done && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: the error is %v, want %q", c.args, err, c.want)
		}
	}
}
