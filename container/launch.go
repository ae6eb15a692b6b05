package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/stage"
	"github.com/homerun-oci/homerun/userns/install"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// The runtime's side of a plan is a list of steps too: wait for a signal of the
// stage, do something outside, let the stage go on. The stage's end is seen as
// the end of its report: it closes at execve, and when the process dies. A
// record before that says which operation failed.
//
// There are two processes to wait for. The first makes init, tells its id, and
// exits at once; it is reaped before launch returns, so `create` leaves no
// child behind but init itself.

// launch is the start of one plan.
type launch struct {
	result *compile.Result
	// unfinished is the plan's second part, or nil.
	unfinished *unfinished
	stage      stage.Stage
	facts      *host.Facts
	name       string
	// stdio are the standard streams; preserve counts the descriptors behind
	// them, from 3 on.
	stdio    [3]int
	preserve int
	// inputs are descriptors for the plan's inputs, by name, beside the report
	// and the handshake. The caller closes them.
	inputs map[string]int
	// record writes init's id; scope waits until it is in its scope; outside does
	// what is done once the namespaces exist.
	record, scope, outside func(ctx context.Context, pid int) error
	// moved: outside moves an exec's process into its cgroup.
	moved bool
	// terminal: this process wants the terminal, which comes through receiver.
	terminal           bool
	receiver, received int
	// agent receives the seccomp listener, or is nil.
	agent *agent
	// program finds homerun's own program, for copies.
	program string
	// directories are for hosts that forbid executable memfds.
	directories []string

	report, sync int // the runtime's ends
	copied       int // how many of the plan's copies are made
	// lock guards sync, init and pidfd, at which a cancellation looks meanwhile.
	lock        sync.Mutex
	first, init int // process ids; 0 when not known
	// stays: the first process is init's parent, and outlives it. pidfd is then
	// init's, which is not our child.
	stays    bool
	pidfd    int
	signaled uint32 // bits of the tags that were read
	reaped   bool
}

// start runs the plan up to the point where the program runs, or where init
// waits for `start`. On an error nothing is left running.
func (l *launch) start(ctx context.Context) (pid int, err error) {
	defer func() {
		if err != nil {
			l.closeEnds()
		}
	}()
	defer l.agent.close()
	if err := l.connectAgent(); err != nil {
		return 0, err
	}
	if err := l.spawn(); err != nil {
		return 0, err
	}
	defer unix.Close(l.report)
	defer l.closeSync()
	stop := l.killOnCancel(ctx)
	err = l.steps(ctx)
	if !stop() && err == nil {
		err = ctx.Err() // the report ended because the process was killed
	}
	if err != nil {
		return 0, l.fail(ctx, err)
	}
	if err := l.receive(); err != nil {
		return 0, l.fail(ctx, err)
	}
	l.reapFirst()
	return l.init, nil
}

// killOnCancel ends the stage when the context ends, which ends its report. stop
// reports whether it did not, and returns when nothing of it goes on.
func (l *launch) killOnCancel(ctx context.Context) (stop func() bool) {
	if ctx.Done() == nil {
		return func() bool { return true }
	}
	done := make(chan struct{})
	inTime := context.AfterFunc(ctx, func() {
		defer close(done)
		l.kill()
		// An init that is made just now, and that nobody knows yet, waits at the
		// other end.
		l.closeSync()
	})
	return func() bool {
		if inTime() {
			return true
		}
		<-done
		return false
	}
}

// closeSync ends what lets init go on; init then ends.
func (l *launch) closeSync() {
	l.lock.Lock()
	closeOnce(&l.sync)
	l.lock.Unlock()
}

