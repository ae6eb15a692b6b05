package tests

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stepper runs a program under ptrace(2) and kills it before one of its system
// calls: what no hook in the program could do as completely. All threads of the
// program count; its children are left alone.
type stepper struct {
	command    []string
	env        []string
	dir        string
	credential *syscall.Credential
	out        *os.File
	limit      time.Duration
}

// stepOptions make new threads stop too, and tell the stops of system calls
// from those of signals. A tracer's death ends the program.
const stepOptions = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL

// syscallStop is how such a stop looks: ptrace(2), PTRACE_O_TRACESYSGOOD.
const syscallStop = unix.SIGTRAP | 0x80

// run executes the program up to its call number at, counted from 1, and kills
// it there. It returns how many calls there were; the status is -1 when the
// program was killed.
func (s *stepper) run(at int) (calls, status int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The tracer is a thread, and this one ends with the program.
		runtime.LockOSThread()
		calls, status, err = s.trace(at)
	}()
	<-done
	return calls, status, err
}

func (s *stepper) trace(at int) (calls, status int, err error) {
	pid, err := syscall.ForkExec(s.command[0], s.command, &syscall.ProcAttr{Dir: s.dir, Env: s.env,
		Files: []uintptr{0, s.out.Fd(), s.out.Fd()}, Sys: &syscall.SysProcAttr{Ptrace: true, Credential: s.credential}})
	if err != nil {
		return 0, 0, err
	}
	timer := time.AfterFunc(s.limit, func() { unix.Kill(pid, unix.SIGKILL) })
	defer timer.Stop()
	var ws unix.WaitStatus
	if _, err := unix.Wait4(pid, &ws, unix.WALL, nil); err != nil {
		return 0, 0, err
	}
	if err := unix.PtraceSetOptions(pid, stepOptions); err != nil {
		unix.Kill(pid, unix.SIGKILL)
		return 0, 0, fmt.Errorf("trace: %w", err)
	}
	calls, status, err = s.follow(pid, at)
	if err == nil && !timer.Stop() {
		err = errors.New("the program does not end")
	}
	return calls, status, err
}

// follow lets the program go on from stop to stop.
func (s *stepper) follow(pid, at int) (calls, status int, err error) {
	resume(pid, 0)
	for {
		var ws unix.WaitStatus
		thread, err := unix.Wait4(-1, &ws, unix.WALL|unix.WNOTHREAD, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return calls, 0, fmt.Errorf("wait for the program: %w", err)
		}
		switch {
		case thread == pid && ws.Exited():
			return calls, ws.ExitStatus(), nil
		case thread == pid && ws.Signaled():
			return calls, -1, nil
		case !ws.Stopped():
		case ws.StopSignal() == syscallStop:
			if n, ok := enters(thread); ok && !slices.Contains(noise(), n) {
				if calls++; calls == at {
					unix.Kill(pid, unix.SIGKILL)
					continue
				}
			}
			resume(thread, 0)
		case ws.StopSignal() == unix.SIGTRAP || ws.StopSignal() == unix.SIGSTOP:
			resume(thread, 0)
		default:
			resume(thread, int(ws.StopSignal()))
		}
	}
}

// resume goes on to the next system call. The thread may have been killed.
func resume(thread, signal int) { _ = unix.PtraceSyscall(thread, signal) }

// enters says which call a thread is about to make, at the first of its two
// stops: ptrace(2), PTRACE_GET_SYSCALL_INFO.
func enters(thread int) (number uint64, ok bool) {
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
	return info.nr, errno == 0 && info.op == entry
}

// noise are the calls of Go's runtime that change nothing outside.
func noise() []uint64 {
	return []uint64{unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_MADVISE, unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT,
		unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_SCHED_YIELD,
		unix.SYS_EPOLL_PWAIT, unix.SYS_GETTID, unix.SYS_GETPID, unix.SYS_SCHED_GETAFFINITY, unix.SYS_BRK, unix.SYS_PRCTL,
		unix.SYS_FCNTL, unix.SYS_PRLIMIT64, unix.SYS_FSTAT, unix.SYS_LSEEK}
}
