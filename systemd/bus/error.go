package bus

import (
	"context"
	"errors"
	"strings"

	"github.com/godbus/dbus/v5"
	"github.com/homerun-oci/homerun/fault"
)

// Names of D-Bus errors that have a meaning here.
const (
	errUnitExists = "org.freedesktop.systemd1.UnitExists"
	errNoSuchUnit = "org.freedesktop.systemd1.NoSuchUnit"
	errNoProcess  = "org.freedesktop.systemd1.UnixProcessIdUnknown"
	errNoService  = "org.freedesktop.DBus.Error.ServiceUnknown"
	errNoOwner    = "org.freedesktop.DBus.Error.NameHasNoOwner"
	// errNoReply is what a bus says when a manager left it with the question, as one does that
	// executes itself anew.
	errNoReply = "org.freedesktop.DBus.Error.NoReply"
)

// meanings words the errors that users meet. The rest comes in systemd's own
// words.
func meanings() map[string]struct{ reason, hint string } {
	return map[string]struct{ reason, hint string }{
		errUnitExists: {reason: "a unit of this name exists", hint: "another container, or its remains, has it: see systemctl --user status"},
		errNoProcess:  {reason: "the container's process ended before it was moved"},
		"org.freedesktop.DBus.Error.UnixProcessIdUnknown": {reason: "the container's process ended before it was moved"},
		errNoService: {
			reason: "no service manager is on this bus",
			hint:   "dbus-user-session gives a bus that systemd is on; --cgroup-manager=cgroupfs works without it",
		},
		errNoOwner: {reason: "no service manager is on this bus", hint: "--cgroup-manager=cgroupfs works without it"},
		"org.freedesktop.DBus.Error.AccessDenied":                     {reason: "the service manager refuses this user", hint: "without root only the user's own service manager takes containers: check XDG_RUNTIME_DIR"},
		"org.freedesktop.DBus.Error.InteractiveAuthorizationRequired": {reason: "the service manager refuses this user", hint: "without root only the user's own service manager takes containers: check XDG_RUNTIME_DIR"},
		errNoReply: {reason: "no answer from the service manager"},
		"org.freedesktop.DBus.Error.LimitsExceeded": {reason: "the bus is at its limit of connections or messages"},
	}
}

// failed makes an error of what godbus or a context said. Its code is the name of the
// D-Bus error, where there was one. That of a connection says all already.
func failed(op, unit string, err error) *fault.Error {
	var known *fault.Error
	if errors.As(err, &known) {
		return known
	}
	e := because(op, unit, "", "")
	name, text := details(err)
	e.Code, e.Cause = name, err
	switch known, ok := meanings()[name]; {
	case ok:
		e.Why, e.Hint = known.reason, known.hint
	case errors.Is(err, context.DeadlineExceeded):
		e.Why = "no answer in time"
	default:
		e.Why = safe(text)
	}
	return e
}

// because is an error with its reason; op is what was tried, unit with which unit (may
// be empty).
func because(op, unit, reason, hint string) *fault.Error {
	what := "systemd: " + op
	if unit != "" {
		what += " " + unit
	}
	return &fault.Error{What: what, Why: reason, Hint: hint}
}

// details takes a D-Bus error apart; name is empty for other errors.
func details(err error) (name, text string) {
	var e dbus.Error
	if errors.As(err, &e) {
		return e.Name, e.Error()
	}
	if err == nil {
		return "", ""
	}
	return "", err.Error()
}

func isUnknown(err error) bool {
	name, _ := details(err)
	return name == errNoSuchUnit
}

// safe keeps foreign words on one line, and apart from the phrases by which
// podman and docker tell a missing program.
func safe(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return strings.NewReplacer("not found", "not there", "No such file or directory", "ENOENT",
		"no such file or directory", "ENOENT").Replace(text)
}