// spawn starts the first process.
func (l *launch) spawn() error {
	var report, sync [2]int
	if err := unix.Pipe2(report[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer unix.Close(report[1])
	if err := unix.Pipe2(sync[:], unix.O_CLOEXEC); err != nil {
		unix.Close(report[0])
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer unix.Close(sync[0])
	l.report, l.sync = report[0], sync[1]
	err := l.startStage(report[1], sync[0])
	if err != nil {
		unix.Close(l.report)
		unix.Close(l.sync)
	}
	return err
}

func (l *launch) startStage(report, sync int) (err error) {
	if l.unfinished != nil {
		if l.inputs[compile.InputRest], err = stage.NewRest(); err != nil {
			return err
		}
	}
	files, err := l.files(report, sync)
	if err != nil {
		return err
	}
	l.stage, err = stage.Start(stage.Config{Plan: l.result.Plan, Files: files, Name: l.name, Directories: l.directories})
	l.first = l.stage.PID
	return err
}

// finish compiles the plan's second part, and writes it for the stage.
func (l *launch) finish() error {
	result, err := l.unfinished.finish()
	if err != nil {
		return err
	}
	l.result = result
	return l.stage.WriteRest(l.inputs[compile.InputRest], l.result.Plan)
}

// files lists what the stage gets as 0, 1, 2, and so on.
func (l *launch) files(report, sync int) ([]uintptr, error) {
	var files []uintptr
	for _, fd := range l.stdio {
		files = append(files, uintptr(fd))
	}
	for fd := 3; fd < 3+l.preserve; fd++ {
		files = append(files, open(fd))
	}
	for _, in := range l.result.Plan.Inputs() {
		fd, ok := l.inputs[in.Name]
		switch {
		case in.Name == compile.InputReport:
			fd = report
		case in.Name == compile.InputSync:
			fd = sync
		case !ok:
			return nil, fmt.Errorf("BUG: the plan's input %s is not there", in.Name)
		}
		files = append(files, uintptr(fd))
	}
	return files, nil
}

// open is a descriptor to preserve, or the mark for a gap where there is none.
// What the caller left open at execve is not close-on-exec; what is was opened
// in a gap since, by us or by Go's runtime, and must not reach the container.
func open(fd int) uintptr {
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
		return ^uintptr(0)
	}
	return uintptr(fd)
}

// closeInputs closes this process's copies of what the stage was started with.
func (l *launch) closeInputs() {
	for _, fd := range l.inputs {
		unix.Close(fd)
	}
	clear(l.inputs)
}

// receive takes the terminal, which the stage has sent by now.
func (l *launch) receive() error {
	if l.receiver <= 0 {
		return nil
	}
	var err error
	l.received, err = receiveFD(l.receiver, "the terminal")
	unix.Close(l.receiver)
	l.receiver = 0
	return err
}

// closeEnds closes what is for a Process, if there will be none.
func (l *launch) closeEnds() {
	for _, fd := range [...]*int{&l.receiver, &l.received, &l.pidfd} {
		if *fd > 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

// steps runs the runtime's side.
func (l *launch) steps(ctx context.Context) error {
	for i := 0; i < len(l.result.Plan.Runtime()); i++ { // there are more once the plan is whole
		s := l.result.Plan.Runtime()[i]
		switch {
		case s.Await != "":
			if err := l.await(s.Await); err != nil {
				return err
			}
			if s.Await == "ready" {
				return nil
			}
		case s.Signal != "":
			if err := l.signal(); err != nil {
				return err
			}
		default:
			if err := l.do(ctx, s.Do); err != nil {
				return err
			}
		}
	}
	return l.untilExec()
}

// await waits until the stage has signaled name. The process that makes init
// tells its id, while init already goes on: their signals arrive in any order.
func (l *launch) await(name string) error {
	tag := uint32(1) << compile.Tag(name)
	for l.signaled&tag == 0 {
		r, err := stage.ReadRecord(l.report)
		switch {
		case errors.Is(err, io.EOF):
			return errDied
		case err != nil:
			return err
		case r.Failed:
			l.findInit()
			return l.explain(r)
		}
		l.take(r)
	}
	return nil
}

// take remembers a signal.
func (l *launch) take(r stage.Record) {
	l.signaled |= 1 << r.Tag
	l.lock.Lock()
	defer l.lock.Unlock()
	if r.Tag == compile.TagInit {
		l.init = r.Value
		if l.stays {
			// Init waits for the rest of the plan, so the id is its own.
			l.pidfd, _ = unix.PidfdOpen(l.init, 0)
		}
	}
}

// untilExec waits for the end of the report: the program runs.
func (l *launch) untilExec() error {
	r, err := stage.ReadRecord(l.report)
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	case r.Failed:
		return l.explain(r)
	}
	return fmt.Errorf("BUG: the stage signals %d that nobody awaits", r.Tag)
}

func (l *launch) signal() error {
	l.lock.Lock()
	_, err := unix.Write(l.sync, []byte{0})
	l.lock.Unlock()
	if err == nil || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EBADF) {
		return nil // init is gone: its report says why
	}
	return fmt.Errorf("let init go on: %w", err)
}

func (l *launch) do(ctx context.Context, what string) error {
	switch what {
	case compile.DoRest:
		return l.finish()
	case compile.DoMapIDs:
		pid := l.init
		if pid == 0 {
			pid = l.first
		}
		return install.Maps(ctx, pid, *l.result.Maps, l.facts)
	case compile.DoRecord:
		return l.record(ctx, l.init)
	case compile.DoScope:
		return l.scope(ctx, l.init)
	case compile.DoNamespaces:
		return l.outside(ctx, l.init)
	case compile.DoCopy:
		return l.copy(ctx)
	case compile.DoListener:
		return l.passListener()
	}
	return fmt.Errorf("BUG: the runtime cannot do %s", what)
}

// errDied says that a process of the stage ended without a report.
var errDied = errors.New("init died before the container's program ran")

// explain words the failure of an operation, with what explains it read only
// now.
func (l *launch) explain(r stage.Record) error {
	index := stage.Step(l.result.Plan, r)
	if op := l.result.Plan.Step(index).Op; isClone(op) {
		probe.ExplainUserNamespaces(&l.facts.Kernel)
		probe.ExplainProcessLimit(&l.facts.Process)
	}
	return compile.Explain(l.result.Plan, l.facts, index, r.Result)
}

func isClone(op plan.Operation) bool {
	switch op.(type) {
	case plan.Clone3, plan.Clone, plan.Unshare:
		return true
	}
	return false
}

// fail ends what still runs and adds what its end tells.
func (l *launch) fail(ctx context.Context, err error) error {
	l.kill()
	status := l.reapAll()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errDied) && status.Signaled():
		return fmt.Errorf("%w: killed by %s", err, unix.SignalName(status.Signal()))
	}
	return err
}

