package proc

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// pidfdInfo is struct pidfd_info of linux/pidfd.h as Linux 6.13 had it.
type pidfdInfo struct {
	mask, cgroup uint64
	ids          [11]uint32
	exitCode     int32
}

const (
	// pidfdGetInfo is PIDFD_GET_INFO, _IOWR(0xff, 11, struct pidfd_info).
	pidfdGetInfo = 3<<30 | unsafe.Sizeof(pidfdInfo{})<<16 | 0xff<<8 | 11
	// pidfdInfoExit asks for the exit code: Linux 6.15.
	pidfdInfoExit = 1 << 3
)

// exitStatus reads the wait status of a process that was waited for; false when
// the kernel does not tell.
func exitStatus(pidfd int) (unix.WaitStatus, bool) {
	info := pidfdInfo{mask: pidfdInfoExit}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(pidfd), pidfdGetInfo, uintptr(unsafe.Pointer(&info)))
	return unix.WaitStatus(info.exitCode), errno == 0 && info.mask&pidfdInfoExit != 0
}
