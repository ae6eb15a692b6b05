package main

import (
	"os"
	"runtime"

	entrylimit "github.com/homerun-oci/homerun/cmd/homerun/limit" // has the entry's other half
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// A verb does one thing after another, and what it waits for the kernel does.
// Go's runtime is made for more than that, and is set up before any Go code of
// ours runs. So the linker has the program begin here (-E main.entry), and what
// follows is Go's own entry:
//
//   - GOMAXPROCS=1 is put before the environment, the only place where Go looks.
//     With a processor for each CPU there are more threads to make, to wake and
//     to end. Of two variables of one name Go takes the first, so one that the
//     caller has set does nothing. Afterwards it is taken out again, as hooks may
//     inherit the environment; the caller's own is gone with it.
//   - The thread's timer slack becomes a millisecond, unless it is more. Go has a thread
//     that looks at the others each 20 us, which the default slack of 50 us makes some
//     forty times a run, each with an interrupt on the CPU that sets up the container,
//     and where that is virtual, a trap or two. Threads inherit the slack, and so
//     do processes (prctl(2), PR_SET_TIMERSLACK): plans give programs the caller's
//     own, container.Options.TimerSlack. One that is more than a plan's numbers, or
//     that nobody may ask for, is left as it is.
//   - runtime.MemProfileRate becomes 0. The first allocation would be sampled for
//     a memory profile, and the table of all functions read for its stack.
//
//   - No file can be opened (RLIMIT_NOFILE is 3) until packages are initialized. Go would read
//     /proc/self/cgroup, and /proc/self/mountinfo up to where the cgroup tree is, for the
//     number of processors that it is told anyway, and keep files of it open. What it
//     cannot read it does without. Package limit has the other half.
//
//   - Where a limit (RLIMIT_AS, RLIMIT_DATA, RLIMIT_NPROC) does not let Go reserve
//     its address space of 689 MiB, have a heap, or start its first threads, one line
//     says so. Go would print a page of its own stacks, whatever GOTRACEBACK says.
//     The bounds are below what it needs, so that they refuse nothing that works.
//
// What each buys, as the time of run of /bin/true and of list without it (medians of
// 250 rounds in random order, idle, 2026-11): one processor 1.07 and 1.04, the slack
// 1.09 and 1.08, the profile's rate 1.03 and 1.02. Without the entry nothing breaks but
// the line about low limits.
//
// The kernel hands over argc, the arguments, a null, the environment and a null
// at the stack pointer. Arguments move down by two words, as arm64 faults on a
// stack pointer that is not a multiple of 16, and the gap gets the variable,
// twice.

// entry is where the kernel starts homerun. Without -E Go's own entry is, and
// all else is the same.
//
//lint:ignore U1000 the linker's command line names it
func entry()

// memProfileRate is how entry reaches the variable.
//
//lint:ignore U1000 the assembly reads it
var memProfileRate = &runtime.MemProfileRate

// timerSlack is what the first thread's timer slack was when entry looked, in
// nanoseconds; 0 where entry did not run, and for real-time processes, whose timers
// have none. entry has raised it to entrySlack if it is less.
var timerSlack uintptr

const entrySlack = 1000000

// callersSlack is the timer slack that programs are to be given, 0 where they inherit
// the caller's.
func callersSlack() int {
	if timerSlack >= entrySlack {
		return 0
	}
	return int(timerSlack)
}

// ownSlack gives the thread the slack that programs are to be given.
func ownSlack() {
	if slack := callersSlack(); slack != 0 {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0) // never fails
	}
}

// unsetProcessors takes entry's variable out of the environment.
func unsetProcessors() {
	if openFiles() != nil {
		_ = os.Unsetenv("GOMAXPROCS") // never fails
	}
}

// openFiles is the caller's limit on open files, nil where entry did not run.
func openFiles() *unix.Rlimit {
	soft, hard := entrylimit.Files()
	if hard == 0 {
		return nil
	}
	return &unix.Rlimit{Cur: soft, Max: hard}
}
