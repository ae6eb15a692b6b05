package compile

import (
	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// How a process ended is told to its parent alone, and a detached container's
// would be whatever reaps orphans on this host. So the first process stays: init
// is its child, it waits for it, and makes a file of the container's as long as
// the wait status and one: no byte is written, since a full disk may take none.
// It holds nothing else open, and is outside of the container's namespaces
// and cgroup. Who kills it loses the record, and nothing more.

// InputExit is the file whose length, less one, becomes init's wait status:
// wait(2). An empty one says nothing yet.
const InputExit = "exit"

func (c *compiler) exitInput() {
	if c.wishes.Detached {
		c.exitNumber = c.highest
		c.exit = c.input(InputExit)
	}
}

// recordExit writes what the first process does then.
func (c *compiler) recordExit(init plan.Slot) {
	if !c.wishes.Detached {
		return
	}
	c.b.At("default", "wait for init's end, and record it")
	c.b.Do(plan.Setsid{}) // what is typed at the caller's terminal is not for it
	c.b.Do(plan.SetName{Name: "homerun:wait"})
	c.b.Do(plan.CloseRange{Last: c.exitNumber - 1, Flags: unix.CLOSE_RANGE_UNSHARE})
	c.keepLock(0)
	c.b.Do(plan.CloseRange{First: c.exitNumber + 1, Flags: unix.CLOSE_RANGE_UNSHARE})
	status := c.b.Slot("status")
	c.b.Do(plan.Wait4{PID: init.Ref(), Status: status})
	c.b.Do(plan.Lseek{FD: c.exit.Ref(), Offset: status.Ref(), Whence: unix.SEEK_SET})
	length := c.b.Get("length", plan.Lseek{FD: c.exit.Ref(), Offset: plan.Int(1), Whence: unix.SEEK_CUR})
	c.b.Do(plan.Ftruncate{FD: c.exit.Ref(), Length: length.Ref()})
}
