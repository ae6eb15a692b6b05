package traced

import "golang.org/x/sys/unix"

// skipCall has the kernel make no call: ptrace(2), PTRACE_SYSCALL.
func skipCall(r *unix.PtraceRegs) { r.Orig_rax = ^uint64(0) }

// fail is what a call that has failed returns.
func fail(r *unix.PtraceRegs, errno unix.Errno) { r.Rax = -uint64(errno) }
