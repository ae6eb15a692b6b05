package container

import (
	"errors"
	"fmt"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/seccomp"
	"golang.org/x/sys/unix"
)

// listenerSocket is where the first process of a created container, which
// waits beside init, hands the seccomp listener to start.
const listenerSocket = "seccomp.sock"

// agent is who answers the calls that a filter with SCMP_ACT_NOTIFY stops.
type agent struct {
	filter *seccomp.Filter
	state  seccomp.State
	// socket is connected to the agent, receiver to the stage; -1 when not.
	socket, receiver int
}

// agentFor describes the agent of a filter, or is nil when it has none.
func (c *Container) agentFor(f *seccomp.Filter, b *bundle.Bundle, status string) *agent {
	if f == nil || !f.Listener {
		return nil
	}
	return &agent{filter: f, socket: -1, receiver: -1, state: seccomp.State{
		OCIVersion: b.Config.Version, ID: c.ID, Status: status, Bundle: b.Dir,
		Annotations: b.Config.Annotations, Metadata: f.ListenerMetadata}}
}

// dial connects to the agent before the program can run, so that one that is
// not there is found early.
func (a *agent) dial() (err error) {
	a.socket, err = seccomp.Dial(a.filter.ListenerPath)
	return err
}

// send passes the listener that fd is on, and says of which process it is.
func (a *agent) send(fd, pid, init int) error {
	a.state.PID, a.state.InitPID = pid, init
	return seccomp.SendTo(a.socket, a.filter.ListenerPath, fd, a.state)
}

func (a *agent) close() {
	if a != nil {
		closeOnce(&a.socket)
		closeOnce(&a.receiver)
	}
}

// connectAgent makes what a plan with a listener is started with. A container
// that is only created has its listening socket already.
func (l *launch) connectAgent() error {
	if l.agent == nil {
		return nil
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a socket for the seccomp listener: %w", err)
	}
	l.inputs[compile.InputNear], l.inputs[compile.InputFar] = pair[0], pair[1]
	if _, created := l.inputs[compile.InputListener]; !created {
		if err := l.agent.dial(); err != nil {
			return err
		}
		if pair, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return fmt.Errorf("make a socket for the seccomp listener: %w", err)
		}
		l.inputs[compile.InputListener], l.agent.receiver = pair[1], pair[0]
	}
	// Any descriptor keeps the number.
	l.inputs[compile.InputWatch], err = unix.FcntlInt(uintptr(pair[1]), unix.F_DUPFD_CLOEXEC, 0)
	return err
}

// passListener takes the listener from the stage and passes it on. When the
// stage ended without one, its report says why.
func (l *launch) passListener() error {
	unix.Close(l.inputs[compile.InputListener]) // or the end of the stage would not show
	unix.Close(l.inputs[compile.InputWatch])
	delete(l.inputs, compile.InputListener)
	delete(l.inputs, compile.InputWatch)
	fd, err := receiveFD(l.agent.receiver, "the seccomp listener")
	if errors.Is(err, errNoDescriptor) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return l.agent.send(fd, l.init, l.agent.state.InitPID)
}

// listen makes the socket to which start will connect.
func (c *Container) listen(l *launch) error {
	if l.agent == nil {
		return nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a socket: %w", err)
	}
	l.inputs[compile.InputListener] = fd
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: c.reach(listenerSocket)}); err == nil {
		err = unix.Listen(fd, 1)
	}
	if err != nil {
		return fmt.Errorf("make the socket %s: %w", listenerSocket, err)
	}
	return nil
}

// meet prepares start for a listener: it connects to the agent, and to the
// process that waits beside init. It is nil for a container without.
func (c *Container) meet(b *bundle.Bundle) (*agent, error) {
	if b.Seccomp == nil && b.Config.Annotations[compiledAnnotation] == "" {
		return nil, nil
	}
	if unix.Faccessat(c.fd, listenerSocket, unix.F_OK, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return nil, nil
	}
	f, err := c.filter(b)
	if err != nil {
		return nil, err
	}
	a := c.agentFor(f, b, Created)
	if a == nil {
		return nil, nil
	}
	if err := a.dial(); err != nil {
		return nil, err
	}
	if a.receiver, err = connectUnix(c.reach(listenerSocket)); err != nil {
		a.close()
		return nil, fmt.Errorf("container init is not running: %w", err)
	}
	return a, nil
}

// passOn takes the listener from who waits beside init, once init goes on.
func (a *agent) passOn(c *Container) error {
	if a == nil {
		return nil
	}
	fd, err := receiveFD(a.receiver, "the seccomp listener")
	if errors.Is(err, errNoDescriptor) {
		return nil // the outcome says why
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return a.send(fd, c.State.Pid, 0)
}
