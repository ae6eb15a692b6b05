package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/plain"
	"golang.org/x/sys/unix"
)

// fail reports an error and returns the exit status. The message goes to
// standard error in one write, since conmon reads it once, and its first line
// to the log, with the rest as fields. What is on standard error an engine shows
// to its user, or takes for the container's output: it gets the first line alone,
// which says all. A person at a terminal gets the step and the hint too.
func (o *options) fail(err error) int {
	line, rest := o.line(err), details(err)
	text := "homerun: " + line + "\n"
	if isTerminal(2) || o.logs(levelDebug) {
		for _, d := range rest {
			text += d.lines()
		}
	}
	say(text)
	o.logError(line, rest, err)
	return o.exitStatus()
}

// say writes to standard error, in one write where the kernel takes it whole. That
// nobody reads it any more is no reason to end: os.Stderr would end this process
// by SIGPIPE, and leave a container half made, or not deleted.
func say(text string) { _ = writeText(2, text) }

// writeText writes all of a text. An error is an errno.
func writeText(fd int, text string) error {
	for len(text) > 0 {
		n, err := unix.Write(fd, []byte(text))
		if err != nil && err != unix.EINTR {
			return err
		}
		text = text[max(n, 0):]
	}
	return nil
}

// maxLine is how many bytes a line has at most: conmon reads 8191 of all.
const maxLine = 4000

// line is the first line: who, what, and why.
func (o *options) line(err error) string {
	who := o.verb
	if o.id != "" {
		who += " " + o.id
	}
	if who != "" {
		who += ": "
	}
	list := errorList(err)
	who += list[0]
	if more := len(list) - 1; more > 0 {
		who += " (and " + strconv.Itoa(more) + " more)"
	}
	return plain.Short(who, maxLine)
}

// errorList is an error as text, or several where it is a list. The line ends in
// the text of one are somebody's path or name.
func errorList(err error) []string {
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

// exitStatus is 255 for exec, so that it cannot be confused with a command's
// own status, and 1 otherwise.
func (o *options) exitStatus() int {
	if o.verb == "exec" {
		return 255
	}
	return 1
}

// detail is one of the further things to say, and a field of a log entry.
type detail struct{ name, text string }

// lines shows a detail below the first line.
func (d detail) lines() string {
	prefix, text := map[string]string{"hint": "hint: "}[d.name], ""
	for line := range strings.SplitSeq(d.text, "\n") {
		text += "    " + prefix + plain.Short(line, maxLine) + "\n"
		prefix = "      "
	}
	return text
}

// details are the further errors, the step, and the hint.
func details(err error) []detail {
	var list []detail
	if texts := errorList(err); len(texts) > 1 {
		for i := range texts {
			texts[i] = plain.Text(texts[i])
		}
		list = append(list, detail{"more", strings.Join(texts[1:], "\n")})
	}
	if step := fault.Step(err); step != "" {
		list = append(list, detail{"step", step})
	}
	if h := hint(err); h != "" {
		list = append(list, detail{"hint", h})
	}
	return list
}

// refused is the part of config.json that an error is about, and its errno; empty
// and 0 where there is none.
func refused(err error) (place string, errno unix.Errno) {
	for e := range fault.All(err) {
		if e.Errno != 0 {
			return e.Place, e.Errno
		}
	}
	return "", 0
}

// hint is the advice that an error carries.
func hint(err error) string {
	switch h := fault.Hint(err); {
	case h != "":
		return h
	case errors.Is(err, unix.EMFILE):
		return "raise the limit on open files: ulimit -n, or LimitNOFILE= of a systemd unit"
	}
	return ""
}
