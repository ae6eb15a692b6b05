package traced

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// enters says which call a thread is about to make, and with which arguments, at the
// first of its two stops: ptrace(2), PTRACE_GET_SYSCALL_INFO.
func enters(thread int) (number uint64, args [6]uint64, ok bool) {
	const getSyscallInfo, entry = 0x420e, 1
	var info struct {
		op      uint8
		_       [3]uint8
		arch    uint32
		ip, sp  uint64
		nr      uint64
		args    [6]uint64
		trailer [2]uint64
	}
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, getSyscallInfo, uintptr(thread), unsafe.Sizeof(info),
		uintptr(unsafe.Pointer(&info)), 0, 0)
	return info.nr, info.args, errno == 0 && info.op == entry
}
