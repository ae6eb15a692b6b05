package compile

import (
	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// A program in the foreground must not outlive a runtime that was killed: nobody would
// know of it. PR_SET_PDEATHSIG of prctl(2) is lost as soon as the program changes its
// user, or gets another LSM domain, and most images do. So the first process stays and
// waits for the end of sync, which the runtime holds open until init has ended, or it ends
// itself; then it kills init, if that lives, and ends. Where somebody has stopped it, the
// end of the runtime lets it go on (PR_SET_PDEATHSIG), or the runtime does. It has opened init before
// anybody else could reap it, so it never kills another process of that number.
// It does not look at init's end itself: woken together, the two would share a CPU
// when all wait for the runtime, which is a fiftieth of a short run.

// attend writes what the first process does then.
func (c *compiler) attend() {
	if !c.wishes.EndsWithCaller {
		return
	}
	c.result.Attended = true
	c.b.At("default", "end init when the runtime has ended")
	c.b.Do(plan.Setsid{}) // what is typed at the caller's terminal is not for it
	c.b.Do(plan.SetName{Name: "homerun:watch"})
	c.b.Do(plan.Prctl{Option: unix.PR_SET_PDEATHSIG, Arg2: int(unix.SIGCONT)}) // if somebody has stopped it
	watched := c.watched.Ref()
	if c.listens() {
		watched = plan.Int(c.listener.watchNumber)
	}
	// What is open here keeps the program's own ends of pipes from ending. With a
	// listener the table is init's too.
	c.b.Do(plan.CloseRange{Last: c.syncNumber - 1, Flags: unix.CLOSE_RANGE_UNSHARE})
	c.b.Do(plan.Dup3{Old: watched, New: 0, Flags: unix.O_CLOEXEC})
	c.keepLock(1)
	c.b.Do(plan.CloseRange{First: c.syncNumber + 1})
	c.b.Do(plan.Ppoll{Ends: []int{c.syncNumber}})
	c.b.Try(plan.PidfdSendSignal{FD: plan.Int(0), Signal: int(unix.SIGKILL)}, plan.Ignore(unix.ESRCH)...)
}

// locks reports whether the first process keeps the lock of an overlay's directory: it
// is there as long as the container.
func (c *compiler) locks() bool {
	return c.wishes.Overlay != nil && c.wishes.Overlay.Dir != "" && (c.wishes.Detached || c.wishes.EndsWithCaller)
}

// keepLock keeps that at a number below those that are closed next.
func (c *compiler) keepLock(number int) {
	if c.lock != 0 {
		c.b.Do(plan.Dup3{Old: c.lock.Ref(), New: number, Flags: unix.O_CLOEXEC})
	}
}
