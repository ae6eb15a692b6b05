package proc

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Theory of operation
//
// To the init of a PID namespace the kernel delivers only signals that it has a use
// for: pid_namespaces(7). It drops, when it is sent, one with the default action that
// is not blocked. Who waits for signals (sigwaitinfo(2), as small inits do) has them
// blocked, but not in that very call, so the call is looked at too: proc_pid_syscall(5).
//
// Who runs meanwhile may have been in that call, have left it, and be in it again: then
// the three looks, each right, are wrong together. The kernel counts how often a process
// has given up a processor (proc_pid_status(5), voluntary_ctxt_switches), which one in
// between would have done once more.

// Drops reports whether the kernel drops a signal to a process, for it is the init of a
// PID namespace and neither catches, ignores, blocks nor awaits it. Where that cannot be
// seen it is not so. It comes before the signal is sent: who handles one may have the
// default action again at once.
func Drops(pid int, s unix.Signal) bool {
	return dropsBy(s, func(name string) string { return file(pid, name) })
}

// Heeds reports whether a process catches or blocks a signal: what it is sent though it
// was told to ignore it, as by nohup(1), is for one that has thought of it.
func Heeds(pid int, s unix.Signal) bool {
	text := Status(pid)
	caught, _ := isIn(text, "SigCgt", s)
	blocked, _ := isIn(text, "SigBlk", s)
	return caught || blocked
}

// Program is the process that is beside an init, its first child; 0 where that cannot be
// seen.
func Program(init int) int {
	first, _, _ := strings.Cut(file(init, "task/"+strconv.Itoa(init)+"/children"), " ")
	return decimal(first)
}

// isIn reads a set of signals in a text like /proc/PID/status. An error says that it does
// not tell.
func isIn(text, field string, s unix.Signal) (bool, error) {
	set, err := strconv.ParseUint(line(text, field), 16, 64)
	return err == nil && set&(1<<(s-1)) != 0, err
}

// looks is how often a process is looked at that runs meanwhile. One that never waits for
// anything does not wait for signals either.
const looks = 10

// dropsBy reads the files of a process in /proc; "" is one that cannot be read.
func dropsBy(s unix.Signal, read func(file string) string) bool {
	for range looks {
		before := read("status")
		if !drops(before, s) {
			return false
		}
		call := read("syscall")
		if call == "" || awaits(call) {
			return false
		}
		after := read("status")
		if !drops(after, s) {
			return false
		}
		if call != "running\n" && switches(before) == switches(after) {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return true
}

// switches are the counts in a text like /proc/PID/status.
func switches(text string) string {
	_, counts, _ := strings.Cut(text, "\nvoluntary_ctxt_switches:")
	return counts
}

// drops reads a text like /proc/PID/status.
func drops(text string, s unix.Signal) bool {
	if s < 1 || s > 64 || innermost(text) != 1 {
		return false
	}
	for _, field := range [...]string{"SigBlk", "SigIgn", "SigCgt"} {
		if in, err := isIn(text, field, s); err != nil || in {
			return false
		}
	}
	return true
}

// awaits reports whether a text like /proc/PID/syscall is of a process that waits for
// signals: in rt_sigtimedwait, or one of those that programs of 32 bits have.
func awaits(text string) bool {
	number, _, _ := strings.Cut(text, " ")
	return slices.Contains([]string{strconv.Itoa(unix.SYS_RT_SIGTIMEDWAIT), "177", "421"}, number)
}
