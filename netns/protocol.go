package netns

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/plain"
)

// What the main program and homerun-net say to each other
//
// The helper reads one Request as JSON on descriptor 3 until its end, and
// writes one line of JSON, a Result, to descriptor 4: either the container is
// connected and every port is published, or nothing is left behind. From then
// on it takes one Command per connection on the socket ControlSocket in the
// state directory, up to the end of the connection's input, and answers with
// one Reply. It ends when the container's init does.

// Version is the version of this protocol. The helper refuses another one, so
// that a half-updated installation gets a clear error.
const Version = 1

// The files that the helper keeps in its state directory.
const (
	// ControlSocket is where it takes Commands.
	ControlSocket = "net.sock"
	// RecordFile holds the Record by which delete finds what is left.
	RecordFile = "net.json"
	// LogFile holds what the helper and the driver print.
	LogFile = "net.log"
)

// Request asks the helper to connect a container.
type Request struct {
	Version int `json:"version"`
	// Driver is Auto, Pasta or Slirp4netns.
	Driver Mode `json:"driver"`
	// PID is the container's init (or stage): its user and network namespace
	// are joined. The id maps must have been written.
	PID int `json:"pid"`
	// PIDFD is the number of an inherited descriptor that holds PID; 0 when
	// there is none and PID is to be opened. With it no recycled PID can be
	// taken for the container.
	PIDFD int `json:"pidfd,omitempty"`
	// StateDir is an absolute path of a directory of the caller's, mode 0700.
	StateDir string    `json:"stateDir"`
	Ports    []Forward `json:"ports,omitempty"`
	// MTU is in bytes; 0 means DefaultMTU.
	MTU int `json:"mtu,omitempty"`
	// IPv6 turns IPv6 on or off; nil follows the host's default route.
	IPv6 *bool `json:"ipv6,omitempty"`
	// Subnet is the container's IPv4 network; zero lets the helper choose.
	Subnet       netip.Prefix `json:"subnet,omitzero"`
	HostLoopback bool         `json:"hostLoopback,omitempty"`
}

// NewRequest is the request for a parsed command line.
func NewRequest(n Network, pid int, stateDir string, ports []Forward) Request {
	return Request{
		Version: Version, Driver: n.Mode, PID: pid, StateDir: stateDir, Ports: ports, MTU: n.MTU,
		IPv6: n.IPv6, Subnet: n.Subnet, HostLoopback: n.HostLoopback,
	}
}

// ParseRequest reads and checks a request.
func ParseRequest(data []byte) (Request, error) {
	var r Request
	if err := json.Unmarshal(data, &r); err != nil {
		return r, errorf(err.Error(), "homerun-net: request")
	}
	return r, r.Check()
}

// Check says what is wrong with a request.
func (r Request) Check() error {
	switch {
	case r.Version != Version:
		e := errorf(fmt.Sprintf("protocol version %d, want %d", r.Version, Version), "homerun-net: request")
		e.Hint = "homerun and homerun-net come from different builds: install both again"
		return e
	case r.Driver != Auto && r.Driver != Pasta && r.Driver != Slirp4netns:
		return errorf(fmt.Sprintf("unknown driver %q", r.Driver), "homerun-net: request")
	case r.PID <= 0 || r.PIDFD < 0:
		return errorf("no container process", "homerun-net: request")
	case !strings.HasPrefix(r.StateDir, "/") || strings.ContainsRune(r.StateDir, 0):
		return errorf("state directory is not an absolute path", "homerun-net: request")
	case r.MTU != 0 && (r.MTU < MinimumMTU || r.MTU > MaximumMTU):
		return errorf(fmt.Sprintf("mtu %d is out of range", r.MTU), "homerun-net: request")
	}
	if r.Subnet.IsValid() {
		if err := CheckSubnet(r.Subnet); err != nil {
			return err
		}
	}
	return CheckForwards(r.Ports)
}

