// Package early catches signals for a program that may end at once.
//
// # Theory of operation
//
// os/signal starts two goroutines, one of them on a thread of its own, and each
// signal that it is asked for costs two switches of threads: together about a
// tenth of running /bin/true. But a signal must be caught before the
// container's program runs, as that may tell somebody that it is ready, and be
// sent one through us. So handlers that are not Go's come first. They set a bit
// and return. When the program has run for a moment, os/signal takes over, and
// what the bits say is passed on. Until then a signal waits.
//
// A handler that is not Go's must run on the thread's alternate stack
// (SA_ONSTACK), where Go has one for each thread, and must not make system
// calls fail with EINTR (SA_RESTART); see "Non-Go programs that call Go code"
// in os/signal. Programs that are started get the default action: execve(2).
package early

import (
	"cmp"
	"fmt"
	"math/bits"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// pending has a bit for each signal that came, signal n's is 1<<(n-1). The
// handlers set them.
var pending uint64

// handedOver is 1 from HandOver on, for handlers that the kernel has begun by then on
// another thread, which may wait for a CPU.
var handedOver uint32

// handlerPC and restorerPC are the addresses of the assembly functions. Where
// there is no restorer the kernel has its own.
var handlerPC, restorerPC uintptr

const (
	saRestorer = 0x04000000
	saOnStack  = 0x08000000
	saRestart  = 0x10000000
	// byDefault and ignored are SIG_DFL and SIG_IGN.
	byDefault, ignored = 0, 1
)

// Signals is what Catch and CatchAll caught. Any goroutine may use it at any time.
type Signals struct {
	lock   sync.Mutex // guards all
	caught []unix.Signal
	before []action
	whole  bool // CatchAll is done, or came too late
}

// Catch catches signals from now on, until HandOver. It must not be asked for
// those that Go's runtime itself needs, such as SIGSEGV or SIGURG, and os/signal
// must not have been asked for these. It is called once in a process.
func Catch(list ...unix.Signal) (*Signals, error) {
	s := &Signals{}
	return s, s.catch(list)
}

// CatchAll is Catch for the others that os/signal would pass on, but for SIGCHLD, SIGPIPE, SIGPROF and those
// that a fault of this program itself sends: a handler that only returns would hide that. It does nothing a second time, after HandOver, and to a
// zero value, which has caught nothing.
func (s *Signals) CatchAll() error {
	s.lock.Lock()
	defer s.lock.Unlock()
	if s.whole || len(s.caught) == 0 {
		return nil
	}
	s.whole = true
	list := make([]unix.Signal, 0, numbers)
	for n := unix.Signal(1); n <= numbers; n++ {
		switch n {
		case unix.SIGKILL, unix.SIGSTOP, // nobody catches them
			unix.SIGILL, unix.SIGTRAP, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV, unix.SIGSYS, // of faults
			unix.SIGURG, unix.SIGPROF, unix.SIGCHLD, unix.SIGPIPE, // Go's own, and what homerun's children and pipes send
			32, 33, 34: // a C library's own, which os/signal leaves alone
			continue
		}
		if !slices.Contains(s.caught, n) {
			list = append(list, n)
		}
	}
	return s.catch(list)
}

// numbers are those of all signals, from 1 on: signal(7).
const numbers = 64

// catch catches signals, with the lock.
func (s *Signals) catch(list []unix.Signal) error {
	first := len(s.before)
	s.caught, s.before = append(s.caught, list...), append(s.before, make([]action, len(list))...)
	ours := action{handler: handlerPC, flags: saOnStack | saRestart, restorer: restorerPC, mask: ^uint64(0)}
	if restorerPC != 0 {
		ours.flags |= saRestorer
	}
	for i, n := range list {
		if err := setAction(n, &ours, &s.before[first+i]); err != nil {
			return fmt.Errorf("catch %s: %w", cmp.Or(unix.SignalName(n), n.String()), err)
		}
	}
	return nil
}

// Came reports whether a signal has come since Catch, and was not handed over.
func (s *Signals) Came(n unix.Signal) bool { return atomic.LoadUint64(&pending)>>(n-1)&1 != 0 }

// Any reports whether one of them has come, and was not handed over.
func (s *Signals) Any() bool { return atomic.LoadUint64(&pending) != 0 }

// Ignored reports whether a signal was ignored before Catch: by nohup(1), or in what a
// shell runs in the background.
func (s *Signals) Ignored(n unix.Signal) bool {
	s.lock.Lock()
	defer s.lock.Unlock()
	i := slices.Index(s.caught, n)
	return i >= 0 && s.before[i].handler == ignored
}

// Default gives a signal its default action, for a program that will not catch it:
// for some, SIGQUIT one of them, Go's own is to print the stacks of all goroutines.
// One that is ignored stays so.
func Default(n unix.Signal) {
	var before action
	if setAction(n, nil, &before) == nil && before.handler != ignored {
		_ = setAction(n, &action{handler: byDefault}, nil) // it was accepted just now
	}
}

// HandOver has os/signal send all signals to c from now on, and sends those
// that came since Catch, in the order of their numbers and each once. It waits
// when c is full.
func (s *Signals) HandOver(c chan<- os.Signal) { s.handOver(c, func() { signal.Notify(c) }) }

// HandOverCaught is HandOver of those alone that were caught.
func (s *Signals) HandOverCaught(c chan<- os.Signal) {
	s.handOver(c, func() {
		for _, n := range s.caught {
			signal.Notify(c, n)
		}
	})
}

// handOver is HandOver of those that notify asks os/signal for.
func (s *Signals) handOver(c chan<- os.Signal, notify func()) {
	s.takeOver(notify)
	atomic.StoreUint32(&handedOver, 1)
	for came := atomic.SwapUint64(&pending, 0); came != 0; came &= came - 1 {
		c <- unix.Signal(bits.TrailingZeros64(came) + 1)
	}
}

// takeOver gives up the handlers, once os/signal has its own.
func (s *Signals) takeOver(notify func()) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.whole = true
	notify()
	for i, n := range s.caught {
		// Where there was no handler of Go's, Notify has set one.
		if b := &s.before[i]; b.handler != byDefault && b.handler != ignored {
			_ = setAction(n, b, nil) // it was accepted once
		}
	}
}

// Release gives the signals back what they did before Catch. Those that came since are lost.
// It does not come after HandOver.
func (s *Signals) Release() {
	s.lock.Lock()
	defer s.lock.Unlock()
	for i, n := range s.caught {
		_ = setAction(n, &s.before[i], nil) // it was accepted once
	}
	atomic.StoreUint64(&pending, 0)
}
