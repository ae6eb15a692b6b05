// Package traced runs a program under ptrace(2), and ends it, or has a system call fail, at
// one of its steps.
package traced

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Program is run and killed before one of its system calls, or that fails: what no
// hook in the program could do as completely. All threads of the program count; its
// children are left alone.
type Program struct {
	Command    []string
	Env        []string
	Dir        string
	Credential *syscall.Credential
	// Out receives its standard output and error.
	Out *os.File
	// Limit is how long it may take.
	Limit time.Duration
	// Fail is with what the call fails, and all goes on; 0 kills the program instead.
	Fail unix.Errno
	// Started, if it is there, hears of the process before it runs.
	Started func(pid int)
}

// stepOptions make new threads stop too, and tell the stops of system calls
// from those of signals. A tracer's death ends the program.
const stepOptions = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL

// syscallStop is how such a stop looks: ptrace(2), PTRACE_O_TRACESYSGOOD.
const syscallStop = unix.SIGTRAP | 0x80

// Run executes the program up to its call number at, counted from 1; 0 is none. It
// returns how many calls there were; the status is -1 when the program was killed.
func (s *Program) Run(at int) (calls, status int, err error) {
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

func (s *Program) trace(at int) (calls, status int, err error) {
	pid, err := syscall.ForkExec(s.Command[0], s.Command, &syscall.ProcAttr{Dir: s.Dir, Env: s.Env,
		Files: []uintptr{0, s.Out.Fd(), s.Out.Fd()}, Sys: &syscall.SysProcAttr{Ptrace: true, Setpgid: true, Credential: s.Credential}})
	if err != nil {
		return 0, 0, err
	}
	if s.Started != nil {
		s.Started(pid)
	}
	timer := time.AfterFunc(s.Limit, func() { unix.Kill(pid, unix.SIGKILL) })
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
func (s *Program) follow(pid, at int) (calls, status int, err error) {
	resume(pid, 0)
	for {
		var ws unix.WaitStatus
		// By its process group: this thread may have other children, whom others wait for.
		thread, err := unix.Wait4(-pid, &ws, unix.WALL|unix.WNOTHREAD, nil)
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
			if n, args, ok := enters(thread); ok && !slices.Contains(noise(), n) && (s.Fail == 0 || fails(n, args)) {
				if calls++; calls == at {
					s.strike(pid, thread)
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

// fails reports whether a call is one that may be made to fail. Programs do not look at what the kernel never fails: the
// caller's ids, umask(2), tgkill(2), an exit, and the time, for which Go makes a system call where there is no vdso(7), as in
// User-Mode-Linux. Whatever close(2) returns, the descriptor is closed. A number that is read is what Go's library has from a
// child, by a pipe, of its execve(2): without it, it would wait until that child ends.
func fails(call uint64, args [6]uint64) bool {
	return !slices.Contains([]uint64{unix.SYS_EXIT_GROUP, unix.SYS_EXIT, unix.SYS_CLOSE, unix.SYS_CLOCK_GETTIME, unix.SYS_UMASK,
		unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_TGKILL}, call) &&
		(call != unix.SYS_READ || args[2] != strconv.IntSize/8)
}

// strike kills the program, or has the call fail that a thread is about to make. A
// thread that is gone meanwhile is killed already.
func (s *Program) strike(pid, thread int) {
	if s.Fail == 0 {
		unix.Kill(pid, unix.SIGKILL)
		return
	}
	if set(thread, skipCall) == nil && unix.PtraceSyscall(thread, 0) == nil {
		var ws unix.WaitStatus
		if _, err := unix.Wait4(thread, &ws, unix.WALL, nil); err == nil && ws.Stopped() {
			_ = set(thread, func(r *unix.PtraceRegs) { fail(r, s.Fail) })
		}
	}
}

// set changes the registers of a thread.
func set(thread int, change func(*unix.PtraceRegs)) error {
	var r unix.PtraceRegs
	if err := unix.PtraceGetRegs(thread, &r); err != nil {
		return err
	}
	change(&r)
	return unix.PtraceSetRegs(thread, &r)
}

// resume goes on to the next system call. The thread may have been killed.
func resume(thread, signal int) { _ = unix.PtraceSyscall(thread, signal) }

// noise are the calls of Go's runtime that change nothing outside.
func noise() []uint64 {
	return []uint64{unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_MADVISE, unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT,
		unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_SCHED_YIELD,
		unix.SYS_EPOLL_PWAIT, unix.SYS_GETTID, unix.SYS_GETPID, unix.SYS_SCHED_GETAFFINITY, unix.SYS_BRK, unix.SYS_PRCTL,
		unix.SYS_FCNTL, unix.SYS_PRLIMIT64, unix.SYS_FSTAT, unix.SYS_LSEEK}
}
