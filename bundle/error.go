package bundle

import (
	"strconv"
	"strings"
)

// Error tells what is wrong with a JSON document, and where.
type Error struct {
	// File is the document's name, if it has one.
	File string
	// Path is the JSON path of the value, such as mounts[4].options[1]; ""
	// is the whole document.
	Path string
	// Line and Column count from 1, Column in bytes; 0 when not known.
	Line, Column int
	// Reason is a short phrase.
	Reason string
	// Err is the reason that the file could not be read, if that is it.
	Err error
}

// Error returns one line: FILE:LINE:COLUMN: PATH: REASON, without those parts
// that are not known.
func (e *Error) Error() string {
	message := e.Reason
	if e.Path != "" {
		message = e.Path + ": " + message
	}
	place := e.File
	if e.Line > 0 {
		place = strings.TrimPrefix(place+":"+strconv.Itoa(e.Line)+":"+strconv.Itoa(e.Column), ":")
	}
	if place == "" {
		return message
	}
	return place + ": " + message
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Errors is what Check found, in the order of the checks; never empty.
type Errors []*Error

// Error returns one line for each error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find the first Error.
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, err := range e {
		list[i] = err
	}
	return list
}
