package early

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// setAction is rt_sigaction(2).
func setAction(n unix.Signal, to, before *action) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(n), uintptr(unsafe.Pointer(to)), uintptr(unsafe.Pointer(before)), 8, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
