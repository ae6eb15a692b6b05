package userns

import (
	"fmt"

	"github.com/homerun-oci/homerun/host"
)

// The codes that go with errors into a JSON log. They are stable.
const (
	CodeMapping     = "E_USERNS_MAPPING"
	CodeParent      = "E_USERNS_PARENT"
	CodeHelper      = "E_SUBUID_HELPER"
	CodeRange       = "E_SUBUID_RANGE"
	CodeNoNewPrivs  = "E_NO_NEW_PRIVS"
	CodeSetFCap     = "E_USERNS_SETFCAP"
	CodeUnavailable = "E_USERNS_UNAVAILABLE"
)

// Error is a refusal: one complete line, a code for machines, and a hint that
// says what to do about it.
type Error struct {
	Code string
	Text string
	// Hint may be empty and may have several lines.
	Hint string
	// Err is the cause when there is one; Text has its words already.
	Err error
}

// Error returns the line.
func (e *Error) Error() string { return e.Text }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// invalid is for mistakes in config.json; line -1 means the whole list.
func invalid(kind Kind, line int, why string) error {
	return &Error{Code: CodeMapping, Text: place(kind, line) + ": " + why}
}

func place(kind Kind, line int) string {
	if line < 0 {
		return kind.field()
	}
	return fmt.Sprintf("%s[%d]", kind.field(), line)
}

func outsideParent(kind Kind, line int, id uint64, parent []span) error {
	return &Error{
		Code: CodeParent,
		Text: fmt.Sprintf("%s: host %s %d is not mapped in the user namespace that the runtime is in (it has %s)",
			place(kind, line), kind, id, describeSpans(parent)),
		Hint: hintNested(kind),
	}
}

func helperMissing(kind Kind, facts *host.Facts) error {
	return &Error{
		Code: CodeHelper,
		Text: fmt.Sprintf("%s: more than the own %s needs %s, which is in none of %s",
			kind.field(), kind, kind.program(), helperDirectories),
		Hint: hintInstall(kind) + orSingle(kind, facts),
	}
}

func noNewPrivileges(kind Kind) error {
	return &Error{
		Code: CodeNoNewPrivs,
		Text: fmt.Sprintf("%s: more than the own %s needs %s, which gains no privilege because no_new_privs is set: operation not permitted",
			kind.field(), kind, kind.program()),
		Hint: HintNoNewPrivileges(),
	}
}

func powerless(kind Kind, why, hint string) error {
	return &Error{
		Code: CodeHelper,
		Text: fmt.Sprintf("%s: more than the own %s needs %s, and %s: operation not permitted", kind.field(), kind, kind.program(), why),
		Hint: hint,
	}
}

func notGranted(kind Kind, line int, m host.Mapping, facts *host.Facts) error {
	return &Error{
		Code: CodeRange,
		Text: fmt.Sprintf("%s: host ids %s are not granted to %s in %s (granted: %s): operation not permitted",
			place(kind, line), runText(m.HostID, m.Size), who(facts), grantFile(kind, facts),
			describeRanges(ranges(kind, facts))),
		Hint: HintGrant(kind, facts),
	}
}

func needsSetFCap() error {
	return &Error{
		Code: CodeSetFCap,
		Text: UID.field() + ": uid 0 of the runtime's user namespace cannot be mapped without CAP_SETFCAP: operation not permitted",
		Hint: "the kernel demands it since Linux 5.12; add CAP_SETFCAP to the outer container (podman run --cap-add SETFCAP)",
	}
}

func describeSpans(spans []span) string {
	ms := make([]host.Mapping, len(spans))
	for i, s := range spans {
		ms[i] = host.Mapping{ContainerID: uint32(s.lo), Size: uint32(s.hi - s.lo)}
	}
	return Describe(ms)
}

// who names the caller, for people and for usermod.
func who(facts *host.Facts) string {
	if Granted(facts).Login != "" {
		return fmt.Sprintf("%q", Granted(facts).Login)
	}
	return "uid " + itoa(uint64(facts.Process.UID))
}

// grantFile is where the ranges come from.
func grantFile(kind Kind, facts *host.Facts) string {
	if Granted(facts).Source != "" {
		return Granted(facts).Source
	}
	return kind.file()
}
