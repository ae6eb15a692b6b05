package systemd

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Service is a unit that runs one container by a runtime in the foreground:
// systemd.service(5).
type Service struct {
	Description string
	// Command is what is run, as lines of words: the first word is the program's
	// absolute path. Reload is the command of `systemctl reload`; nil for none.
	Command, Reload [][]string
	// Directory is the working directory. It may be missing unless Needed says that it
	// must not.
	Directory string
	Needed    bool
	// Notifies says that READY=1 comes, from the main process.
	Notifies bool
	// Restart is that of the unit; StopSignal is empty for SIGTERM.
	Restart, StopSignal string
	// StopSeconds is how long the end may take, and negative for ever. WatchdogSeconds is
	// 0 for no watchdog.
	StopSeconds, WatchdogSeconds int
	// Socket is the unit whose sockets are passed on; empty without.
	Socket string
	// Paths must be mounted.
	Paths []string
	// System says that it is for the machine's manager, not for a user's.
	System bool
}

// Text is the unit's file. Its KillMode leaves it to the runtime to pass the signal on:
// the container's processes and the runtime's helpers are killed when that has ended. What
// ends by a signal that asks for it ends well, and reports that as 128 and its number.
func (s Service) Text() string {
	var u unitText
	u.section("Unit")
	u.add("Description", specifiers(s.Description))
	if s.System {
		u.add("Wants", "network-online.target")
		u.add("After", "network-online.target")
	}
	if s.Socket != "" {
		u.add("Requires", s.Socket)
		u.add("After", s.Socket)
	}
	for _, p := range s.Paths {
		u.add("RequiresMountsFor", specifiers(word(p)))
	}
	u.section("Service")
	u.add("Type", choose(s.Notifies, "notify", "exec"))
	u.add("NotifyAccess", choose(s.Notifies, "main", "none"))
	u.add("Delegate", "yes")
	u.add("KillMode", "mixed")
	u.add("OOMPolicy", "stop")
	u.add("WorkingDirectory", choose(s.Needed, "", "-")+specifiers(s.Directory))
	u.add("ExecStart", commandLine(s.Command))
	if s.Reload != nil {
		u.add("ExecReload", commandLine(s.Reload))
	}
	if s.StopSignal != "" {
		u.add("KillSignal", s.StopSignal)
	}
	u.add("TimeoutStopSec", stopTime(s.StopSeconds))
	u.add("SuccessExitStatus", "129 130 141 143")
	u.add("Restart", s.Restart)
	if s.WatchdogSeconds > 0 {
		u.add("WatchdogSec", fmt.Sprint(s.WatchdogSeconds))
	}
	u.section("Install")
	if s.Socket != "" {
		u.add("Also", s.Socket)
	} else {
		u.add("WantedBy", choose(s.System, "multi-user.target", "default.target"))
	}
	return u.String()
}

// stopTime words Service.StopSeconds. To systemd (257, config_parse_sec_fix_0) 0 is for
// ever.
func stopTime(seconds int) string {
	switch {
	case seconds < 0:
		return "infinity"
	case seconds == 0:
		return "1ms"
	}
	return fmt.Sprint(seconds)
}

// Socket is a unit that listens for a service of the same name: systemd.socket(5).
type Socket struct {
	Description string
	// Streams and Datagrams are what is listened on, by TCP and UDP: a port, or an
	// address and a port.
	Streams, Datagrams []string
}

// Text is the unit's file.
func (s Socket) Text() string {
	var u unitText
	u.section("Unit")
	u.add("Description", specifiers(s.Description))
	u.section("Socket")
	for _, a := range s.Streams {
		u.add("ListenStream", a)
	}
	for _, a := range s.Datagrams {
		u.add("ListenDatagram", a)
	}
	u.section("Install")
	u.add("WantedBy", "sockets.target")
	return u.String()
}

// unitText is the file of a unit.
type unitText struct{ strings.Builder }

func (u *unitText) section(name string) {
	if u.Len() > 0 {
		u.WriteString("\n")
	}
	u.WriteString("[" + name + "]\n")
}

func (u *unitText) add(key, value string) { u.WriteString(key + "=" + value + "\n") }

func choose(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

// Writable says why a unit cannot have a text as a word of a command, or with raw as a
// directory: systemd takes lines of UTF-8, no NUL, and of a directory all of the line as
// it is but for specifiers. A program's path may have nothing that is quoted.
func Writable(text string, raw bool) error {
	switch {
	case !utf8.ValidString(text), strings.ContainsRune(text, 0):
		return fmt.Errorf("%q: systemd takes UTF-8 only", text)
	case raw && (strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f }) || strings.ContainsAny(text, "\"'\\") || strings.TrimSpace(text) != text):
		return fmt.Errorf("%q: systemd takes no such path: it has a control character, a quote or a backslash, or ends in a space", text)
	}
	return nil
}

// commandLine is a value of ExecStart and its like: systemd.service(5), "Command lines". One line of
// the file for one of words.
func commandLine(lines [][]string) string {
	var b strings.Builder
	for i, line := range lines {
		if i > 0 {
			b.WriteString(" \\\n   ")
		}
		for j, w := range line {
			if i+j == 0 { // no variables are looked for in the program's path
				b.WriteString(specifiers(word(w)))
				continue
			}
			b.WriteString(" " + strings.ReplaceAll(specifiers(word(w)), "$", "$$"))
		}
	}
	return b.String()
}

// specifiers keeps systemd from replacing what follows a %: systemd.unit(5).
func specifiers(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// word is one word for who splits at spaces, and knows quotes and C's escapes:
// systemd.syntax(7), "Quoting". What is not known to be plain is quoted: a ; alone, and
// what begins a line with # or ;, mean something else otherwise.
func word(s string) string {
	plain := func(c rune) bool {
		return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-_./:=,+@%$[]", c)
	}
	if s != "" && !strings.ContainsFunc(s, func(c rune) bool { return !plain(c) }) {
		return s
	}
	var b strings.Builder
	for _, c := range s {
		switch {
		case c == '"', c == '\\':
			b.WriteRune('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c < ' ', c == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteRune(c)
		}
	}
	return `"` + b.String() + `"`
}
