package main

import (
	"math/bits"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/homerun-oci/homerun/cmd/homerun/first" // has the entry's other half
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
//   - The thread's timer slack becomes 50 ms, unless it is more. Go has a thread
//     that looks at the others each 20 us, which the default slack of 50 us makes some
//     forty times a run, each with an interrupt on the CPU that sets up the container,
//     and where that is virtual, a trap or two. What it looks for is a processor of Go's that
//     another thread keeps during a system call: where that would be noticed there are more
//     of these (foreground.go, signals.go). Threads inherit the slack, and so do processes (prctl(2),
//     PR_SET_TIMERSLACK). Main gives its own thread the caller's again (ownSlack), where there is
//     a terminal the spare threads (spareSlack), and plans give it to programs, as another
//     thread may start them: container.Options.TimerSlack.
//     One that is more than a plan's numbers, or that nobody may ask for, is left as it is.
//   - The thread is held to the CPU that it is on until main begins. Before that Go's main
//     goroutine is bound to its thread, and waits for two others, which a second thread has to
//     run. On another CPU, which has to wake up first, that takes 0.1 to 0.5 ms. Threads
//     inherit this, too, and main has them go where the caller may (spread).
//   - runtime.MemProfileRate becomes 0. The first allocation would be sampled for
//     a memory profile, and the table of all functions read for its stack.
//   - Entry looks which of SIGQUIT, SIGTERM and SIGABRT the caller ignores. Go puts handlers of its
//     own in place of that; it leaves SIGHUP and SIGINT alone (os/signal, "Default behavior").
//   - No file can be opened (RLIMIT_NOFILE is 3) until packages are initialized. Go would read
//     /proc/self/cgroup, and /proc/self/mountinfo up to where the cgroup tree is, for the
//     number of processors that it is told anyway, and keep files of it open. What it
//     cannot read it does without. Package first has the other half.
//   - Where a limit (RLIMIT_AS, RLIMIT_DATA, RLIMIT_NPROC) does not let Go reserve
//     its address space of 689 MiB, have a heap, or start its first threads, one line
//     says so. Go would print a page of its own stacks, whatever GOTRACEBACK says.
//     The bounds are below what it needs, so that they refuse nothing that works.
//   - A process with SCHED_DEADLINE cannot start threads (sched(7)). One line says that, too,
//     since Linux 6.10, where the timer slack of such a process is 0. Before, Go prints its page.
//
// What each buys, as the time of run of /bin/true and of list without it (medians of
// 250 rounds in random order, idle, 2026-11): one processor 1.07 and 1.04, the slack
// 1.10 and 1.14, the CPU 1.03 and 1.07, the profile's rate 1.03 and 1.02. Without the
// entry two things are lost: the lines about what Go cannot start with, and that an ignored
// SIGQUIT, SIGTERM or SIGABRT ends nothing.
//
// The kernel hands over argc, the arguments, a null, the environment and a null
// at the stack pointer. Arguments move down by two words, as arm64 faults on a
// stack pointer that is not a multiple of 16, and the gap gets the variable,
// twice.

// entry is where the kernel starts homerun. Without -E Go's own entry is.
//
//lint:ignore U1000 the linker's command line names it
func entry()

// memProfileRate is how entry reaches the variable.
//
//lint:ignore U1000 the assembly reads it
var memProfileRate = &runtime.MemProfileRate

// timerSlack is what the first thread's timer slack was when entry looked, in
// nanoseconds; 0 where entry did not run, and for real-time processes and the children
// of those, whose timers have none: nobody can be given that again. entry has raised any
// other to entrySlack if it is less.
var timerSlack uintptr

const entrySlack = 50_000_000

// callerIgnores has a bit for each of SIGQUIT, SIGTERM and SIGABRT that the caller ignores:
// signal n's is 1<<(n-1).
var callerIgnores uint64

// leaveIgnored ignores again what the caller ignores: Go has put handlers of its own there.
func leaveIgnored() {
	for left := callerIgnores; left != 0; left &= left - 1 {
		signal.Ignore(unix.Signal(bits.TrailingZeros64(left) + 1))
	}
}

// callersSlack is the timer slack that programs are to be given, 0 where they inherit
// the caller's.
func callersSlack() int {
	if timerSlack >= entrySlack {
		return 0
	}
	return int(timerSlack)
}

// callersCPUs are those that the caller may run on, and oneCPU is the one of entry, where
// that is pinned to it: it is not on a host of more than 1024, as it has no room for them.
var (
	callersCPUs unix.CPUSet
	pinned      bool
	//lint:ignore U1000 the assembly uses it
	oneCPU unix.CPUSet
)

// spread has all threads run where the caller may, and so all processes that they start.
// There are Go's first ones, none of which makes others now.
func spread() {
	if !pinned {
		return
	}
	self := unix.Getpid()
	cpus := spreadFirst(self)
	left, _ := runtime.ThreadCreateProfile(nil) // is the number of threads
	// The others have the next numbers, or later ones where other programs start something at this moment.
	left--
	for tid := self + 1; left > 0 && tid < self+64; tid++ {
		if unix.Tgkill(self, tid, 0) == nil {
			_ = unix.SchedSetaffinity(tid, cpus) // as entry could
			left--
		}
	}
	if left > 0 {
		spreadListed(cpus)
	}
}

// spreadFirst is spread for the first thread, and says what mask that has now: all CPUs,
// where the caller has all of its cpuset. Since Linux 6.2 the kernel keeps the mask that is
// asked for, for all that is started, too: CPUs that the cpuset gets later are for those
// whose mask has them.
func spreadFirst(self int) *unix.CPUSet {
	cpus, now := new(unix.CPUSet), unix.CPUSet{}
	cpus.Fill()
	_ = unix.SchedSetaffinity(self, cpus) // as entry could
	if err := unix.SchedGetaffinity(self, &now); err != nil || now != callersCPUs {
		cpus = &callersCPUs
		_ = unix.SchedSetaffinity(self, cpus)
	}
	return cpus
}

// spreadListed is spread, and takes 0.06 ms more: it looks for the threads in proc(5).
func spreadListed(cpus *unix.CPUSet) {
	fd, err := unix.Open("/proc/self/task", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return // without /proc no container is started either
	}
	defer unix.Close(fd)
	var buffer [1024]byte // for 32 threads
	n, err := unix.Getdents(fd, buffer[:])
	if err != nil {
		return
	}
	_, _, names := unix.ParseDirent(buffer[:n], -1, nil)
	self := unix.Getpid()
	for _, name := range names {
		// Another PID namespace's proc(5) has other numbers.
		if tid, err := strconv.Atoi(name); err == nil && unix.Tgkill(self, tid, 0) != unix.ESRCH {
			_ = unix.SchedSetaffinity(tid, cpus)
		}
	}
}

// ownSlack gives the thread the slack that programs are to be given.
func ownSlack() {
	if slack := callersSlack(); slack != 0 {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0) // never fails
	}
}