// Result is the helper's answer to a Request.
type Result struct {
	OK bool `json:"ok"`
	// Driver is Pasta or Slirp4netns.
	Driver Mode `json:"driver,omitempty"`
	// Address and Address6 are the container's; Address6 is zero without IPv6.
	Address  netip.Addr `json:"address,omitzero"`
	Address6 netip.Addr `json:"address6,omitzero"`
	Gateway  netip.Addr `json:"gateway,omitzero"`
	// Device is the network device inside the container.
	Device string `json:"device,omitempty"`
	MTU    int    `json:"mtu,omitempty"`
	// DNS holds the driver's own name server addresses.
	DNS []netip.Addr `json:"dns,omitempty"`
	// Host is an address by which the container reaches the host, if any.
	Host netip.Addr `json:"host,omitzero"`
	// Processes are the helper and its driver.
	Processes []Process `json:"processes,omitempty"`
	// Note is one line that the user may want to know: why not pasta.
	Note string `json:"note,omitempty"`

	Failure
}

// Failure is an error on its way through JSON.
type Failure struct {
	Error  string `json:"error,omitempty"`
	Hint   string `json:"hint,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Err is the failure as an error, or nil.
func (f Failure) Err() error {
	if f.Error == "" {
		return nil
	}
	return &fault.Error{Why: f.Error, Hint: f.Hint, Code: f.Reason}
}

// of is the failure of an answer, or nil if that says ok: one that says neither is
// no success.
func (f Failure) of(ok bool) error {
	if err := f.Err(); err != nil || ok {
		return err
	}
	return &fault.Error{What: "network", Why: "homerun-net answers neither that it was done nor why not"}
}

// Err is why the container is not connected, or nil.
func (r Result) Err() error { return r.of(r.OK) }

// Err is why the command was not done, or nil.
func (r Reply) Err() error { return r.of(r.OK) }

// maxFailure bounds what is sent of an error, in bytes before it is made plain: a
// request that is refused may be in it.
const maxFailure = 1000

// NewFailure is an error in a form that can be sent, and shown.
func NewFailure(err error) Failure {
	return Failure{Error: plain.Short(err.Error(), maxFailure), Hint: fault.Hint(err), Reason: fault.Code(err)}
}

// Process is a process that must not be mistaken for a later one with its PID.
type Process struct {
	Name string `json:"name"`
	PID  int    `json:"pid"`
	// Start is field 22 of /proc/PID/stat, in clock ticks since boot.
	Start uint64 `json:"start"`
}

// Record is the content of RecordFile: the first process is the helper.
type Record struct {
	Version   int       `json:"version"`
	Processes []Process `json:"processes"`
}

// The operations of a Command.
const (
	OpList   = "list"
	OpAdd    = "add"
	OpRemove = "remove"
	OpStop   = "stop"
)

// Command asks a running helper for something.
type Command struct {
	Op string `json:"op"`
	// Ports are what to add or remove: all of them or none, unless a driver does
	// not give up what it has. Then OpList says what is left.
	Ports []Forward `json:"ports,omitempty"`
}

// ParseCommand reads and checks a command.
func ParseCommand(data []byte) (Command, error) {
	var c Command
	if err := json.Unmarshal(data, &c); err != nil {
		return c, errorf(err.Error(), "homerun-net: command")
	}
	switch c.Op {
	case OpList, OpStop:
		return c, nil
	case OpAdd, OpRemove:
		return c, CheckForwards(c.Ports)
	}
	return c, errorf(fmt.Sprintf("unknown operation %q", c.Op), "homerun-net: command")
}

// Reply is the answer to a Command. Ports is what is published now, in the
// order in which it was asked for.
type Reply struct {
	OK    bool        `json:"ok"`
	Ports []Published `json:"ports,omitempty"`

	Failure
}

// Published is a forward and who serves it.
type Published struct {
	Forward
	// By is "pasta", "pesto", "slirp4netns" or "builtin".
	By string `json:"by"`
	// Fixed forwards last as long as the container: this pasta cannot take
	// them back.
	Fixed bool `json:"fixed,omitempty"`
}
