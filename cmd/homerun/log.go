package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/userns"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// The final error goes to standard error and to the log. Podman reads a JSON
// log as a single object, so an error of create begins the log anew, whatever
// warnings were there; other verbs append, since containerd lets them share
// one. Warnings are written only when the level asks for them, and where there
// is a log only to that: callers take what is on standard error for the
// container's.

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
	case "", "error":
		return levelError, nil
	case "warn", "warning":
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

// logs tells whether entries of a level are wanted.
func (o *options) logs(l level) bool {
	asked, _ := parseLevel(o.logLevel)
	return o.debug || asked >= l
}

// warn says what is ignored or worked around, when somebody wants to know.
func (o *options) warn(text string) {
	switch {
	case !o.logs(levelWarning):
	case o.log == "":
		fmt.Fprintf(os.Stderr, "homerun: warning: %s\n", text)
	default:
		o.writeLog(levelWarning, text, "")
	}
}

// explain says what was decided, for --debug.
func (o *options) explain(text string) {
	switch {
	case !o.logs(levelDebug):
	case o.log == "":
		fmt.Fprintf(os.Stderr, "homerun: debug: %s\n", text)
	default:
		o.writeLog(levelDebug, text, "")
	}
}

// logError writes the final error.
func (o *options) logError(line string, err error) {
	if o.log == "" {
		return
	}
	code := ""
	var user *userns.Error
	if errors.As(err, &user) {
		code = user.Code
	}
	o.writeLog(levelError, line, code)
}

// writeLog writes one entry to a file, or to journald:IDENT or syslog:IDENT.
func (o *options) writeLog(l level, line, code string) {
	var err error
	switch kind, ident, _ := strings.Cut(o.log, ":"); kind {
	case "journald":
		err = send("/run/systemd/journal/socket", journalEntry(l, ident, line, code))
	case "syslog":
		err = send("/dev/log", syslogEntry(l, ident, line))
	default:
		err = o.appendLog(l, o.entry(l, line, code))
	}
	// By name: callers read the errno's words as the container's failure.
	var errno unix.Errno
	if errors.As(err, &errno) {
		fmt.Fprintf(os.Stderr, "homerun: write the log %s: %s\n", o.log, unix.ErrnoName(errno))
	}
}

func (o *options) appendLog(l level, entry string) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if o.verb == "create" && l == levelError {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(strings.TrimPrefix(o.log, "file:"), flags, 0o644)
	if err != nil {
		return unwrapPath(err)
	}
	defer f.Close()
	_, err = f.WriteString(entry)
	return err
}

// entry is one line of a file.
func (o *options) entry(l level, line, code string) string {
	now := time.Now().UTC().Format(time.RFC3339Nano)
	if o.logFormat != "json" {
		return now + " " + l.String() + ": " + line + "\n"
	}
	if code != "" {
		code = `,"code":` + jsonString(code)
	}
	return `{"level":"` + l.String() + `","msg":` + jsonString(line) + `,"time":"` + now + `"` + code + "}\n"
}

// journalEntry is one in journald's native protocol
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/); line has no newline in it.
func journalEntry(l level, ident, line, code string) string {
	text := "MESSAGE=" + line + "\nPRIORITY=" + strconv.Itoa(l.priority()) + "\nSYSLOG_IDENTIFIER=" + identifier(ident) + "\n"
	if code != "" {
		text += "HOMERUN_CODE=" + code + "\n"
	}
	return text
}

// syslogEntry is one as syslog(3) sends it, of the facility "user".
func syslogEntry(l level, ident, line string) string {
	return fmt.Sprintf("<%d>%s[%d]: %s", 1<<3|l.priority(), identifier(ident), os.Getpid(), line)
}

func identifier(ident string) string {
	if ident == "" || strings.ContainsAny(ident, "\n") {
		return "homerun"
	}
	return ident
}

// send sends one datagram.
func send(socket, text string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Sendto(fd, []byte(text), unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: socket})
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
