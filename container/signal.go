package container

import (
	"slices"

	"github.com/homerun-oci/homerun/proc"
	"golang.org/x/sys/unix"
)

// Signal sends a signal to the process. It does nothing when that has ended. A
// paused container that Run made is thawed for a signal that ends programs,
// which it would otherwise get when somebody resumes it.
func (p *Process) Signal(s unix.Signal) {
	if p.signal(s) && p.bundle != nil && (s == unix.SIGKILL || Ends(s)) {
		p.container.cgroup().Thaw()
	}
}

// Endings are the signals that people, terminals and service managers send to end a
// program, which may catch them: a watchdog's is SIGABRT.
func Endings() []unix.Signal {
	return []unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGABRT}
}

// Ends reports whether a signal is one of these.
func Ends(s unix.Signal) bool { return slices.Contains(Endings(), s) }

func (p *Process) signal(s unix.Signal) (sent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pidfd < 0 {
		return false
	}
	_ = unix.PidfdSendSignal(p.pidfd, s, nil, 0)
	return true
}

// Drops reports whether the kernel would drop a signal to the process that outside of a
// container ends it, because it is the init of a PID namespace and has no use for the
// signal: pid_namespaces(7). It is asked before the signal is sent.
func (p *Process) Drops(s unix.Signal) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pidfd >= 0 && proc.Drops(p.Pid, s)
}

// Heeds reports whether the program has thought of a signal, which it gets though the
// caller ignores it: it catches or blocks it. Outside of a container it would have begun
// with the signal ignored.
func (p *Process) Heeds(s unix.Signal) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pidfd < 0 {
		return false
	}
	pid := p.Pid
	if p.reaper {
		pid = proc.Program(pid)
	}
	return pid > 0 && proc.Heeds(pid, s)
}

// EndBy ends the process in place of a signal that the kernel drops. It is then as if
// that had ended it, for Wait and RecordExit too.
func (p *Process) EndBy(s unix.Signal) {
	p.mu.Lock()
	p.endedBy = s
	p.mu.Unlock()
	p.Signal(unix.SIGKILL)
}

// setStatus keeps how the process ended.
func (p *Process) setStatus(status unix.WaitStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.endedBy != 0 && status.Signaled() && status.Signal() == unix.SIGKILL {
		status = unix.WaitStatus(p.endedBy)
	}
	p.status = status
}
