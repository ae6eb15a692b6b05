package tests

import (
	"fmt"
	"regexp"
	"runtime"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// script is one script while it runs.
type script = testscript.TestScript

// runnerKey is where a script has its runner.
type runnerKey struct{}

func runnerOf(ts *script) *runner { return ts.Value(runnerKey{}).(*runner) }

// match compares a text with a regular expression.
func match(ts *script, neg bool, expression, text string) {
	e, err := regexp.Compile("(?m)" + expression)
	ts.Check(err)
	if e.MatchString(text) == neg {
		ts.Fatalf("match for %q: %v, in\n%s", expression, neg, text)
	}
}

// scriptLog is what a session shows, and testscript.T in a process that is no test.
type scriptLog struct {
	text   strings.Builder
	failed bool
}

// Log adds a line.
func (l *scriptLog) Log(args ...any) { fmt.Fprintln(&l.text, args...) }

// Fatal logs and ends the script.
func (l *scriptLog) Fatal(args ...any) {
	l.Log(args...)
	l.FailNow()
}

// FailNow ends the script.
func (l *scriptLog) FailNow() {
	l.failed = true
	runtime.Goexit()
}

// Skip is for no script of ours.
func (l *scriptLog) Skip(args ...any) { l.Fatal(args...) }

// Parallel does nothing: a session has one script.
func (l *scriptLog) Parallel() {}

// Verbose reports whether a script shows what it does when it goes well.
func (l *scriptLog) Verbose() bool { return true }

// Run runs the script in a goroutine, which ends when it fails.
func (l *scriptLog) Run(_ string, f func(testscript.T)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(l)
	}()
	<-done
}

func (l *scriptLog) fail(text string) {
	l.failed = true
	l.Log(text)
}
