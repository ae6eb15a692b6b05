package bundle

import (
	"strings"

	"github.com/homerun-oci/homerun/fault"
)

// Errors is what Check found, in the order of the checks; never empty.
type Errors []*fault.Error

// Error returns one line for each error.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find the first.
func (e Errors) Unwrap() []error {
	list := make([]error, len(e))
	for i, err := range e {
		list[i] = err
	}
	return list
}
