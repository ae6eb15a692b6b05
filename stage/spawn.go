package stage

import (
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Theory of operation
//
// syscall.ForkExec has the caller wait until the image is executed, some hundredths of a
// short run's time, in which a runtime has the plan's second part to compile. So where it
// can the stage begins as a process that shares the caller's memory and does a list of
// system calls that was made before, up to execve(2). It runs no Go, and uses registers
// only: it has no stack of its own. No signal is handled in it: all are blocked from
// before it is made, and have their default actions by the time that they are not.
//
// The list and what it points to are on the heap, where nothing moves, and are kept by the
// Stage, since nobody knows when the process is done with them. A call that fails leaves
// its errno in the list and ends the process, so the report ends without a record, and
// NotStarted has the reason.

// call is a system call of the list. Its layout is that which spawn reads. The number of
// one that has failed becomes errnoBit and the errno.
type call struct{ number, a, b, c, d uintptr }

// errnoBit is above all numbers of system calls.
const errnoBit = 1 << 20

// cloneWords is the size of clone3's arguments: CLONE_ARGS_SIZE_VER0 of clone(2), Linux 5.3.
const cloneWords = 8

// cloneClearSighand is CLONE_CLEAR_SIGHAND, above what fits into an int32: Linux 5.5.
const cloneClearSighand = 1 << 32

// spawning is a process between its making and its execve.
type spawning struct {
	calls     []call
	path      *byte
	argv      [2]*byte
	envp      [1]*byte
	limit     unix.Rlimit
	all, mask uint64
	clone     [cloneWords]uint64
}

// newSpawning lists what the process does.
func newSpawning(path, name string, files []uintptr, limit unix.Rlimit) (s *spawning, err error) {
	s = &spawning{limit: limit, all: ^uint64(0)}
	if s.path, err = unix.BytePtrFromString(path); err != nil {
		return nil, err
	}
	if s.argv[0], err = unix.BytePtrFromString(name); err != nil {
		return nil, err
	}
	s.clone[0], s.clone[4] = unix.CLONE_VM|cloneClearSighand, uint64(unix.SIGCHLD)
	s.arrange(files)
	s.add(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&s.limit)), 0)
	s.add(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&s.mask)), 0, unsafe.Sizeof(s.mask))
	s.add(unix.SYS_EXECVE, uintptr(unsafe.Pointer(s.path)), uintptr(unsafe.Pointer(&s.argv)), uintptr(unsafe.Pointer(&s.envp)), 0)
	return s, nil
}

func (s *spawning) add(number, a, b, c, d uintptr) {
	s.calls = append(s.calls, call{number, a, b, c, d})
}

// arrange gives the files their numbers; -1 leaves a gap. A file whose number another one
// gets before it has its own is moved above all of them first.
func (s *spawning) arrange(files []uintptr) {
	s.calls = make([]call, 0, 2*len(files)+3)
	now, free := make([]int, len(files)), len(files)
	for i, f := range files {
		now[i] = int(f)
		free = max(free, now[i]+1)
	}
	for i, f := range now {
		if f >= 0 && f < i {
			s.add(unix.SYS_DUP3, uintptr(f), uintptr(free), unix.O_CLOEXEC, 0)
			now[i] = free
			free++
		}
	}
	for i, f := range now {
		switch {
		case f < 0:
			s.add(unix.SYS_CLOSE_RANGE, uintptr(i), uintptr(i), 0, 0) // no error where it is closed
		case f == i:
			s.add(unix.SYS_FCNTL, uintptr(f), unix.F_SETFD, 0, 0)
		default:
			s.add(unix.SYS_DUP3, uintptr(f), uintptr(i), 0, 0)
		}
	}
}

// begin makes the process, which has the caller's descriptors until its execve.
func (s *spawning) begin() (pid int, err error) {
	syscall.ForkLock.Lock() // nobody is about to make a descriptor close at execve
	defer syscall.ForkLock.Unlock()
	if pid = spawn(&s.clone, &s.calls[0], &s.all, &s.mask); pid < 0 {
		return 0, syscall.Errno(-pid)
	}
	// On a busy CPU, or a virtual one, the process may wait for the caller's. With it, it comes to
	// its execve, where the kernel looks for another: sched_exec() in kernel/sched/core.c.
	_, _, _ = syscall.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
	return pid, nil
}

// failed is why the process has ended, once it has, if that was before its execve.
func (s *spawning) failed() error {
	for i := range s.calls {
		if n := atomic.LoadUintptr(&s.calls[i].number); n >= errnoBit {
			return syscall.Errno(n - errnoBit)
		}
	}
	return nil
}
