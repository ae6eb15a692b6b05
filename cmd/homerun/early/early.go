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
	"fmt"
	"math/bits"
	"os"
	"os/signal"
	"slices"
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

// Signals is what Catch caught. One goroutine at a time may use it.
type Signals struct {
	caught []unix.Signal
	before []action
}

// Catch catches signals from now on, until HandOver. It must not be asked for
// those that Go's runtime itself needs, such as SIGSEGV or SIGURG, and os/signal
// must not have been asked for these. It is called once in a process.
func Catch(list ...unix.Signal) (*Signals, error) {
	s := &Signals{caught: list, before: make([]action, len(list))}
	ours := action{handler: handlerPC, flags: saOnStack | saRestart, restorer: restorerPC, mask: ^uint64(0)}
	if restorerPC != 0 {
		ours.flags |= saRestorer
	}
	for i, n := range list {
		if err := setAction(n, &ours, &s.before[i]); err != nil {
			return nil, fmt.Errorf("catch %s: %w", unix.SignalName(n), err)
		}
	}
	return s, nil
}

// Came reports whether a signal has come since Catch, and was not handed over.
func (s *Signals) Came(n unix.Signal) bool { return atomic.LoadUint64(&pending)>>(n-1)&1 != 0 }

// Any reports whether one of them has come, and was not handed over. Any goroutine may ask.
func (s *Signals) Any() bool { return atomic.LoadUint64(&pending) != 0 }

// Ignored reports whether a signal was ignored before Catch: by nohup(1), or in what a
// shell runs in the background.
func (s *Signals) Ignored(n unix.Signal) bool {
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
func (s *Signals) HandOver(c chan<- os.Signal) {
	signal.Notify(c)
	s.pass(c)
}

// HandOverCaught is HandOver of those alone that were caught.
func (s *Signals) HandOverCaught(c chan<- os.Signal) {
	for _, n := range s.caught {
		signal.Notify(c, n)
	}
	s.pass(c)
}

// Release gives the signals back what they did before Catch. Those that came since are lost.
// It does not come after HandOver.
func (s *Signals) Release() {
	for i, n := range s.caught {
		_ = setAction(n, &s.before[i], nil) // it was accepted once
	}
	atomic.StoreUint64(&pending, 0)
}

// pass gives up the handlers, once os/signal has its own, and passes on what they caught.
func (s *Signals) pass(c chan<- os.Signal) {
	for i, n := range s.caught {
		// Where there was no handler of Go's, Notify has set one.
		if b := &s.before[i]; b.handler != byDefault && b.handler != ignored {
			_ = setAction(n, b, nil) // it was accepted once
		}
	}
	atomic.StoreUint32(&handedOver, 1)
	for came := atomic.SwapUint64(&pending, 0); came != 0; came &= came - 1 {
		c <- unix.Signal(bits.TrailingZeros64(came) + 1)
	}
}
