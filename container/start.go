package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroup"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/hook"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/stage"
	"github.com/homerun-oci/homerun/store"
	"golang.org/x/sys/unix"
)

// Start lets a created container run its program, and returns when it does, or
// with the reason why it cannot. It does not hang when init is dead: then
// nobody has the other ends of the FIFOs.
func (r *Runtime) Start(ctx context.Context, id string) error {
	c, err := r.Open(ctx, id)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.startable(); err != nil {
		return err
	}
	b, err := c.bundle()
	if err != nil {
		return err
	}
	if b.Config.Process == nil {
		return errNoProcess
	}
	ready, err := c.readiness()
	if err != nil {
		return err
	}
	defer ready.close()
	if err := c.runStart(ctx, b); err != nil {
		return err
	}
	c.Close()
	ready.await(ctx, r)
	return nil
}

// runStart does the steps that `create` left.
func (c *Container) runStart(ctx context.Context, b *bundle.Bundle) error {
	s := c.newStarting(b)
	defer s.closeHandles()
	stop := c.endWith(ctx)
	err := s.startSteps(ctx)
	if stop() && !hook.Failed(err) {
		err = ctx.Err()
	}
	if err != nil {
		return c.abandonStart(ctx, b, err)
	}
	return nil
}

// endWith ends init when the context ends: with it, all that is waited for while it
// starts. stop reports whether that happened.
func (c *Container) endWith(ctx context.Context) (stop func() bool) {
	init := c.State.Init()
	return proc.WhenDone(ctx, func() {
		if pidfd, err := init.Open(); err == nil {
			_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
			unix.Close(pidfd)
		}
	})
}

// startSteps does the steps.
func (s *starting) startSteps(ctx context.Context) error {
	c, b := s.c, s.bundle
	s.waits = true
	for _, step := range compile.Start(b.Config, mayListen(b)) {
		if c.runtime.options.Debug != nil {
			c.runtime.options.Debug(step.Action.Line())
		}
		if err := s.do(ctx, step.Action); err != nil {
			return err
		}
	}
	return nil
}

// errNoProcess: runtime.md, "Start".
var errNoProcess = errors.New("config.json has no process to start")

// startable refuses a container that does not wait.
func (c *Container) startable() error {
	status, err := c.Status()
	if err != nil {
		return err
	}
	switch status {
	case Created:
		return nil
	case Stopped:
		return &fault.Error{What: "cannot start a container that has stopped", Cause: ErrNotRunning, Hint: "a container runs once: delete it and make it anew, as homerun run --replace does"}
	case Creating:
		return &fault.Error{What: "cannot start a container that is not waiting for it: it is " + status, Cause: ErrStatus}
	case Paused:
		return &fault.Error{What: "cannot start a container in the paused state: resume it first", Cause: ErrStatus}
	default:
		return &fault.Error{What: "cannot start an already running container", Cause: ErrStatus}
	}
}

// abandonStart ends a container whose start failed. One that a hook stops is
// destroyed: runtime.md, "Lifecycle", steps 7 and 9. Any other stays to be
// deleted.
func (c *Container) abandonStart(ctx context.Context, b *bundle.Bundle, cause error) error {
	if !hook.Failed(cause) {
		ctx = context.WithoutCancel(ctx)
		_ = c.kill(ctx, unix.SIGKILL) // what runs already, and would be left
		_ = c.awaitEnd(ctx, time.Now())
		return cause
	}
	c.hooked = b
	return c.abandon(ctx, cause)
}

// release lets init go on, and opens before that what init's outcome comes through.
func (s *starting) release() (err error) {
	c := s.c
	if s.launch != nil { // our own ends of the FIFOs would hide that init closed its
		s.launch.CloseInput(compile.InputStart)
		s.launch.CloseInput(compile.InputOutcome)
	}
	if s.outcome, err = c.dir.OpenFile(store.OutcomeFIFO, unix.O_RDONLY|unix.O_NONBLOCK); err != nil {
		return fmt.Errorf("open the FIFO %s: %w", store.OutcomeFIFO, err)
	}
	return c.letGo()
}

// awaitOutcome waits for init's outcome: an operation that failed, or the end of
// the report when the program runs.
func (s *starting) awaitOutcome(ctx context.Context) error {
	c := s.c
	if err := c.awaitOutcome(ctx, s.outcome); err != nil {
		return err
	}
	r, err := stage.ReadRecord(s.outcome)
	c.dir.RemoveFile(store.StartFIFO)
	c.dir.RemoveFile(store.OutcomeFIFO)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.explainStart(r)
}

// outcomeUsual is how long init may take before start looks for what holds it,
// in milliseconds.
const outcomeUsual = 100

// awaitOutcome waits until the outcome can be read, and makes reading it wait
// from then on: the FIFO's end is an outcome, too. Init in a cgroup that is
// frozen meanwhile would let it wait for ever.
func (c *Container) awaitOutcome(ctx context.Context, outcome int) error {
	if err := unix.SetNonblock(outcome, false); err != nil {
		return fmt.Errorf("wait for init: %w", err)
	}
	if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(outcome), Events: unix.POLLIN}}, outcomeUsual); n > 0 {
		return nil
	}
	dir, err := c.openCgroup()
	if dir == nil || err != nil {
		return nil // nothing can freeze it; or its end is about to be read
	}
	defer dir.Close()
	frozen, err := dir.AwaitFrozen(ctx, outcome)
	if err == nil && frozen {
		err = cgroup.NotThawed(dir)
	}
	if err != nil && ctx.Err() == nil && !c.State.Init().Alive() {
		return nil
	}
	return err
}

// letGo writes the byte that init waits for.
func (c *Container) letGo() error {
	fd, err := c.dir.OpenFile(store.StartFIFO, unix.O_WRONLY|unix.O_NONBLOCK)
	if err != nil {
		return fmt.Errorf("container init is not running: %w", err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, []byte{0}); err != nil {
		return fmt.Errorf("let init go on: %w", err)
	}
	return nil
}

// explainStart words a failure after the wait, by the plan or by what was recorded of
// it.
func (s *starting) explainStart(r stage.Record) error {
	if s.launch != nil {
		return s.launch.Explain(r)
	}
	text, err := s.c.dir.ReadFile(store.StepsFile)
	var tail compile.Tail
	if err == nil {
		err = json.Unmarshal(text, &tail)
	}
	if err != nil {
		s.c.runtime.warn("why the start failed is not known any more: %v", err)
	}
	return tail.Explain(s.c.State.Steps-r.Index, r.Result)
}

// bundle reads the config that the container was made from, once.
func (c *Container) bundle() (*bundle.Bundle, error) {
	if c.config != nil {
		return c.config, nil
	}
	b, err := c.dir.Config(c.State.Bundle)
	c.config = b
	return b, err
}
