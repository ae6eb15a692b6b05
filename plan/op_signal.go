package plan

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// UnblockSignals empties the signal mask, which execve(2) keeps:
// rt_sigprocmask(2).
type UnblockSignals struct{}

// Call implements Operation.
func (o UnblockSignals) Call() Call { return setMask(make([]byte, signalSetSize), "[]") }

func setMask(set []byte, show string) Call {
	how := flags(2, func(int64) string { return "SIG_SETMASK" })
	return Call{"rt_sigprocmask", unix.SYS_RT_SIGPROCMASK, []Arg{how, memory(constant(set, show)), null(), number(signalSetSize)}}
}

// DefaultAction gives a signal its default action. Of all actions only "ignore"
// outlives execve(2): rt_sigaction(2).
type DefaultAction struct{ Signal int }

// Call implements Operation.
func (o DefaultAction) Call() Call {
	signal := flags(o.Signal, func(n int64) string { return signalName(int(n)) })
	action := memory(constant(make([]byte, 24+signalSetSize), "{sa_handler=SIG_DFL, sa_mask=[], sa_flags=0}"))
	return Call{"rt_sigaction", unix.SYS_RT_SIGACTION, []Arg{signal, action, null(), number(signalSetSize)}}
}

// signalSetSize is the kernel's sizeof(sigset_t): 64 signals.
const signalSetSize = 8

// signalName names a signal as strace does; 0 is none.
func signalName(n int) string {
	name := unix.SignalName(unix.Signal(n))
	switch {
	case n == 0:
		return "0"
	case name != "":
		return name
	case n == 32:
		return "SIGRTMIN"
	}
	return "SIGRT_" + strconv.Itoa(n-32)
}
