package main

import (
	"errors"
	"os"
	"strings"

	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/process"
	"github.com/homerun-oci/homerun/rootfs"
	"github.com/homerun-oci/homerun/userns"
)

// fail reports an error and returns the exit status. The message goes to
// standard error in one write, since conmon reads it once, and its first line
// to the log.
func (o *options) fail(err error) int {
	line := o.line(err)
	text := "homerun: " + line + "\n"
	for _, detail := range details(err) {
		text += "    " + strings.ReplaceAll(detail, "\n", "\n          ") + "\n"
	}
	os.Stderr.WriteString(text)
	o.logError(line, err)
	return o.exitStatus()
}

// line is the first line: who, what, and why.
func (o *options) line(err error) string {
	who := o.verb
	if o.id != "" {
		who += " " + o.id
	}
	if who == "" {
		return firstLine(err)
	}
	return who + ": " + firstLine(err)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// exitStatus is 255 for exec, so that it cannot be confused with a command's
// own status, and 1 otherwise.
func (o *options) exitStatus() int {
	if o.verb == "exec" {
		return 255
	}
	return 1
}

// details are the further lines: the step, then the hint.
func details(err error) []string {
	var list []string
	if _, rest, ok := strings.Cut(err.Error(), "\n"); ok {
		list = append(list, strings.Split(rest, "\n")...)
	}
	var step *compile.StepError
	if errors.As(err, &step) {
		list = append(list, step.Step())
	}
	if h := hint(err); h != "" {
		list = append(list, "hint: "+h)
	}
	return list
}

// hint is the advice that an error carries.
func hint(err error) string {
	var (
		step *compile.StepError
		comp *compile.Error
		root *rootfs.Error
		proc *process.Error
		user *userns.Error
		net  *netns.Error
		any  interface{ Hint() string }
	)
	switch {
	case errors.As(err, &step):
		return step.Hint
	case errors.As(err, &comp):
		return comp.Hint
	case errors.As(err, &root):
		return root.Hint
	case errors.As(err, &proc):
		return proc.Hint
	case errors.As(err, &user):
		return user.Hint
	case errors.As(err, &net):
		return net.HintText()
	case errors.As(err, &any):
		return any.Hint()
	}
	return ""
}
