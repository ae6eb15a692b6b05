package plan

import "golang.org/x/sys/unix"

// Theory of operation
//
// A plan goes forward only, and an init has to turn around: it waits for signals for
// as long as the container lives. So the stage has that loop in its code (reap), and a
// Reap enters it. What the loop calls, and nothing else, is in ReaperCalls:
//
//	munmap(2)            the plan's second part, once
//	rt_sigtimedwait(2)   any signal, all of which are blocked
//	kill(2)              it goes to the program's process, except for SIGCHLD
//	wait4(2)             whoever has ended, until nobody has
//	exit_group(2)        with the program's status once that has ended, 128 and its
//	                     number after a signal; the kernel then kills all others

// ReapNumber stands in the record of a Reap where others have a system call's number.
const ReapNumber = 0xffff

// Reap makes the stage the init of its PID namespace, which passes signals on to one
// child, reaps all, and ends as that child does. It does not return.
type Reap struct{ Child Ref }

// Call implements Operation. It is none of the kernel's.
func (o Reap) Call() Call {
	return Call{"reap", ReapNumber, []Arg{ref(o.Child), flags(RestAddress, showHex), number(RestSize)}}
}

// ReaperCalls are the system calls that a Reap makes.
func ReaperCalls() [5]int {
	return [...]int{unix.SYS_RT_SIGTIMEDWAIT, unix.SYS_WAIT4, unix.SYS_KILL, unix.SYS_MUNMAP, unix.SYS_EXIT_GROUP}
}

// BlockSignals blocks all signals that can be blocked: rt_sigprocmask(2).
type BlockSignals struct{}

// Call implements Operation.
func (o BlockSignals) Call() Call { return setMask(words(^uint64(0)), "~[]") }

// AwaitSignal waits for a signal that is blocked, and takes it: rt_sigtimedwait(2). For
// SIGCONT it takes a stop signal, too: one that comes after SIGCONT takes that away, and
// nobody would send another.
type AwaitSignal struct{ Signal int }

// Call implements Operation.
func (o AwaitSignal) Call() Call {
	set, more := uint64(1)<<(o.Signal-1), ""
	if o.Signal == int(unix.SIGCONT) {
		set, more = set|1<<(unix.SIGTSTP-1)|1<<(unix.SIGTTIN-1)|1<<(unix.SIGTTOU-1), " TSTP TTIN TTOU"
	}
	awaited := fixed(words(set), func() string { return "[" + signalName(o.Signal)[len("SIG"):] + more + "]" })
	return Call{"rt_sigtimedwait", unix.SYS_RT_SIGTIMEDWAIT, []Arg{
		memory(awaited), null(), null(), number(signalSetSize)}}
}

// Kill sends a signal to a process: kill(2).
type Kill struct {
	PID    Ref
	Signal int
}

// Call implements Operation.
func (o Kill) Call() Call {
	return Call{"kill", unix.SYS_KILL, []Arg{ref(o.PID), flags(o.Signal, func(n int64) string { return signalName(int(n)) })}}
}
