package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

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
	o.logError(line)
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

// logError writes one entry to the log. Podman reads a JSON log as a single
// object, so create begins it anew; other verbs append, since containerd lets
// them share one.
func (o *options) logError(line string) {
	if o.log == "" {
		return
	}
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if o.verb == "create" {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(strings.TrimPrefix(o.log, "file:"), flags, 0o644)
	if err != nil {
		fmt.Fprintf(os.Stderr, "homerun: open the log %s: %v\n", o.log, err)
		return
	}
	defer f.Close()
	f.WriteString(o.entry(line))
}

// entry is one line of the log.
func (o *options) entry(line string) string {
	now := time.Now().UTC().Format(time.RFC3339Nano)
	if o.logFormat == "json" {
		return `{"level":"error","msg":` + jsonString(line) + `,"time":"` + now + "\"}\n"
	}
	return now + " error: " + line + "\n"
}

// jsonString quotes a string for JSON.
func jsonString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