// spareSlack is ownSlack for the threads that Go has to spare; the one that looks at the others
// keeps entrySlack. One with nothing to do takes a goroutine over from another thread, and sleeps
// 3 us before that, which entrySlack would make 50 ms.
//
// A goroutine that is bound to its thread and waits leaves the rest to the next one. The last one
// is not bound: it has to wake the first thread, or Go would make another one for that.
func spareSlack() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	threads, _ := runtime.ThreadCreateProfile(nil) // is their number
	spare := max(int32(threads)-2, 0)
	var begun atomic.Int32
	var set sync.WaitGroup
	leave := make(chan struct{})
	defer close(leave)
	set.Add(int(spare))
	for range spare {
		go func() {
			ownSlack()
			last := begun.Add(1) == spare
			if !last {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
			}
			set.Done()
			if !last {
				<-leave
			}
		}()
	}
	set.Wait()
}

// unsetProcessors takes entry's variable out of the environment.
func unsetProcessors() {
	if openFiles() != nil {
		_ = os.Unsetenv("GOMAXPROCS") // never fails
	}
}

// openFiles is the caller's limit on open files, nil where entry did not run.
func openFiles() *unix.Rlimit {
	soft, hard := first.Files()
	if hard == 0 {
		return nil
	}
	return &unix.Rlimit{Cur: soft, Max: hard}
}
