package launch

import (
	"errors"
	"fmt"
	"io"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/spawn"
	"github.com/homerun-oci/homerun/stage"
	"golang.org/x/sys/unix"
)

// ErrDied says that a process of the stage ended without a report.
var ErrDied = errors.New("init died before the container's program ran")

// await waits until the stage has signaled name. The process that makes init says
// its id, while init already goes on: their signals arrive in any order.
func (l *Launch) await(name string) error {
	tag := uint32(1) << compile.Tag(name)
	for l.signaled&tag == 0 {
		if l.init == 0 && l.firstIsGone() {
			return ErrDied
		}
		r, err := stage.ReadRecord(l.report)
		switch {
		case errors.Is(err, io.EOF):
			return ErrDied
		case err != nil:
			return err
		case r.Failed:
			return l.Explain(r)
		}
		l.take(r)
	}
	l.waits = name == "ready"
	return nil
}

// firstIsGone waits for a record, and reports whether in its place the first process
// has ended. It may have made an init that nobody will hear of, which holds the
// report open and waits for us.
func (l *Launch) firstIsGone() bool {
	fds := [...]unix.PollFd{{Fd: int32(l.report), Events: unix.POLLIN}, {Fd: int32(l.firstFD), Events: unix.POLLIN}}
	for fds[0].Revents == 0 {
		if fds[1].Revents != 0 {
			fds[1].Fd = -1
			if n, err := unix.Poll(fds[:], 0); n == 0 && err == nil {
				return true // what it had written would be there
			}
			continue
		}
		if _, err := unix.Poll(fds[:], -1); err != nil && err != unix.EINTR {
			return false // the read will do
		}
	}
	return false
}

// meetInit learns, when the first process has ended or is about to, whom it has made,
// and ends that one.
func (l *Launch) meetInit() {
	for l.first > 0 && l.init == 0 && l.firstFD >= 0 && !l.firstIsGone() {
		r, err := stage.ReadRecord(l.report)
		if err != nil {
			return
		}
		if !r.Failed {
			l.take(r)
		}
	}
	l.lock.Lock()
	defer l.lock.Unlock()
	l.kill()
}

// Failed is why the stage has failed, if it has said so.
func (l *Launch) Failed() error {
	fds := []unix.PollFd{{Fd: int32(l.report), Events: unix.POLLIN}}
	for l.report >= 0 {
		if n, err := unix.Poll(fds, 0); n == 0 || err != nil {
			break
		}
		r, err := stage.ReadRecord(l.report)
		if err != nil {
			break
		}
		if r.Failed {
			return l.Explain(r)
		}
		l.take(r)
	}
	return nil
}

// AwaitFailure reads what the stage says of its end, where another sign has shown
// that it has come.
func (l *Launch) AwaitFailure() error { return l.await("nothing that init signals") }

// take remembers a signal.
func (l *Launch) take(r stage.Record) {
	l.signaled |= 1 << r.Tag
	if r.Tag != compile.TagInit {
		return
	}
	l.lock.Lock()
	defer l.lock.Unlock()
	l.init = r.Value
	l.pidfd, _ = unix.PidfdOpen(l.init, 0) // it is our child, or waits for us
	descriptor.Close(&l.firstFD)
}

// awaitProgram waits for the end of the report: the program runs.
func (l *Launch) awaitProgram() error {
	r, err := stage.ReadRecord(l.report)
	switch {
	case errors.Is(err, io.EOF):
		return l.stage.NotStarted()
	case err != nil:
		return err
	case r.Failed:
		return l.Explain(r)
	}
	return fmt.Errorf("BUG: the stage signals %d that nobody awaits", r.Tag)
}

// compilesNext reports whether the second part of the plan is compiled next.
func (l *Launch) compilesNext() bool {
	steps := l.Result.Plan.Runtime()[l.next+1:]
	if len(steps) == 0 {
		return false
	}
	_, compiles := steps[0].Action.(action.CompileRest)
	return compiles
}

// setAside keeps an init that is our child off this process's CPU while this process
// compiles; compileRest releases it. Another process's child may be reaped meanwhile, and
// its id be somebody else's.
func (l *Launch) setAside() {
	if l.init > 0 && !l.stays {
		spawn.Confine(l.init, spawn.Aside)
		l.aside = true
	}
}

// answer lets init go on. If it is gone, its report says why.
func (l *Launch) answer() error {
	l.lock.Lock()
	_, err := unix.Write(l.sync, []byte{0})
	l.lock.Unlock()
	if err == nil || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EBADF) {
		return nil
	}
	return fmt.Errorf("let init go on: %w", err)
}

// Explain words the failure of an operation that a record says, with what explains it measured only
// now.
func (l *Launch) Explain(r stage.Record) error {
	index := stage.Step(l.Result.Plan, r)
	switch l.Result.Plan.Step(index).Op.(type) {
	case plan.Clone3, plan.Clone, plan.Unshare:
		probe.ExplainUserNamespaces(&l.Facts.Kernel)
		probe.ExplainProcessLimit(&l.Facts.Process)
	}
	return compile.Explain(l.Result.Plan, l.Facts, index, r.Result)
}
