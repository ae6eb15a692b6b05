package listener

import (
	"context"
	"errors"
	"fmt"

	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/seccomp"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// A listener comes from the process that waits beside init (package compile says
// why), through a socket, and goes to the agent, which was connected to before the
// program could run: one that is not there is found early. Of a container that is
// only created that process listens at a socket of the container's directory, and
// `start` connects to it.

// Agent is who answers the calls that a filter with SCMP_ACT_NOTIFY stops. A nil
// Agent may be closed. It is a value of one caller: not safe for concurrent use.
type Agent struct {
	path  string
	state seccomp.State
	// socket is connected to the agent, source to whom the listener comes from; -1
	// when not.
	socket, source int
}

// NewAgent describes the agent of a filter, and what it hears of the container; it
// is nil when the filter has none. Close it.
func NewAgent(f *seccomp.Filter, s seccomp.State) *Agent {
	if f == nil || !f.Listener {
		return nil
	}
	s.Metadata = f.ListenerMetadata
	return &Agent{path: f.ListenerPath, state: s, socket: -1, source: -1}
}

// Dial connects to the agent, as descriptor.Connect does, and until ctx ends.
func (a *Agent) Dial(ctx context.Context) error {
	err := errNoPath
	if a.path != "" && a.path[0] != '@' {
		a.socket, err = descriptor.Connect(ctx, a.path)
	}
	if err != nil {
		return &fault.Error{What: "reach the seccomp agent", Place: listenerPath, Why: err.Error(), Cause: err}
	}
	return nil
}

// listenerPath is where config.json names the agent.
const listenerPath = "linux.seccomp.listenerPath"

// errNoPath is for an agent whose name would be one of the abstract name space.
var errNoPath = errors.New("not a path")

// From gives the socket that the listener comes through, which is the agent's from
// then on.
func (a *Agent) From(socket int) { a.source = socket }

// Meet connects to where Listen listens.
func (a *Agent) Meet(ctx context.Context, path string) (err error) {
	if a.source, err = descriptor.Connect(ctx, path); err != nil {
		return fmt.Errorf("container init is not running: %w", err)
	}
	return nil
}

// Pass takes the listener and passes it on, as that of a process of the container
// that has this init. Where the other side has ended without one, the error is
// descriptor.ErrNone.
func (a *Agent) Pass(pid, init int) error {
	fd, err := descriptor.Receive(a.source, "the seccomp listener")
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	a.state.PID, a.state.InitPID = pid, init
	if err := send(a.socket, fd, a.state.Message()); err != nil {
		return &fault.Error{What: fmt.Sprintf("send the seccomp listener to %q", a.path), Place: listenerPath, Why: err.Error(), Cause: err}
	}
	return nil
}

// Close gives up the connections.
func (a *Agent) Close() {
	if a != nil {
		descriptor.Close(&a.socket)
		descriptor.Close(&a.source)
	}
}

// SocketName is that of the socket at which the process beside a created init
// listens.
const SocketName = "seccomp.sock"

// Listen makes the socket at which the process beside a created init listens, at a
// path that ends with SocketName.
func Listen(path string) (socket int, err error) {
	if socket, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return -1, fmt.Errorf("make a socket: %w", err)
	}
	if err = unix.Bind(socket, &unix.SockaddrUnix{Name: path}); err == nil {
		err = unix.Listen(socket, 1)
	}
	if err != nil {
		unix.Close(socket)
		return -1, fmt.Errorf("make the socket %s: %w", SocketName, err)
	}
	return socket, nil
}
