package container

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/launch"
	"github.com/homerun-oci/homerun/pidfile"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/store"
	"github.com/homerun-oci/homerun/userns/install"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// create is killed at any moment: by its caller's time limit, by a user, by the
// kernel. What it does is therefore written to state.json before it is done, as
// something to undo; and until the runtime has written init's process id and
// said so, init waits on a pipe whose end is this process, so init dies with
// it. What is left in any case is a directory that delete --force clears.

// Create makes a container whose init waits for Start. When it returns without
// an error, init is a child of the calling process, and nothing else is. Close
// the container.
func (r *Runtime) Create(ctx context.Context, request Request) (*Container, error) {
	if err := request.check(true); err != nil {
		return nil, err
	}
	p, err := r.prepare(ctx, &request, intent{create: true})
	if err != nil {
		return nil, err
	}
	s := p.starting
	defer s.close()
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	s.c.dir.Unlock()
	return s.c, nil
}

// Run makes a container and starts its program, a child of the calling process. ctx
// is for that alone: what runs goes on when it ends. The state is left when the
// program has ended: Process.Delete removes it.
func (r *Runtime) Run(ctx context.Context, request Request) (*Process, error) {
	p, err := r.runOnce(ctx, request)
	if errors.Is(err, store.ErrExists) && r.clearLeft(ctx, request.ID) {
		p, err = r.runOnce(ctx, request)
	}
	return p, err
}

func (r *Runtime) runOnce(ctx context.Context, request Request) (*Process, error) {
	if err := request.check(request.Detached); err != nil {
		return nil, err
	}
	if request.Bundle.Config.Process == nil {
		return nil, errNoProcess
	}
	prepared, err := r.prepare(ctx, &request, intent{})
	if err != nil {
		return nil, err
	}
	s := prepared.starting
	defer s.close()
	s.serves = true
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	s.c.dir.Unlock()
	result := s.launch.Result
	p := &Process{Pid: s.launch.Init(), Terminal: s.takeTerminal(), pidfd: s.launch.TakePidfd(), container: s.c, bundle: s.bundle,
		relay: s.relay, reap: s.reap, reaper: request.Reaper, kernel: s.kernel, Notes: result.Notes, Warnings: result.Warnings}
	s.relay, s.kernel = nil, nil
	s.c.bus = s.cgroup.TakeBus()
	p.attendedIn(s.launch)
	p.tellReady(&request)
	return p, nil
}

// run runs a container's plan. On an error nothing of the container is left, and
// it is closed.
func (s *starting) run(ctx context.Context) error {
	err := s.launch.Run(ctx)
	if err == nil {
		return nil
	}
	s.mappers.Abandon()
	if s.network != nil {
		s.network.Abandon() // our child, for which nobody else waits
	}
	if s.c.dir.IsOpen() {
		err = s.c.abandon(ctx, s.c.explainOOM(err, s.bundle.Config))
	}
	s.c.Close()
	return err
}

// keepConfig copies config.json, which exec, start and delete need; the bundle
// may have changed by then.
func (c *Container) keepConfig(b *bundle.Bundle) error {
	if err := c.dir.WriteFile(store.ConfigFile, b.Raw); err != nil {
		return fmt.Errorf("keep config.json: %w", err)
	}
	return nil
}

// unwrap takes the errno out of an *os.PathError, whose words repeat ours.
func unwrap(err error) error {
	if p, ok := err.(*os.PathError); ok {
		return p.Err
	}
	return err
}

// record writes init's process id, and all that other verbs need, while init
// makes its mounts; init runs no program before. What undoes steps that a does not name
// is recorded in those, as their lines say.
func (s *starting) record(a action.Record) error {
	c, again := s.c, s.c.State.Pid != 0
	if !again {
		if err := s.recordInit(a.PidFile); err != nil {
			return err
		}
	}
	c.State.Undo.Add(a.Along...)
	if a.Config {
		if err := c.keepConfig(s.bundle); err != nil {
			return err
		}
	}
	if err := c.save(); err != nil {
		return err
	}
	if a.Complete {
		if err := c.dir.WriteInit(&c.State); err != nil {
			return err
		}
		if s.serves { // a program may be killed, and its scope gone, before Wait is called
			s.kernel = c.watchOOM()
		}
	}
	if again {
		return nil
	}
	if err := s.pidFile.Create(); err != nil {
		return err
	}
	return s.pidFile.Write(c.State.Pid)
}

// recordInit finds what identifies init.
func (s *starting) recordInit(pidFile string) error {
	c, pid := s.c, s.launch.Init()
	init, err := proc.Of(pid)
	if err != nil {
		return unreadStart(err)
	}
	c.State.Pid, c.State.StartTime = init.Pid, init.StartTime
	if err := c.recordNamespaces(); err != nil {
		return err
	}
	if s.launch.Stays() {
		if err := c.recordWaiter(s.launch.First()); err != nil {
			return err
		}
	}
	if err := c.recordMembers(s.bundle.Config); err != nil {
		return err
	}
	return s.planPidFile(pidFile)
}

// unreadStart says that init's start time cannot be read. Only where the process is gone has it died.
func unreadStart(err error) error {
	switch {
	case errors.Is(err, proc.ErrHidden):
		return err
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESRCH):
		return fmt.Errorf("%w: read its start time: %v", launch.ErrDied, err)
	}
	return fmt.Errorf("read init's start time: %w", err)
}

// planPidFile prepares the pid file, if one is asked for.
func (s *starting) planPidFile(name string) (err error) {
	if s.pidFile, err = pidfile.New(name); err != nil || s.pidFile == nil {
		return err
	}
	temporary, err := s.pidFile.Temporary()
	if err != nil {
		return err
	}
	s.c.State.Undo = append(s.c.State.Undo, action.RemoveFile{Path: temporary})
	return nil
}

// mapIDs begins the id maps of init, or of the first process.
func (s *starting) mapIDs(a action.MapIDs) (err error) {
	pid := s.launch.Init()
	if pid == 0 {
		pid = s.launch.First()
	}
	s.mappers, err = install.Start(pid, a.Maps, a.Waits)
	return err
}

// awaitMaps waits for who writes the id maps. They fail where init has, and it says why.
func (s *starting) awaitMaps(ctx context.Context) error {
	err := s.mappers.Await(ctx, s.launch.Facts)
	if err != nil {
		return cmp.Or(s.launch.Failed(), err)
	}
	return nil
}

// abandon undoes a container whose making failed, and returns why it did. Once
// its hooks have begun, the last ones undo what they did: runtime.md,
// "Lifecycle", steps 3 to 9.
func (c *Container) abandon(ctx context.Context, cause error) error {
	undo := context.WithoutCancel(ctx)
	if err := c.destroy(undo); err != nil {
		c.runtime.warn("clean up after a failure: %v", err)
	} else if c.hooked != nil {
		c.poststop(undo, c.hooked)
	}
	return cause
}

// IsTaken reports whether an error is about an id that another container has.
func IsTaken(err error) bool { return errors.Is(err, store.ErrExists) }

// errNoConfig is for a Request that was not filled.
var errNoConfig = errors.New("the request has no bundle with a config")

// check refuses a request that no plan can be made of. detached: nobody takes a
// terminal.
func (r *Request) check(detached bool) error {
	if r.Bundle == nil || r.Bundle.Config == nil {
		return errNoConfig
	}
	return checkTerminal(r.Bundle.Config.Process, r.ConsoleSocket, detached)
}