// findInit reads on for init's id, which the failure of init itself may have
// overtaken. Both processes are about to end, and with them the report.
func (l *launch) findInit() {
	for l.init == 0 {
		r, err := stage.ReadRecord(l.report)
		if err != nil {
			return
		}
		if !r.Failed {
			l.take(r)
		}
	}
}

// kill ends the processes of the stage. Both are our children and not reaped
// yet, so their ids are still theirs. A first process that stays ends with init,
// and says how that did.
func (l *launch) kill() {
	l.lock.Lock()
	defer l.lock.Unlock()
	if l.stays && l.pidfd >= 0 {
		_ = unix.PidfdSendSignal(l.pidfd, unix.SIGKILL, nil, 0)
		return
	}
	for _, pid := range [...]int{l.init, l.first} {
		if pid > 0 && !(pid == l.first && l.reaped) {
			unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// reapAll waits for the processes of the stage. The status is init's, or if
// there never was an init the first process's.
func (l *launch) reapAll() unix.WaitStatus {
	status := l.reap(l.first)
	if l.init > 0 && !l.stays {
		status = l.reap(l.init)
	}
	return status
}

// reapFirst waits for the first process, which exits once init is made; or
// which waits beside a created init for its seccomp listener.
func (l *launch) reapFirst() {
	if l.stays || l.agent != nil && l.result.WaitIndex > 0 {
		return
	}
	l.reap(l.first)
	l.reaped = true
}

func (l *launch) reap(pid int) unix.WaitStatus {
	var status unix.WaitStatus
	for pid > 0 {
		if _, err := unix.Wait4(pid, &status, 0, nil); err != unix.EINTR {
			break
		}
	}
	return status
}
