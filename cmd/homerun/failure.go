package main

import (
	"strconv"

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
	line, rest := o.line(err), fault.Details(err)
	text := "homerun: " + line + "\n"
	if isTerminal(2) || o.logs(levelDebug) {
		for _, d := range rest {
			text += d.Lines()
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

// maxLine is how many bytes a line has at most.
const maxLine = fault.MaxLine

// line is the first line: who, what, and why.
func (o *options) line(err error) string {
	who := o.verb
	if o.id != "" {
		who += " " + o.id
	}
	if who != "" {
		who += ": "
	}
	list := fault.List(err)
	who += list[0]
	if more := len(list) - 1; more > 0 {
		who += " (and " + strconv.Itoa(more) + " more)"
	}
	return plain.Short(who, maxLine)
}

// exitStatus is 255 for exec and shell, so that it cannot be confused with a command's
// own status; 128 and its number for a run that a signal ended; and 1 otherwise.
func (o *options) exitStatus() int {
	if o.signaled != 0 {
		return 128 + int(o.signaled)
	}
	if o.verb == "exec" || o.verb == "shell" {
		return 255
	}
	return 1
}

// refused is the part of config.json that an error is about, and its errno; empty
// and 0 where there is none.
func refused(err error) (place string, errno unix.Errno) {
	for e := range fault.All(err) {
		if e.Place != "" && e.Errno != 0 {
			return e.Place, e.Errno
		}
	}
	return "", 0
}
