package probe

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// IgnoredSignals lists the signals whose action is "ignore", in a third of the
// time that reading /proc/self/status takes. 32 and 33 are the C library's own:
// glibc's posix_spawn(3) leaves them ignored in what it starts, as make(1) and
// systemd(1) do with it. Those above are not asked for: Go's runtime catches all
// of them when a program starts, and what is caught has its default action after
// execve.
func IgnoredSignals() (list []int) {
	const last, ignore = 34, 1
	var action [4]uint64 // the kernel's struct sigaction; the handler comes first
	for n := 1; n <= last; n++ {
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(n), 0, uintptr(unsafe.Pointer(&action)), 8, 0, 0)
		if errno == 0 && action[0] == ignore {
			list = append(list, n)
		}
	}
	return list
}
