package container

import (
	"context"
	"errors"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/launch"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/seccomp"
	"github.com/homerun-oci/homerun/seccomp/listener"
	"golang.org/x/sys/unix"
)

// agentFor describes the agent of a filter, or is nil when it has none.
func (c *Container) agentFor(f *seccomp.Filter, b *bundle.Bundle, status string) *listener.Agent {
	return listener.NewAgent(f, seccomp.State{OCIVersion: b.Config.Version, ID: c.ID, Status: status, Bundle: b.Dir, Annotations: b.Config.Annotations})
}

// connectAgent makes what a plan with a listener is started with. A container that
// is only created gets a socket to which start will connect.
func (s *starting) connectAgent(ctx context.Context) error {
	firstEnd, initEnd, err := descriptor.Pair("the seccomp listener", unix.SOCK_STREAM|unix.SOCK_NONBLOCK)
	if err != nil {
		return err
	}
	s.launch.SetInput(compile.InputFirstEnd, firstEnd)
	s.launch.SetInput(compile.InputInitEnd, initEnd)
	if s.waits {
		fd, err := listener.Listen(s.c.dir.DescriptorPath(listener.SocketName))
		if err != nil {
			return err
		}
		s.launch.SetInput(compile.InputListener, fd)
		return s.watch(firstEnd)
	}
	if err := s.agent.Dial(ctx); err != nil {
		return err
	}
	ours, theirs, err := descriptor.Pair("the seccomp listener", unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	s.agent.From(ours)
	s.launch.SetInput(compile.InputListener, theirs)
	return s.watch(theirs)
}

// watch keeps a number free for init's pidfd: any descriptor does.
func (s *starting) watch(open int) error {
	fd, err := unix.FcntlInt(uintptr(open), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		s.launch.SetInput(compile.InputWatch, fd)
	}
	return err
}

// passListener takes the listener from the stage and passes it on.
func (s *starting) passListener(ctx context.Context) error {
	if s.agent == nil {
		return nil
	}
	if !s.waits {
		s.launch.CloseInput(compile.InputListener) // or the end of the stage would not show
		s.launch.CloseInput(compile.InputWatch)
	}
	err := s.agent.Pass(s.processID(), s.c.State.Pid)
	if errors.Is(err, descriptor.ErrNone) {
		return s.withoutListener(ctx)
	}
	return err
}

// errNoListener is for a program that runs, and whose calls nobody answers.
var errNoListener = &fault.Error{What: "pass the seccomp listener on", Place: "linux.seccomp.listenerPath", Why: "the process that does it has ended before"}

// withoutListener is why there is none: the stage has ended, and its report says why; or
// only the first process has.
func (s *starting) withoutListener(ctx context.Context) (err error) {
	if s.launch != nil {
		err = s.launch.AwaitFailure()
	} else {
		err = s.awaitOutcome(ctx)
	}
	if err != nil && !errors.Is(err, launch.ErrDied) {
		return err
	}
	if id, e := proc.Of(s.processID()); e == nil && id.Alive() {
		return errNoListener
	}
	return launch.ErrDied
}

// processID is the id of the process that is started.
func (s *starting) processID() int {
	if s.launch != nil {
		return s.launch.Init()
	}
	return s.c.State.Pid
}

// meetAgent prepares for the listener of an init that waited.
func (s *starting) meetAgent(ctx context.Context) (err error) {
	s.agent.Close()
	s.agent, err = s.c.meet(ctx, s.bundle)
	return err
}

// meet prepares start for a listener: it connects to the agent, and to the
// process that waits beside init. It is nil for a container without.
func (c *Container) meet(ctx context.Context, b *bundle.Bundle) (*listener.Agent, error) {
	if b.Seccomp == nil && b.Config.Annotations[compiledAnnotation] == "" || !c.dir.Has(listener.SocketName) {
		return nil, nil
	}
	f, err := c.filter(ctx, b)
	if err != nil {
		return nil, err
	}
	a := c.agentFor(f, b, Created)
	if a == nil {
		return nil, nil
	}
	if err = a.Dial(ctx); err == nil {
		err = a.Meet(ctx, c.dir.DescriptorPath(listener.SocketName))
	}
	if err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}
