package bus

import (
	"context"
	"errors"
	"strings"

	"github.com/godbus/dbus/v5"
)

// Names of D-Bus errors that have a meaning here.
const (
	errUnitExists = "org.freedesktop.systemd1.UnitExists"
	errNoSuchUnit = "org.freedesktop.systemd1.NoSuchUnit"
	errNoProcess  = "org.freedesktop.systemd1.UnixProcessIdUnknown"
)

// Error is what systemd, or the way to it, said.
type Error struct {
	// Op is what was tried, Unit with which unit (may be empty).
	Op, Unit string
	// Name is the D-Bus error's, where there was one.
	Name   string
	Reason string

	hint  string
	cause error
}

func (e *Error) Error() string {
	what := "systemd: " + e.Op
	if e.Unit != "" {
		what += " " + e.Unit
	}
	return what + ": " + e.Reason
}

// Unwrap gives a context's error, for errors.Is.
func (e *Error) Unwrap() error { return e.cause }

// Hint is a line for the user, to be printed after the error, or "".
func (e *Error) Hint() string { return e.hint }

// meanings words the errors that users meet. The rest comes in systemd's own
// words.
func meanings() map[string]struct{ reason, hint string } {
	return map[string]struct{ reason, hint string }{
		errUnitExists: {"a unit of this name exists", "another container, or its remains, has it: see systemctl --user status"},
		errNoProcess:  {"the container's process ended before it was moved", ""},
		"org.freedesktop.DBus.Error.UnixProcessIdUnknown": {"the container's process ended before it was moved", ""},
		"org.freedesktop.DBus.Error.ServiceUnknown": {
			"no service manager is on this bus",
			"dbus-user-session gives a bus that systemd is on; --cgroup-manager=cgroupfs works without it",
		},
		"org.freedesktop.DBus.Error.NameHasNoOwner":                   {"no service manager is on this bus", "--cgroup-manager=cgroupfs works without it"},
		"org.freedesktop.DBus.Error.AccessDenied":                     {"the service manager refuses this user", "without root only the user's own service manager takes containers: check XDG_RUNTIME_DIR"},
		"org.freedesktop.DBus.Error.InteractiveAuthorizationRequired": {"the service manager refuses this user", "without root only the user's own service manager takes containers: check XDG_RUNTIME_DIR"},
		"org.freedesktop.DBus.Error.NoReply":                          {"no answer from the service manager", ""},
		"org.freedesktop.DBus.Error.LimitsExceeded":                   {"the bus is at its limit of connections or messages", ""},
	}
}

// fault makes an *Error of what godbus or a context said.
func fault(op, unit string, err error) *Error {
	e := &Error{Op: op, Unit: unit, cause: err}
	var text string
	e.Name, text = details(err)
	switch known, ok := meanings()[e.Name]; {
	case ok:
		e.Reason, e.hint = known.reason, known.hint
	case errors.Is(err, context.DeadlineExceeded):
		e.Reason = "no answer in time"
	case errors.Is(err, dbus.ErrClosed):
		e.Reason = errLost.Error()
	default:
		e.Reason = safe(text)
	}
	return e
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
