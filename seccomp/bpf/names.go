package bpf

import (
	"strconv"
	"strings"
)

//go:generate go run generate.go

// SyscallName gives the name of a system call on the architecture with the
// given AUDIT_ARCH_* value, and false where the tables know none. An x32 call
// (X32Bit set) is named "x32:" and the x86_64 name.
func SyscallName(audit, nr uint32) (string, bool) {
	a, ok := archByAudit(audit)
	if !ok {
		return "", false
	}
	if audit == AuditX86_64 && nr&X32Bit != 0 {
		name, ok := x32Name(a, nr&^X32Bit)
		return "x32:" + name, ok
	}
	return lookup(a.table, nr)
}

// x32Own are the x32 calls that take their own structures, from number 512
// (linux: arch/x86/entry/syscalls/syscall_64.tbl, abi x32).
const x32Own = "@512 rt_sigaction rt_sigreturn ioctl readv writev recvfrom sendmsg recvmsg execve " +
	"ptrace rt_sigpending rt_sigtimedwait rt_sigqueueinfo sigaltstack timer_create mq_notify " +
	"kexec_load waitid set_robust_list get_robust_list vmsplice move_pages preadv pwritev " +
	"rt_tgsigqueueinfo recvmmsg sendmmsg process_vm_readv process_vm_writev setsockopt " +
	"getsockopt io_setup io_submit execveat preadv2 pwritev2"

func x32Name(a Arch, nr uint32) (string, bool) {
	if nr >= 512 && nr < 548 {
		return lookup(x32Own, nr)
	}
	return lookup(a.table, nr)
}

// lookup walks a packed table. It is slow and small: only printing needs it.
func lookup(table string, nr uint32) (string, bool) {
	next := uint32(0)
	for word := range strings.FieldsSeq(table) {
		if number, ok := strings.CutPrefix(word, "@"); ok {
			n, _ := strconv.ParseUint(number, 10, 32)
			next = uint32(n)
			continue
		}
		if next == nr {
			return word, true
		}
		next++
	}
	return "", false
}
