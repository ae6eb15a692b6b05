package container

import (
	"errors"
	"fmt"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/seccomp"
	"github.com/homerun-oci/homerun/seccomp/listener"
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
	a.socket, err = listener.Dial(a.filter.ListenerPath)
	return err
}

// send passes the listener that fd is on, and says of which process it is.
func (a *agent) send(fd, pid, init int) error {
	a.state.PID, a.state.InitPID = pid, init
	return listener.Send(a.socket, a.filter.ListenerPath, fd, a.state)
}

func (a *agent) close() {
	if a != nil {
		closeOnce(&a.socket)
		closeOnce(&a.receiver)
	}
}

// connectAgent makes what a plan with a listener is started with. A container that
// is only created gets a socket to which start will connect.
func (s *starting) connectAgent() error {
	near, far, err := socketPair("the seccomp listener", unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	s.launch.SetInput(compile.InputNear, near)
	s.launch.SetInput(compile.InputFar, far)
	if s.waits {
		return s.listen(near)
	}
	if err := s.agent.dial(); err != nil {
		return err
	}
	ours, theirs, err := socketPair("the seccomp listener", unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	s.agent.receiver = ours
	s.launch.SetInput(compile.InputListener, theirs)
	return s.watch(theirs)
}

// watch keeps a number free for init's pidfd: any descriptor does.
func (s *starting) watch(any int) error {
	fd, err := unix.FcntlInt(uintptr(any), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		s.launch.SetInput(compile.InputWatch, fd)
	}
	return err
}

func socketPair(what string, kind int) (ours, theirs int, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, fmt.Errorf("make a socket for %s: %w", what, err)
	}
	return pair[0], pair[1], nil
}

// passListener takes the listener from the stage and passes it on. When the
// stage ended without one, its report says why.
func (s *starting) passListener() error {
	if s.agent == nil {
		return nil
	}
	if !s.waits {
		s.launch.CloseInput(compile.InputListener) // or the end of the stage would not show
		s.launch.CloseInput(compile.InputWatch)
	}
	fd, err := receiveFD(s.agent.receiver, "the seccomp listener")
	if errors.Is(err, errNoDescriptor) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return s.agent.send(fd, s.processID(), s.agent.state.InitPID)
}

// processID is the id of the process that is started.
func (s *starting) processID() int {
	if s.launch != nil {
		return s.launch.Init()
	}
	return s.c.State.Pid
}

// listen makes the socket to which start will connect.
func (s *starting) listen(near int) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a socket: %w", err)
	}
	s.launch.SetInput(compile.InputListener, fd)
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: s.c.dir.DescriptorPath(listenerSocket)}); err == nil {
		err = unix.Listen(fd, 1)
	}
	if err != nil {
		return fmt.Errorf("make the socket %s: %w", listenerSocket, err)
	}
	return s.watch(near)
}

// meet prepares start for a listener: it connects to the agent, and to the
// process that waits beside init. It is nil for a container without.
func (c *Container) meet(b *bundle.Bundle) (*agent, error) {
	if b.Seccomp == nil && b.Config.Annotations[compiledAnnotation] == "" {
		return nil, nil
	}
	if !c.dir.Has(listenerSocket) {
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
	if a.receiver, err = connectUnix(c.dir.DescriptorPath(listenerSocket)); err != nil {
		a.close()
		return nil, fmt.Errorf("container init is not running: %w", err)
	}
	return a, nil
}
