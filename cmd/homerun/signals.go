package main

import (
	"context"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/homerun-oci/homerun/cmd/homerun/early"
	"github.com/homerun-oci/homerun/container"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// A signal that comes while the program is started waits, and is passed on to
// it. But what is in a container can keep its start from coming to an end: it
// may stop the process that joins it, or be a file system that does not answer.
// So one that ends programs (container.Endings) gives up what is not over shortly after it,
// and SIGTERM and SIGINT at once at the second of these. A start looks for signals each 0.1 s
// (signalLook) until os/signal takes over, at the first of them or after 1 s: a look may come 0.05 s late
// (entrySlack), and two of one number before it are one.
//
// The init of a PID namespace is not sent what it has no use for: the kernel drops it.
// A program that does not think of signals, sleep(1) say, would outlive ^C, timeout(1),
// a service's stop and its terminal. So this process ends it with SIGKILL, and says that
// it was the signal. One that is ignored here, as with nohup(1), ends nothing:
// a program gets it that has thought of it, and no other.

// signals are those that people and managers send.
type signals struct {
	caught *early.Signals
	relay  sync.Once
	handed atomic.Bool // to os/signal
	// cancel ends the start.
	cancel context.CancelCauseFunc

	lock sync.Mutex
	to   func(os.Signal) // nil while the program is started
	held []os.Signal
	runs bool        // the start has ended well: there is nothing to give up
	ends int         // how many SIGTERM and SIGINT came before
	wait *time.Timer // gives up, if the start is not over then
	last *time.Timer // ends this process, if the start does not end
}

// dropSIGCHLD comes before a start, which waits for its children one by one: with a handler,
// and Go sets one, the end of each would wake this process twice.
func dropSIGCHLD() { early.Default(unix.SIGCHLD) }

// catchSignals begins to collect signals, and drops SIGCHLD. It comes before the container's start:
// the program may tell somebody that it is ready, and be sent a signal through
// us, before we have returned from starting it, or the terminal may have another size.
// Who detaches passes on none.
func catchSignals(detach bool) (*signals, error) {
	dropSIGCHLD()
	if detach {
		return nil, nil
	}
	caught, err := early.Catch(append(container.Endings(), unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH)...)
	return &signals{caught: caught}, err
}

const (
	// signalLook is when a start looks for a signal for the first time, and how often then.
	signalLook = 100 * time.Millisecond
	// listenAfter is how long a start takes before os/signal takes over without a signal. Of 50 that start
	// at once each takes longer than 0.1 s, and none gets a signal: os/signal in each would be a
	// fifteenth of their time.
	listenAfter = time.Second
	// grace is how long a start may go on after the first signal that ends programs. The
	// program may run already, and then it is the one to get it.
	grace = 500 * time.Millisecond
	// patience is how long one that is given up may take to end.
	patience = 2 * time.Second
)

// starting is a context for the start, which signals end. started says that it is
// over, and turns an error into what they did.
func (s *signals) starting(ctx context.Context) (begun context.Context, started func(error) error) {
	if s == nil {
		return ctx, func(err error) error { return err }
	}
	begun, s.cancel = context.WithCancelCause(ctx)
	over := make(chan struct{})
	end := sync.OnceFunc(func() { close(over) })
	timer := time.AfterFunc(signalLook, func() {
		s.catchAll()
		if waitUntilWorth(s.caught, over) {
			s.receive()
		}
	})
	return begun, func(err error) error {
		timer.Stop()
		end()
		s.lock.Lock()
		defer s.lock.Unlock()
		for _, timer := range [...]*time.Timer{s.wait, s.last} {
			if timer != nil {
				timer.Stop()
			}
		}
		s.runs = err == nil
		if cause := context.Cause(begun); err != nil && cause != nil {
			return cause
		}
		return err
	}
}

// waitUntilWorth runs beside a start. It returns true once a look finds a signal or the start has taken
// listenAfter, and false once the start is over. Before true it gives Go the processor
// that os/signal's goroutine has while who starts is in a system call.
func waitUntilWorth(caught *early.Signals, over <-chan struct{}) bool {
	for end := time.Now().Add(listenAfter - signalLook); !caught.Any() && time.Now().Before(end); {
		select {
		case <-over:
			return false
		case <-time.After(signalLook):
		}
	}
	select {
	case <-over:
		return false
	default:
		runtime.GOMAXPROCS(processors)
		return true
	}
}

// catchAll has the other signals wait, too, for a program that runs on or a start that takes long. Before that
// Go drops most of them, but SIGTSTP, SIGTTIN and SIGTTOU stop this process, and SIGSTKFLT ends it.
func (s *signals) catchAll() {
	if err := s.caught.CatchAll(); err != nil {
		note("%s", err) // never: os/signal could not have them either
	}
}

// awaited is how long a signal that has ended a part of a start may be on its way through
// os/signal.
const awaited = 20 * time.Millisecond

// fatal is the signal that came during a start that has failed; 0 where none of
// those did that end programs. A terminal sends it to all that it runs, and what the
// start made may end before this process knows of it.
func (s *signals) fatal() unix.Signal {
	for end := time.Now().Add(awaited); ; time.Sleep(time.Millisecond) {
		s.lock.Lock()
		for _, n := range container.Endings() {
			if (s.caught.Came(n) || slices.Contains(s.held, os.Signal(n))) && !s.caught.Ignored(n) {
				s.lock.Unlock()
				return n
			}
		}
		s.lock.Unlock()
		if !s.handed.Load() || time.Now().After(end) {
			return 0
		}
	}
}

// interrupted is the error of a start that a signal ended before it came to its end.
type interrupted unix.Signal

func (n interrupted) Error() string {
	return "interrupted by " + unix.SignalName(unix.Signal(n)) + ", before the program ran"
}

// receive has os/signal take over.
func (s *signals) receive() {
	s.relay.Do(func() {
		c := make(chan os.Signal, 64)
		go func() {
			for n := range c {
				s.pass(n)
			}
		}()
		s.handed.Store(true)
		s.caught.HandOver(c)
	})
}

// passTo passes signals to a program from now on, and those that wait.
func (s *signals) passTo(program func(os.Signal)) {
	s.lock.Lock()
	for _, n := range s.held {
		program(n)
	}
	s.to, s.held = program, nil
	s.lock.Unlock()
	s.receive()
}

func (s *signals) pass(n os.Signal) {
	s.lock.Lock()
	defer s.lock.Unlock()
	switch {
	case s.to != nil:
		s.to(n)
		return
	case !slices.Contains(s.held, n):
		s.held = append(s.held, n)
	}
	if s.runs || !container.Ends(n.(unix.Signal)) || s.caught != nil && s.caught.Ignored(n.(unix.Signal)) {
		return
	}
	if s.wait == nil {
		s.wait = time.AfterFunc(grace, func() { s.late(n) })
	}
	if n == unix.SIGTERM || n == unix.SIGINT {
		if s.ends++; s.ends == 2 {
			s.giveUp(n, "the second SIGTERM or SIGINT", patience)
		}
	}
}

// late gives up a start that is not over a while after its first signal.
func (s *signals) late(n os.Signal) {
	s.lock.Lock()
	defer s.lock.Unlock()
	if !s.runs && s.last == nil {
		s.giveUp(n, unix.SignalName(n.(unix.Signal)), patience-grace)
	}
}

// giveUp ends the start, and this process if that takes longer.
func (s *signals) giveUp(n os.Signal, at string, patience time.Duration) {
	s.cancel(&givenUp{at})
	s.last = time.AfterFunc(patience, func() { exitBy(n, at) })
}

// givenUp is the error of a start that a signal ended.
type givenUp struct{ at string }

func (g *givenUp) Error() string { return "given up at " + g.at + ", before the program ran" }

// exitBy ends this process, which waits for what does not end: a system call that the
// container holds up, or a service manager that does not answer.
func exitBy(n os.Signal, at string) {
	note("given up at %s, and what was waited for does not end; homerun delete --force removes what is left", at)
	os.Exit(128 + int(n.(unix.Signal)))
}

// receiver is a program that is sent signals: container.Process has what each means.
type receiver interface {
	Signal(unix.Signal)
	Drops(unix.Signal) bool
	Heeds(unix.Signal) bool
	EndBy(unix.Signal)
}

// forward passes a signal on to init, except those that are about this process
// itself: its children, its own runtime's, and its terminal's size.
func (s *signals) forward(n os.Signal, p receiver, t *terminal) {
	switch n := n.(unix.Signal); {
	case n == unix.SIGCHLD, n == unix.SIGURG, n == unix.SIGPIPE:
	case n == unix.SIGWINCH:
		t.resize()
		if t.master == nil {
			p.Signal(n)
		}
	case container.Ends(n):
		if s.caught.Ignored(n) {
			if p.Heeds(n) {
				p.Signal(n)
			}
			return
		}
		ends := p.Drops(n) // before it is sent: who handles it may not be as it was
		p.Signal(n)
		if ends {
			p.EndBy(n)
		}
	default:
		p.Signal(n)
	}
}
