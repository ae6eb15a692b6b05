package compile

import (
	"strconv"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/process"
	"github.com/homerun-oci/homerun/seccomp/bpf"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// With Wishes.Reaper init stays the stage, and the program is its child. It is made
// last of all, when init has waited for start, so that until then nothing differs; but
// before init becomes the program's user, since a process with a scheduling policy may
// not be able to give it to a child, nor one without capabilities choose an id.
//
//	init                                  the program's process
//	blocks all signals, makes the other
//	becomes the program's user            all that init does else, up to execve,
//	closes all but the streams            with the program's filter
//	loads a filter of its own             waits
//	"go on" (SIGCONT)             ->      starts a session, takes the terminal
//	plan.Reap                             execve
//
// Where the filter may forbid what comes after it the other process waits first of all.
// They are side by side since a filter takes the kernel a tenth of a millisecond.
//
// Init waits for nothing but signals from the moment that the program runs, and the
// report, which has been closed here by then, ends with the other's execve.
//
// A session of its own makes the program the terminal's as it is without a reaper. Its
// process group has no parent in the session, so that the kernel drops the stops of the
// terminal, which nobody here would end: setpgid(2), "orphaned process group".
//
// The program's filter is not init's: it may forbid what init needs, or ask an agent.
// Init's is shorter than any. Init must not be traced into doing what that forbids, and
// who may trace it may run as the program's user; rule reaper-has-nothing has the rest.
// What config.json's labels say is for the program: init keeps the runtime's.

// programID is the process id of a program beside a reaper.
const programID = 2

// checkReaper refuses a reaper that nobody's orphans would come to, or that leaves the
// program no process.
func (c *compiler) checkReaper() error {
	limit := int64(-1)
	if r := c.spec.Linux.Resources; r != nil && r.Pids != nil && r.Pids.Limit != nil {
		limit = *r.Pids.Limit
	}
	switch {
	case !c.wishes.Reaper:
		return nil
	case limit == 0 || limit == 1: // neither lets a process be made
		return &fault.Error{Place: "linux.resources.pids.limit", What: "put an init beside the program",
			Why: strconv.FormatInt(limit, 10) + " leaves none for the program", Hint: "make it 2 or more, or leave --init out"}
	case c.ns.flags&unix.CLONE_NEWPID != 0:
		return nil
	}
	return &fault.Error{Place: "linux.namespaces", What: "put an init beside the program",
		Why:  "the container has no PID namespace of its own, and orphans come to nobody else but the first process of one",
		Hint: `add {"type": "pid"} to linux.namespaces, or leave --init out`}
}

// reaper makes the program's process, and leaves init to wait for it. waits: the process
// has yet to wait for init, at the end.
func (c *compiler) reaper(cred process.Credentials) (waits bool, err error) {
	if !c.wishes.Reaper {
		return false, nil
	}
	c.b.At("default", "make the program's process, beside homerun's init")
	c.b.Do(plan.BlockSignals{})
	program, made, child := c.b.Slot("program"), c.b.Label(), c.b.Label()
	op := plan.Clone3{ExitSignal: int(unix.SIGCHLD)}
	if c.listens() {
		op.Flags = unix.CLONE_FILES // the first process looks for the listener there
	}
	if c.facts.Listen.Count > 0 {
		op.TID = programID // LISTEN_PID has said so
	}
	c.b.Add(plan.Step{Op: op, Result: program, Tolerate: plan.Ignore(unix.ENOSYS), OnZero: child, OnNonzero: made})
	c.b.Add(plan.Step{Op: plan.Clone{Flags: op.Flags | uint64(unix.SIGCHLD)}, Result: program, OnZero: child})
	c.b.Place(made)
	c.becomeReaper(cred)
	c.b.At("default", "pass signals on to the program, and reap orphans")
	c.b.Do(plan.Kill{PID: program.Ref(), Signal: int(unix.SIGCONT)})
	c.b.Do(plan.Reap{Child: program.Ref()})
	c.b.Place(child)
	if err := process.Schedule(c.b, c.spec.Process); err != nil {
		return false, err
	}
	if c.waitsLast() {
		return true, nil
	}
	c.awaitReaper()
	return false, nil
}

// waitsLast: the program's process waits for init when there is nothing left to do but
// execve, since its filter lets that through.
func (c *compiler) waitsLast() bool {
	f := c.wishes.Seccomp
	return f == nil || !c.listens() && bpf.Allows(f.Program, bpf.NativeAudit, unix.SYS_RT_SIGTIMEDWAIT, unix.SYS_RT_SIGPROCMASK, unix.SYS_SETSID, unix.SYS_IOCTL)
}

// awaitReaper writes the wait, and what no process of init's session may do.
func (c *compiler) awaitReaper() {
	c.b.At("default", "wait for homerun's init")
	// In init's session still: SIGCONT needs no privilege there, and init may be another
	// user by now, without CAP_KILL: kill(2).
	c.b.Do(plan.AwaitSignal{Signal: int(unix.SIGCONT)})
	c.b.Do(plan.Setsid{})
	c.b.Do(plan.UnblockSignals{})
	c.takeTerminal(plan.Int(0))
}

// becomeReaper takes from init what the program has not, and most of what it has.
func (c *compiler) becomeReaper(cred process.Credentials) {
	c.b.Do(plan.SetName{Name: "homerun-init"})
	cred.Bare(c.b, 1<<unix.CAP_KILL)
	c.b.At("default", "leave homerun's init nothing but the streams")
	c.b.Do(plan.Prctl{Option: unix.PR_SET_NO_NEW_PRIVS, Arg2: 1})
	c.b.Do(plan.CloseRange{First: 3, Flags: unix.CLOSE_RANGE_UNSHARE})
	c.b.Do(plan.Prctl{Option: unix.PR_SET_DUMPABLE, Arg2: 1})
	calls := plan.ReaperCalls()
	filter := plan.Seccomp{Program: bpf.Bytes(bpf.Only(bpf.NativeAudit, calls[:]...))}
	c.b.Try(filter, plan.Ignore(unix.EINVAL, unix.ENOSYS)...) // a kernel without seccomp
}
