package spawn

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is a system call of the list. Its layout is that which spawn reads. The number of
// one that has failed becomes errnoBit and the errno.
type call struct{ number, a, b, c, d uintptr }

// errnoBit is above all numbers of system calls.
const errnoBit = 1 << 20

// cloneWords is the size of clone3's arguments: CLONE_ARGS_SIZE_VER0 of clone(2), Linux 5.3.
// Two of them are not 0.
const (
	cloneFlags      = 0
	cloneExitSignal = 4
	cloneWords      = 8
)

// cloneClearSighand is CLONE_CLEAR_SIGHAND, above what fits into an int32: Linux 5.5.
const cloneClearSighand = 1 << 32

// list is what a process does between its making and its execve.
type list struct {
	calls           []call
	path, directory *byte
	args, env       []*byte
	limit           unix.Rlimit
	// all are all signals: before Linux 5.16 one that dumps core, as ^\ does, ends all who
	// share the memory. mask is the calling thread's, which the program gets.
	all, mask uint64
	// clone is struct clone_args of clone(2).
	clone [cloneWords]uint64
}

// newList lists what the process does.
func newList(p Program) (l *list, err error) {
	l = &list{limit: *p.OpenFiles, all: ^uint64(0), env: []*byte{nil}}
	if l.path, err = unix.BytePtrFromString(p.Path); err != nil {
		return nil, err
	}
	if l.directory, err = unix.BytePtrFromString(p.Directory); err != nil {
		return nil, err
	}
	if l.args, err = syscall.SlicePtrFromStrings(p.Args); err != nil {
		return nil, err
	}
	l.clone[cloneFlags], l.clone[cloneExitSignal] = unix.CLONE_VM|cloneClearSighand, uint64(unix.SIGCHLD)
	l.arrange(p.Files)
	if p.Directory != "" {
		l.add(unix.SYS_CHDIR, uintptr(unsafe.Pointer(l.directory)), 0, 0, 0)
	}
	l.add(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&l.limit)), 0)
	l.add(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&l.mask)), 0, unsafe.Sizeof(l.mask))
	l.add(unix.SYS_EXECVE, uintptr(unsafe.Pointer(l.path)), uintptr(unsafe.Pointer(&l.args[0])), uintptr(unsafe.Pointer(&l.env[0])), 0)
	return l, nil
}

func (l *list) add(number, a, b, c, d uintptr) {
	l.calls = append(l.calls, call{number, a, b, c, d})
}

// arrange gives the files their numbers; -1 leaves a gap. A file whose number another one
// gets before it has its own is moved above all of them first.
func (l *list) arrange(files []uintptr) {
	l.calls = make([]call, 0, 2*len(files)+4)
	now, free := make([]int, len(files)), len(files)
	for i, f := range files {
		now[i] = int(f)
		free = max(free, now[i]+1)
	}
	for i, f := range now {
		if f >= 0 && f < i {
			l.add(unix.SYS_DUP3, uintptr(f), uintptr(free), unix.O_CLOEXEC, 0)
			now[i] = free
			free++
		}
	}
	for i, f := range now {
		switch {
		case f < 0:
			l.add(unix.SYS_CLOSE_RANGE, uintptr(i), uintptr(i), 0, 0) // no error where it is closed
		case f == i:
			l.add(unix.SYS_FCNTL, uintptr(f), unix.F_SETFD, 0, 0)
		default:
			l.add(unix.SYS_DUP3, uintptr(f), uintptr(i), 0, 0)
		}
	}
}

// begin makes the process, which has the caller's descriptors until its execve.
func (l *list) begin() (pid int, err error) {
	syscall.ForkLock.Lock() // nobody is about to make a descriptor close at execve
	defer syscall.ForkLock.Unlock()
	if pid = spawn(&l.clone, &l.calls[0], &l.all, &l.mask); pid < 0 {
		return 0, syscall.Errno(-pid)
	}
	// On a busy CPU, or a virtual one, the process may wait for the caller's. With it, it comes to
	// its execve, where the kernel looks for another: sched_exec() in kernel/sched/core.c.
	_, _, _ = syscall.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	return pid, nil
}

// failed is why the process has ended, once it has, if that was before its execve.
func (l *list) failed() error {
	for i := range l.calls {
		if n := atomic.LoadUintptr(&l.calls[i].number); n >= errnoBit {
			return syscall.Errno(n - errnoBit)
		}
	}
	return nil
}
