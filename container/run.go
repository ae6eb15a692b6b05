package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroupv2/oom"
	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/launch"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/store"
	"github.com/homerun-oci/homerun/systemd/notify"
	"golang.org/x/sys/unix"
)

// Process is a running init, or a process that Exec made, that is the caller's
// child.
type Process struct {
	// Pid is its id as the caller sees it.
	Pid int
	// Terminal is the runtime's end of its terminal, the caller's to close; nil where
	// it has none, or a console socket got it.
	Terminal *os.File
	// Notes and Warnings tell what was decided without being asked, and what
	// is ignored.
	Notes, Warnings []string
	// OOMKills counts the processes of the container that the kernel killed
	// for memory, once a process that Run made has ended.
	OOMKills uint64

	// mu lets Signal be called while Wait ends.
	mu     sync.Mutex
	pidfd  int
	status unix.WaitStatus
	// endedBy is what EndBy was told.
	endedBy unix.Signal
	relay   *notify.Relay
	// reaper: Pid is homerun's own init, and the program its child.
	reaper bool
	// reap: orphans of the container come to us, and Wait takes them.
	reap bool
	// taken has the outcome of takeOrphans; nil where that was not begun.
	taken chan error
	// ended: it was seen that the process has. waited: status has how.
	ended, waited bool
	// attendant is the process that ends init when the calling process has ended, of
	// which the end of alive tells it: a pipe's, which closes with that. 0 where there
	// is none, and then alive is no descriptor.
	attendant, alive int
	// kernel counts for the container of a process that Run made, from before that
	// runs. relayed is there while somebody attends to the process.
	kernel    *oom.Watch
	relayed   func()
	container *Container
	bundle    *bundle.Bundle
}

// Init names the container's init, for as long as the host runs: PID:START, with its start
// time in clock ticks.
func (p *Process) Init() string { return initText(p.container.State.Init()) }

func initText(init proc.ID) string { return fmt.Sprint(init.Pid, ":", init.StartTime) }

// Wait waits for the process to end, and returns its exit status: 128 and the
// signal's number when a signal ended it. Meanwhile it passes on to the service
// manager what the program reports. When ctx ends before, its error is returned,
// the process goes on, and Wait may be called again, as after the end, when it says
// the same. One goroutine at a time waits.
func (p *Process) Wait(ctx context.Context) (int, error) {
	if p.waited {
		return store.NewExit(p.status).Status, nil
	}
	p.attend()
	if !p.ended && p.bundle != nil {
		p.container.closeBus()
	}
	p.reopen()
	known := p.ended
	for !p.ended && p.pidfd >= 0 {
		p.takeOrphans()
		ended, err := p.kernel.Wait(ctx, p.pidfd, -1)
		switch {
		case err != nil && ctx.Err() != nil:
			return -1, ctx.Err()
		case ended || err != nil: // then the wait for its status will do
			p.ended, known = true, ended
		}
	}
	if known {
		p.release() // it ends beside what follows
	}
	if p.bundle != nil {
		p.OOMKills = p.kernel.Kills
		p.container.keepOOMKills(ctx, p.OOMKills)
	}
	status, err := p.reapEnded()
	p.release()
	p.leave()
	p.forget()
	return status, err
}

// reopen opens a child again that Close gave up, so that a context ends a wait for it, too.
func (p *Process) reopen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || p.pidfd >= 0 {
		return
	}
	if fd, err := unix.PidfdOpen(p.Pid, 0); err == nil && isChild(fd) {
		p.pidfd = fd
	} else if err == nil {
		unix.Close(fd)
	}
}

// EndsWithin reports whether the process ends in the given time and before ctx does, for a caller that
// has something to start beside one that runs for long. Wait comes after it in
// either case. When a signal interrupts the waiting thread it asks for ctx's error, which one without Done may have.
func (p *Process) EndsWithin(ctx context.Context, limit time.Duration) bool {
	p.attend()
	for deadline := time.Now().Add(limit); !p.ended && p.pidfd >= 0; {
		var err error
		p.ended, err = p.kernel.Wait(ctx, p.pidfd, max(time.Until(deadline), 0))
		if err != nil || !time.Now().Before(deadline) {
			break
		}
	}
	return p.ended
}

// attend begins what goes on beside the process: it is counted whom the kernel
// kills for memory in a container that Run made, and passed on what the program
// reports.
func (p *Process) attend() {
	if p.relayed != nil {
		return
	}
	if p.kernel == nil {
		p.kernel = oom.New("", false, 0)
	}
	p.relayed = p.relaying()
}

