// Package spawn starts programs, and does not wait until they are executed. It says on which
// CPUs a process runs, too: place.go.
//
// # Theory of operation
//
// syscall.ForkExec has the caller wait for the execve, some hundredths of a short run's
// time, in which the runtime has other things to do. So where it can a program begins as a
// process that shares the caller's memory and does a list of system calls that was made
// before, up to execve(2). It runs no Go, and uses registers only: it has no stack of its
// own. No signal is handled in it: all are blocked from before it is made, and have their
// default actions by the time that they are not.
//
// The list and what it points to are on the heap, where nothing moves, and are kept by the
// Process, since nobody knows when the process is done with them. A call that fails leaves
// its errno in the list and ends the process with status 127; Failed has the reason. Only
// the limit may be refused, by a filter: it is then the caller's.
//
// The process has all descriptors of the caller until its execve, as with vfork(2). But the
// caller goes on: what it closes in that time stays open a moment longer, a file that it has
// written too, which cannot be executed as long (ETXTBSY).
package spawn

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Program is a program that is to be executed, in an empty environment.
type Program struct {
	Path string
	Args []string
	// Directory is where it begins; empty for the caller's.
	Directory string
	// Files are the descriptors that it gets as 0, 1, 2, ...; -1 leaves a gap.
	Files []uintptr
	// OpenFiles is its limit on open files (RLIMIT_NOFILE). With nil, and where Start cannot
	// but wait for the execve, it is what the calling process began with, which package
	// syscall knows.
	OpenFiles *unix.Rlimit
}

// Process is a program that was started. Keep it until the process has ended, which may
// read memory that nothing else refers to.
type Process struct {
	// PID is the id of the process, a child of the caller, which must wait for it.
	PID  int
	list *list // nil where it was executed by the time that Start returned
}

// Start starts a program. It waits for the execve with a nil OpenFiles, on machines other
// than amd64, and where clone3(2) is refused: the error is of all up to there then, else of
// the making of the process alone.
func Start(p Program) (Process, error) {
	if p.OpenFiles != nil {
		l, err := newList(p)
		if err != nil {
			return Process{}, err
		}
		pid, err := l.begin()
		if err != unix.ENOSYS && err != unix.EINVAL && err != unix.EPERM {
			return Process{pid, l}, err
		}
		// The kernel, or a filter on system calls, does not know what begin asks for.
	}
	pid, err := syscall.ForkExec(p.Path, p.Args, &syscall.ProcAttr{Dir: p.Directory, Files: p.Files})
	return Process{PID: pid}, err
}

// Failed is why the program was not executed; nil where nothing is known of that. It is
// asked once the process has ended.
func (p *Process) Failed() error {
	if p.list == nil {
		return nil
	}
	return p.list.failed()
}
