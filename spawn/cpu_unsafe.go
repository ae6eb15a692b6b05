package spawn

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// currentCPU is the CPU that the thread runs on: getcpu(2).
func currentCPU() (int, error) {
	var cpu uint32
	if _, _, errno := syscall.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); errno != 0 {
		return 0, errno
	}
	return int(cpu), nil
}
