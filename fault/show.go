package fault

import (
	"errors"
	"strings"

	"github.com/homerun-oci/homerun/plain"
	"golang.org/x/sys/unix"
)

// MaxLine is how many bytes of an error are shown in a line: conmon reads 8191 of all.
const MaxLine = 4000

// Detail is one of the further things to say of an error, below its line, and a field
// of a log entry.
type Detail struct{ Name, Text string }

// Lines shows a detail below the first line.
func (d Detail) Lines() string {
	prefix, text := map[string]string{"hint": "hint: "}[d.Name], ""
	for line := range strings.SplitSeq(d.Text, "\n") {
		text += "    " + prefix + plain.Short(line, MaxLine) + "\n"
		prefix = "      "
	}
	return text
}

// Details are the further errors, the step, and the hint.
func Details(err error) []Detail {
	var list []Detail
	if texts := List(err); len(texts) > 1 {
		for i := range texts {
			texts[i] = plain.Text(texts[i])
		}
		list = append(list, Detail{"more", strings.Join(texts[1:], "\n")})
	}
	if step := first(err, func(e *Error) string { return e.Step }); step != "" {
		list = append(list, Detail{"step", step})
	}
	if hint := Hint(err); hint != "" {
		list = append(list, Detail{"hint", hint})
	}
	return list
}

// List is an error as text, or several where it is a list. The line ends in the text
// of one are somebody's path or name.
func List(err error) []string {
	var list []string
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range several.Unwrap() {
			list = append(list, e.Error())
		}
	}
	if text := err.Error(); strings.Join(list, "\n") != text {
		return []string{text}
	}
	return list
}

// Hint is the outermost advice that an error has, or empty.
func Hint(err error) string {
	hint := first(err, func(e *Error) string { return e.Hint })
	if hint == "" && errors.Is(err, unix.EMFILE) {
		hint = "raise the limit on open files: ulimit -n, or LimitNOFILE= of a systemd unit"
	}
	return hint
}

// OneLine is a text about an error with the error's hint in the same line, for a
// warning, which has no others.
func OneLine(text string, err error) string {
	if hint := Hint(err); hint != "" {
		text += "; hint: " + strings.ReplaceAll(hint, "\n", "; ")
	}
	return text
}

// Code is the outermost code that an error has, or empty.
func Code(err error) string { return first(err, func(e *Error) string { return e.Code }) }

func first(err error, field func(*Error) string) string {
	for e := range All(err) {
		if text := field(e); text != "" {
			return text
		}
	}
	return ""
}
