package netns

import (
	"fmt"

	"github.com/homerun-oci/homerun/fault"
)

// The codes of errors that callers have another way to try after.
const (
	// PortBusy: somebody else holds a port that is to be published.
	PortBusy = "port-busy"
	// PortPrivileged: the caller may not bind a port that low.
	PortPrivileged = "port-privileged"
	// PortAddress: the host has no such address to publish on.
	PortAddress = "port-address"
	// NoTun: /dev/net/tun cannot be used. No driver works without it.
	NoTun = "no-tun"
	// NoRoute: the host has no default route, which pasta takes its bearings from.
	NoRoute = "no-route"
	// Refused: a security module keeps the driver from its work.
	Refused = "refused"
	// NotInstalled: no such program in the directories that are searched.
	NotInstalled = "not-installed"
)

// errorf makes the error of a value that cannot be used: what it is, then why.
func errorf(why, what string, args ...any) *fault.Error {
	return &fault.Error{What: fmt.Sprintf(what, args...), Why: why}
}