// leave ends that. What is left to pass on is.
func (p *Process) leave() {
	if p.kernel != nil {
		p.kernel.Close()
		p.kernel = nil
	}
	if p.relayed != nil {
		p.relayed()
		p.relayed = nil
	}
}

// reapEnded takes the exit status, of a child that has ended or will.
func (p *Process) reapEnded() (int, error) {
	var err error
	if p.taken == nil {
		err = p.take()
	} else {
		err = <-p.taken
		p.taken <- err // for who asks again
	}
	if err != nil {
		return -1, fmt.Errorf("wait for process %d: %w", p.Pid, err)
	}
	p.waited = true
	return store.NewExit(p.status).Status, nil
}

// takeOrphans has orphans taken, beside the caller, as soon as they end: each has a
// process id until then. That goes on until the process itself is among them.
func (p *Process) takeOrphans() {
	if !p.reap || p.taken != nil {
		return
	}
	taken := make(chan error, 1)
	p.taken = taken
	go func() { taken <- p.take() }()
}

// take waits for the process, a child, and meanwhile takes orphans that come to us.
func (p *Process) take() error {
	who := p.Pid
	if p.reap {
		who = -1
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(who, &status, 0, nil)
		if err == unix.EINTR || err == nil && pid != p.Pid {
			p.reaped(pid)
			continue
		}
		p.setStatus(status)
		return err
	}
}

// reaped takes note of another child that has ended.
func (p *Process) reaped(pid int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pid == p.attendant {
		p.attendant = 0
		descriptor.Close(&p.alive)
	}
}

// attendedIn takes over the process that attends to this one, if a launch has left one.
func (p *Process) attendedIn(l *launch.Launch) {
	if l.Result.Attended {
		p.attendant, p.alive = l.First(), l.TakeSync()
	}
}

// release lets the process go that attends to init. That kills an init that lives, so init
// must have ended before.
func (p *Process) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.attendant != 0 {
		descriptor.Close(&p.alive)
	}
}

// dismiss ends the process that attends to init, and init if that lives.
func (p *Process) dismiss() {
	p.mu.Lock()
	attendant := p.attendant
	p.mu.Unlock()
	if attendant == 0 {
		return
	}
	p.reaped(attendant) // by now or in a moment, here or where orphans are taken
	for {
		var status unix.WaitStatus
		_, err := unix.Wait4(attendant, &status, unix.WUNTRACED, nil)
		switch {
		case err == nil && status.Stopped(): // by somebody else
			_ = unix.Kill(attendant, unix.SIGCONT)
		case err != unix.EINTR:
			return
		}
	}
}

// Close gives up the descriptors by which Wait, Signal and Delete know the process
// and its container; Delete closes them, too, unless its context ended. Terminal is
// the caller's.
func (p *Process) Close() {
	p.leave()
	p.forget()
	p.dismiss()
	if p.relay != nil { // nobody waited
		p.relay.Close()
		p.relay = nil
	}
	if p.bundle != nil {
		p.container.Close()
	}
}

// forget gives up the descriptor of a process that has ended.
func (p *Process) forget() {
	p.mu.Lock()
	descriptor.Close(&p.pidfd)
	p.mu.Unlock()
}

// Ended is how the process ended, once Wait has told; nil before.
func (p *Process) Ended() *store.Exit {
	if !p.waited {
		return nil
	}
	return store.NewExit(p.status)
}

// errNotInit is for what only a process that Run made has.
var errNotInit = errors.New("Run has not made the process, so it has no container of its own")

// RecordExit keeps how the process ended, which Wait has told, with the state of
// its container, for one that is not deleted at once. It is for a process that Run made.
func (p *Process) RecordExit() error {
	if p.bundle == nil {
		return errNotInit
	}
	return p.container.dir.WriteExit(p.status)
}

// Delete deletes the container of a process that Run made; one that runs is killed.
// Somebody else may have deleted it already. When its context ends before, it may be
// called again, or Close. After either of them Delete is os.ErrClosed.
func (p *Process) Delete(ctx context.Context) (err error) {
	if p.bundle == nil {
		return errNotInit
	}
	if !p.container.dir.IsOpen() {
		return fmt.Errorf("container %q: %w", p.container.ID, os.ErrClosed)
	}
	defer func() {
		if err == nil || ctx.Err() == nil {
			p.Close()
		}
	}()
	c := p.container
	if err := c.dir.Lock(ctx); errors.Is(err, store.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := c.destroy(ctx); err != nil {
		return err
	}
	c.poststop(ctx, p.bundle)
	return nil
}

// becomeSubreaper lets orphans of a container without a PID namespace of its
// own, in which they would be init's, come to this process.
func (s *starting) becomeSubreaper() error {
	s.reap = true
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	return nil
}
