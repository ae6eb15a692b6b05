package compile

import (
	"time"

	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// A filter with SCMP_ACT_NOTIFY gives a descriptor, the listener, to the process
// that loads it, and from that moment on filters each of its calls: it has none
// left to pass the listener on with (crun#1002, runc#4328). So the first process
// stays, with the descriptor table that it shares with init and without the
// filter. It is outside of the container's PID namespace and cgroup: nobody
// inside sees it, pids.max may be 1, and no zombie is left to the program.
//
//	first process                      init
//	watches init (pidfd)
//	"go on"                       ->   ... everything up to the filter
//	tells the runtime who init is
//	waits, for init's end too     <-   "the next descriptor will be N"
//	copies N once it is there          loads the filter, becomes the program
//	sends the copy, exits
//
// The kernel has no event for "filter loaded" that somebody else could wait for,
// so the last wait is a few attempts with pauses between them; it takes
// microseconds. In a created container the first process waits for as long as
// init does, and sends to whoever connects: `start`.

// Inputs of a plan whose filter has a listener.
const (
	// InputListener is a socket to send the listener to, or with Wait one that
	// listens.
	InputListener = "listener"
	// InputWatch keeps a number free for init's pidfd.
	InputWatch = "watch"
	// InputFirstEnd and InputInitEnd are the ends of a socket pair: the first process's
	// and init's.
	InputFirstEnd = "first-end"
	InputInitEnd  = "init-end"
)

// listener has the descriptors for passing a listener on; those that are polled
// by number too.
type listener struct {
	socket, firstEnd, initEnd   plan.Slot
	firstEndNumber, watchNumber int
	initEndNumber               int
}

// listens reports whether the filter has a listener.
func (c *compiler) listens() bool {
	return c.wishes.Seccomp != nil && c.wishes.Seccomp.Flags&unix.SECCOMP_FILTER_FLAG_NEW_LISTENER != 0
}

func (c *compiler) listenerInputs() {
	if !c.listens() {
		return
	}
	c.result.Listens = true
	l := &c.listener
	l.socket = c.input(InputListener)
	l.watchNumber = c.highest
	c.input(InputWatch)
	l.firstEndNumber = c.highest
	l.firstEnd = c.input(InputFirstEnd)
	l.initEndNumber = c.highest
	l.initEnd = c.input(InputInitEnd)
}

// made tells the runtime who init is. With a listener init is let go on before that:
// until the runtime knows init, it looks whether the first process has ended, and ends
// its side of sync.
func (c *compiler) made(init plan.Slot) {
	if c.listens() {
		c.b.At("linux.seccomp", "watch init, to pass the seccomp listener on")
		c.watch(init)
		c.b.At("default", "tell the runtime who init is")
	} else if c.wishes.EndsWithCaller {
		c.watched = c.b.Get("watched", plan.PidfdOpen{PID: init.Ref()})
	}
	c.signal(TagInit, init, "init")
}

// leave ends the first process once init is made; with a listener it first
// passes that on. A detached container's then waits for init, and so does one that
// ends with the runtime.
func (c *compiler) leave(init plan.Slot) {
	if c.listens() {
		c.passOn()
	}
	c.recordExit(init)
	c.attend()
	c.b.Do(plan.ExitGroup{})
}

// passOn waits for the listener and sends it. Each pause is twice as long as
// the one before, 6.5 seconds together: a machine that loads a filter more
// slowly starts no containers.
func (c *compiler) passOn() {
	const attempts = 16
	l := &c.listener
	c.b.At("linux.seccomp", "pass the seccomp listener on")
	gone, found, record := c.b.Label(), c.b.Label(), int32(8)
	copied, number := c.b.Slot("copy"), c.b.Slot("number")
	c.b.Do(plan.Ppoll{FDs: []int{l.watchNumber, l.firstEndNumber}})
	// When init is dead this finds nothing: both ends are ours.
	c.b.Add(plan.Step{Op: plan.RecvSignal{FD: l.firstEnd.Ref(), Value: number}, Want: &record,
		Tolerate: []plan.Errno{{Errno: unix.EAGAIN, To: gone}}})
	for i := range attempts {
		c.b.Add(plan.Step{Op: plan.DuplicateFD{FD: number.Ref()}, Result: copied, Tolerate: plan.Ignore(unix.EBADF),
			OnZero: found, OnNonzero: found})
		c.b.Add(plan.Step{Op: plan.Ppoll{FDs: []int{l.watchNumber}, Timeout: 100 * time.Microsecond << i}, OnNonzero: gone})
	}
	c.b.Add(plan.Step{Op: plan.DuplicateFD{FD: number.Ref()}, Result: copied})
	c.b.Place(found)
	socket := l.socket
	if c.decided.wait {
		socket = c.b.Get("connection", plan.Accept4{FD: l.socket.Ref()})
	}
	c.b.Do(plan.SendFD{Socket: socket.Ref(), FD: copied, Text: "seccompFd"})
	c.b.Place(gone)
}

// watch opens init, at a number that init does not close, and lets it go on.
func (c *compiler) watch(init plan.Slot) {
	pidfd := c.b.Get("pidfd", plan.PidfdOpen{PID: init.Ref()})
	c.b.Do(plan.Dup3{Old: pidfd.Ref(), New: c.listener.watchNumber, Flags: unix.O_CLOEXEC})
	c.b.Close(pidfd)
	c.b.Do(plan.Write{FD: c.listener.firstEnd.Ref(), Data: "\x00"})
}

// awaitWatch is init's side: until the first process has its descriptors, the
// table that both share must not change. In that table the socket never ends, so
// that nobody would hear that the first process was killed just then: but the
// runtime does, which was not told who init is (made), and its side of sync ends. The
// socket does not block then.
func (c *compiler) awaitWatch() {
	if !c.listens() {
		return
	}
	one := int32(1)
	c.b.At("linux.seccomp", "wait for who passes the seccomp listener on")
	c.b.Do(plan.Ppoll{FDs: []int{c.listener.initEndNumber}, Ends: []int{c.syncNumber}})
	c.b.Add(plan.Step{Op: plan.Read{FD: c.listener.initEnd.Ref(), Size: 1}, Want: &one})
}

// announce says the number that the listener is about to have: the kernel
// takes the lowest free one.
func (c *compiler) announce() {
	if !c.listens() {
		return
	}
	next := c.b.Get("next", plan.DuplicateFD{FD: c.report.Ref()})
	c.b.Close(next)
	c.b.Do(plan.Signal{FD: c.listener.initEnd.Ref(), Value: next})
}
