package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/plain"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// The final error goes to standard error and to the log. Warnings are about what
// config.json asks for and does not get, which the specification wants logged,
// so they are shown unless --log-level error says otherwise: on standard error,
// or where there is a log only there, since callers take what is on standard
// error for the container's.
//
// Podman reads the log of create and of exec as a single JSON object. So their
// warnings are kept until it is known how the verb ends, and become a field of
// the error; and an error of create begins the log anew, which may hold that of
// an earlier attempt. Other verbs append, since containerd lets them share one.

// level is how much --log-level and --debug ask for.
type level int

const (
	levelError level = iota
	levelWarning
	levelInfo
	levelDebug
)

// priority is a level's in syslog(3).
func (l level) priority() int { return [...]int{3, 4, 6, 7}[l] }

func (l level) String() string { return [...]string{"error", "warning", "info", "debug"}[l] }

func parseLevel(name string) (level, error) {
	switch name {
	case "error":
		return levelError, nil
	case "", "warn", "warning":
		return levelWarning, nil
	case "info":
		return levelInfo, nil
	case "debug", "trace":
		return levelDebug, nil
	}
	return levelError, fmt.Errorf("unknown --log-level %q: want error, warn, info, debug or trace", name)
}

// checkLog refuses what the flags must not be.
func (o *options) checkLog() error {
	if o.logFormat != "text" && o.logFormat != "json" {
		return fmt.Errorf("unknown --log-format %q: want text or json", o.logFormat)
	}
	_, err := parseLevel(o.logLevel)
	return err
}

// logs reports whether entries of a level are wanted.
func (o *options) logs(l level) bool {
	asked, _ := parseLevel(o.logLevel)
	return o.debug || asked >= l
}

// warn says what is ignored or worked around, once: a run that is tried again
// without what the host forbids comes upon the same.
func (o *options) warn(text string) {
	text = plain.Short(text, maxLine)
	if slices.Contains(o.warned, text) {
		return
	}
	o.warned = append(o.warned, text)
	switch {
	case !o.logs(levelWarning):
	case o.log == "":
		say("homerun: warning: " + text + "\n")
	case o.verb == "create" || o.verb == "exec":
		o.warnings = append(o.warnings, text)
	default:
		o.writeLog(levelWarning, text, nil)
	}
}

// logWarnings writes the warnings of a verb that succeeds.
func (o *options) logWarnings() {
	for _, text := range o.warnings {
		o.writeLog(levelWarning, text, nil)
	}
	o.warnings = nil
}

// explain says what was decided and what is done, for --debug, with the time since
// the verb began.
func (o *options) explain(text string) {
	text = plain.Short(text, maxLine)
	if o.log != "" {
		o.writeLog(levelDebug, text, nil)
		return
	}
	say(fmt.Sprintf("homerun: debug: %8.3f ms  %s\n", float64(time.Since(o.begun).Microseconds())/1000, text))
}

// logError writes the final error: its first line, and the rest as fields.
func (o *options) logError(line string, rest []fault.Detail, err error) {
	if o.log == "" {
		return
	}
	if code := fault.Code(err); code != "" {
		rest = append(rest, fault.Detail{Name: "code", Text: code})
	}
	if len(o.warnings) > 0 {
		rest = append(rest, fault.Detail{Name: "warnings", Text: strings.Join(o.warnings, "\n")})
	}
	o.writeLog(levelError, line, rest)
}

// writeLog writes one entry to a file, or to journald:IDENT or syslog:IDENT.
func (o *options) writeLog(l level, line string, rest []fault.Detail) {
	var err error
	switch kind, ident, _ := strings.Cut(o.log, ":"); kind {
	case "journald":
		err = send("/run/systemd/journal/socket", journalEntry(l, ident, line, rest))
	case "syslog":
		err = send("/dev/log", syslogEntry(l, ident, line, rest))
	default:
		err = o.appendLog(l, o.entry(l, line, rest))
	}
	// By name: callers read the errno's words as the container's failure.
	var errno unix.Errno
	if errors.As(err, &errno) {
		say("homerun: write the log " + plain.Text(o.log) + ": " + unix.ErrnoName(errno) + "\n")
	}
}

func (o *options) appendLog(l level, entry string) error {
	// A FIFO that nobody reads is an error (ENXIO), and one that is full too
	// (EAGAIN): the container does not wait for its log.
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND | unix.O_NONBLOCK | unix.O_NOCTTY
	if o.verb == "create" && l == levelError {
		flags |= os.O_TRUNC
	}
	fd, err := unix.Open(strings.TrimPrefix(o.log, "file:"), flags|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return writeText(fd, entry)
}

// entry is one line of a file.
func (o *options) entry(l level, line string, rest []fault.Detail) string {
	now := time.Now().UTC().Format(time.RFC3339Nano)
	if o.logFormat != "json" {
		return now + " " + l.String() + ": " + line + inText(rest) + "\n"
	}
	fields := ""
	for _, d := range rest {
		fields += `,"` + d.Name + `":` + jsonString(d.Text)
	}
	return `{"level":"` + l.String() + `","msg":` + jsonString(line) + `,"time":"` + now + `"` + fields + "}\n"
}

// inText shows fields in a line of text: hint="use rbind".
func inText(rest []fault.Detail) string {
	text := ""
	for _, d := range rest {
		text += " " + d.Name + "=" + strconv.Quote(d.Text)
	}
	return text
}

// journalEntry is one in journald's native protocol
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/), with each field in one line.
func journalEntry(l level, ident, line string, rest []fault.Detail) string {
	text := "MESSAGE=" + line + "\nPRIORITY=" + strconv.Itoa(l.priority()) + "\nSYSLOG_IDENTIFIER=" + identifier(ident) + "\n"
	for _, d := range rest {
		text += "HOMERUN_" + strings.ToUpper(d.Name) + "=" + plain.Text(strings.ReplaceAll(d.Text, "\n", "; ")) + "\n"
	}
	return text
}

// syslogEntry is one as syslog(3) sends it, of the facility "user".
func syslogEntry(l level, ident, line string, rest []fault.Detail) string {
	return fmt.Sprintf("<%d>%s[%d]: %s%s", 1<<3|l.priority(), identifier(ident), os.Getpid(), line, inText(rest))
}

func identifier(ident string) string {
	if ident == "" || strings.ContainsAny(ident, "\n") {
		return "homerun"
	}
	return ident
}

// send sends one datagram. A queue that is full, since nobody reads it, is an error:
// the container does not wait for its log.
func send(socket, text string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Sendto(fd, []byte(text), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, &unix.SockaddrUnix{Name: socket})
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
