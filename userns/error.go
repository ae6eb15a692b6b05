package userns

import (
	"fmt"

	"github.com/homerun-oci/homerun/fault"
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

// invalid is for mistakes in config.json; line -1 means the whole list.
func invalid(kind Kind, line int, why string) error {
	return &fault.Error{Code: CodeMapping, Place: place(kind, line), Why: why}
}

func place(kind Kind, line int) string {
	if line < 0 {
		return kind.field()
	}
	return fmt.Sprintf("%s[%d]", kind.field(), line)
}

func outsideParent(kind Kind, line int, id uint64, parent []span) error {
	return &fault.Error{
		Code:  CodeParent,
		Place: place(kind, line),
		Why:   fmt.Sprintf("host %s %d is not mapped in the user namespace that the runtime is in (it has %s)", kind, id, describeSpans(parent)),
		Hint:  hintNested(kind),
	}
}

func helperMissing(kind Kind, facts *host.Facts) error {
	return &fault.Error{
		Code:  CodeHelper,
		Place: kind.field(),
		Why:   fmt.Sprintf("more than the own %s needs %s, which is in none of %s", kind, kind.program(), helperDirectories),
		Hint:  hintInstall(kind) + orSingle(kind, facts),
	}
}

func noNewPrivileges(kind Kind) error {
	return &fault.Error{
		Code:  CodeNoNewPrivs,
		Place: kind.field(),
		Why:   fmt.Sprintf("more than the own %s needs %s, which gains no privilege because no_new_privs is set: operation not permitted", kind, kind.program()),
		Hint:  HintNoNewPrivileges(),
	}
}

func powerless(kind Kind, why, hint string) error {
	return &fault.Error{
		Code:  CodeHelper,
		Place: kind.field(),
		Why:   fmt.Sprintf("more than the own %s needs %s, and %s: operation not permitted", kind, kind.program(), why),
		Hint:  hint,
	}
}

func notGranted(kind Kind, line int, m host.Mapping, facts *host.Facts) error {
	return &fault.Error{
		Code:  CodeRange,
		Place: place(kind, line),
		Why: fmt.Sprintf("host ids %s are not granted to %s in %s (granted: %s): operation not permitted",
			runText(m.HostID, m.Size), who(facts), grantFile(kind, facts),
			describeRanges(ranges(kind, facts))),
		Hint: HintGrant(kind, facts),
	}
}

func needsSetFCap() error {
	return &fault.Error{
		Code:  CodeSetFCap,
		Place: UID.field(),
		Why:   "uid 0 of the runtime's user namespace cannot be mapped without CAP_SETFCAP: operation not permitted",
		Hint:  "the kernel demands it since Linux 5.12; add CAP_SETFCAP to the outer container (podman run --cap-add SETFCAP)",
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
