package proc

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// GiveSlack gives the thread a timer slack, in nanoseconds, for programs that are started
// before done is called, on the same goroutine. 0 leaves it as it is.
func GiveSlack(slack int) (done func()) {
	runtime.LockOSThread()
	if slack != 0 {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(slack), 0, 0, 0) // never fails
	}
	return runtime.UnlockOSThread
}
