package proc

import (
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/bundle"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// To the init of a PID namespace the kernel delivers only signals that it has a use
// for: pid_namespaces(7). It drops, when it is sent, one with the default action that
// is not blocked. Who waits for signals (sigwaitinfo(2), as small inits do) has them
// blocked, but not in that very call, so the call is looked at too: proc_pid_syscall(5).

// Drops reports whether the kernel drops a signal to a process, for it is the init of a
// PID namespace and neither catches, ignores, blocks nor awaits it. Where that cannot be
// seen it is not so. It comes before the signal is sent: who handles one may have the
// default action again at once.
func Drops(pid int, s unix.Signal) bool {
	dir := "/proc/" + strconv.Itoa(pid) + "/"
	drops := func() bool {
		text, err := bundle.ReadRegular(dir + "status")
		return err == nil && drops(string(text), s)
	}
	if !drops() {
		return false
	}
	call, err := bundle.ReadRegular(dir + "syscall")
	return err == nil && !awaits(string(call)) && drops() // it may have left the call between
}

// drops reads a text like /proc/PID/status.
func drops(text string, s unix.Signal) bool {
	if s < 1 || innermost(text) != 1 {
		return false
	}
	for _, field := range [...]string{"SigBlk", "SigIgn", "SigCgt"} {
		_, rest, found := strings.Cut(text, "\n"+field+":\t")
		line, _, _ := strings.Cut(rest, "\n")
		set, err := strconv.ParseUint(line, 16, 64)
		if !found || err != nil || set&(1<<(s-1)) != 0 {
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
