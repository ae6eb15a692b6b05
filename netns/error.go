package netns

import "fmt"

// Reason classifies an Error, for callers that have another way to try.
type Reason string

// The reasons that callers tell apart; an empty one is anything else.
const (
	// PortBusy: somebody else holds a port that is to be published.
	PortBusy Reason = "port-busy"
	// PortPrivileged: the caller may not bind a port that low.
	PortPrivileged Reason = "port-privileged"
	// PortAddress: the host has no such address to publish on.
	PortAddress Reason = "port-address"
	// NoTun: /dev/net/tun cannot be used. No driver works without it.
	NoTun Reason = "no-tun"
	// NoRoute: the host has no default route, which pasta takes its bearings from.
	NoRoute Reason = "no-route"
	// Refused: a security module keeps the driver from its work.
	Refused Reason = "refused"
	// NotInstalled: no such program in the directories that are searched.
	NotInstalled Reason = "not-installed"
)

// Error is one complete line, in the order who, what, why, and, when there is
// something to do about it, a hint for a line of its own.
type Error struct {
	Message string
	Hint    string
	Reason  Reason
}

// Error is the line without the hint.
func (e *Error) Error() string { return e.Message }

// HintText is the hint; callers ask for it through an interface of this one
// method so that they need not know this package.
func (e *Error) HintText() string { return e.Hint }

// errorf makes the error of a value that cannot be used: what it is, then why.
func errorf(why, what string, args ...any) *Error {
	return &Error{Message: fmt.Sprintf(what, args...) + ": " + why}
}
