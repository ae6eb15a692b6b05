// Package fault has the one error type of homerun: what could not be done, where that
// is asked for, why, and what helps. Whoever knows more wraps it in an error of its own
// or says it in Code; whoever shows errors has to know this one alone.
//
// The package is pure.
package fault

import (
	"iter"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Error is something that could not be done. Each field may be empty. It must not be
// changed once others have it.
type Error struct {
	// File is the document that is wrong, Line and Column where, from 1 on, Column in
	// bytes; 0 when not known.
	File         string
	Line, Column int
	// What says what was wanted (mount /srv on /data).
	What string
	// Place is where it is asked for: a JSON path in config.json (mounts[4].options[1]),
	// or the name of an option.
	Place string
	// Why is the reason, Errno's text last where there is one.
	Why   string
	Errno unix.Errno
	// Cause is what Unwrap gives, for errors.Is and errors.As; where it is nil, that is
	// Errno. Why has its words already.
	Cause error
	// Code tells the error from others, for programs: it is stable, and in the log.
	Code string
	// Step is the step of the plan that failed, in a line.
	Step string
	// Hint is advice, or empty; it may have several lines.
	Hint string
}

// Error is one line, which says all but Step and Hint: FILE:LINE:COLUMN: WHAT (PLACE):
// WHY, without what is empty.
func (e *Error) Error() string {
	what := e.What
	switch {
	case what == "":
		what = e.Place
	case e.Place != "":
		what += " (" + e.Place + ")"
	}
	file := e.File
	if e.Line > 0 {
		file = strings.TrimPrefix(file+":"+strconv.Itoa(e.Line)+":"+strconv.Itoa(e.Column), ":")
	}
	return join(join(file, what), e.Why)
}

// join puts a colon between two texts, unless one is empty.
func join(before, after string) string {
	if before == "" || after == "" {
		return before + after
	}
	return before + ": " + after
}

// Unwrap gives the cause, or the errno.
func (e *Error) Unwrap() error {
	if e.Cause != nil || e.Errno == 0 {
		return e.Cause
	}
	return e.Errno
}

// All are the Errors that an error consists of, as errors.As finds them: the outermost
// first, and of a list one after the other.
func All(err error) iter.Seq[*Error] {
	return func(yield func(*Error) bool) { walk(err, yield) }
}

// walk reports whether it came to the end.
func walk(err error, yield func(*Error) bool) bool {
	if e, ok := err.(*Error); ok && !yield(e) {
		return false
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		return walk(e.Unwrap(), yield)
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			if !walk(one, yield) {
				return false
			}
		}
	}
	return true
}
