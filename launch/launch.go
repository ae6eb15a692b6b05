// Package launch runs a plan: it starts the stage, which runs the container's
// side, and does the runtime's side step by step.
//
// # Theory of operation
//
// Two processes and two pipes belong to a launch, and to nobody else:
//
//	first process   our child. It makes init, says so in the report, and exits; or it
//	                stays, as a detached container's, and waits for init; or attends to
//	                init (Result.Attended). Reaped by Run before that returns, unless
//	                it stays or attends. Until init is known its
//	                end is watched: it may have made an init of which nobody hears.
//	init            our child by CLONE_PARENT; of a first process that stays, its
//	                child. Known when the report says its id; nobody reaps it before
//	                it is known, so the id and the pidfd opened then are its own.
//	                After a Run without an error it is the caller's. While the second
//	                part is compiled it may be confined to some CPUs (setAside); the plan
//	                gives it all of them after that (process.AnyCPU). One whose id
//	                never came, since somebody killed who made it in the few
//	                microseconds before it was said, cannot be told from other
//	                children: it ends at the end of sync, and stays a zombie until this
//	                process ends. That of an exec or a hook, which waits for no answer,
//	                becomes the program.
//
//	report          the stage writes, we read. Its writing ends are the stage's alone
//	                (ours is closed when the stage runs), so its end says: all of the
//	                stage has ended, or executed the program. Closed by Run.
//	sync            we write, one byte for each answer; init reads. Its end says to
//	                init that we are gone, and init ends. Closed by Run when no answer
//	                is left to give, or by a cancellation; where the first process
//	                attends to init, it is the caller's after Run, and its end init's.
//	inputs          what else the stage is started with. Ours are closed when Run ends,
//	                or before by CloseInput where our end hides that the stage has ended.
//
// A cancellation is one function, cancel: it closes sync, so that an init that is
// not known yet ends, and kills what is known. Then the report or the first process
// ends, and with it whatever waits for them. Actions that wait for something else have the context.
// Run then reaps all, and returns the context's error. Whether a launch was
// cancelled is decided once: a context that ends after the last step has come too
// late, and Run succeeds.
package launch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/spawn"
	"github.com/homerun-oci/homerun/stage"
	"golang.org/x/sys/unix"
)

// Options say what is started.
type Options struct {
	// Result has the plan, or its first part.
	Result *compile.Result
	// Rest compiles the whole, when Result has the first part only.
	Rest func(context.Context) (*compile.Result, error)
	// Begun is called when the stage has been started, which takes a moment to say that
	// it has; nil for nothing to do meanwhile.
	Begun func(context.Context)
	// LoadFilter is called for the step of that name: only who compiles such plans needs it.
	// What fails, Rest says.
	LoadFilter func(context.Context)
	// Facts are those that the plan was compiled with.
	Facts *host.Facts
	// Stdio are the standard streams; Files those after them, from 3 on, as many
	// as the plan lets reach the program. -1 leaves a gap.
	Stdio [3]int
	Files []int
	// Do does the actions that are not about the stage. Answers to an init that
	// waits for start, and what follows them, are among these.
	Do func(context.Context, plan.Action) error
	// Debug receives each step as it begins; nil drops it.
	Debug func(string)
}

// Launch is a plan that runs. It is a value of one caller: not safe for
// concurrent use.
type Launch struct {
	Options
	// Directories are for hosts that forbid executable memfds, tried in order.
	Directories []string
	// OpenFiles is that of spawn.Program.
	OpenFiles *unix.Rlimit

	inputs map[string]int
	stage  stage.Stage
	next   int // the step to do

	report, sync int // our ends; -1 when closed
	// lock guards sync, first, init and pidfd, at which a cancellation looks
	// meanwhile.
	lock        sync.Mutex
	first, init int // process ids; 0 when not known
	pidfd       int // init's, or -1
	// firstFD is the first process's pidfd until init is known; -1.
	firstFD int
	// stays: the first process is init's parent, and outlives it.
	stays    bool
	signaled uint32 // bits of the tags that were read
	waits    bool   // init waits for start
	aside    bool   // init was confined, and is to be released
	reaped   bool   // the first process
}

// New prepares a launch. Close it.
func New(o Options) *Launch {
	return &Launch{Options: o, inputs: map[string]int{}, report: -1, sync: -1, pidfd: -1, firstFD: -1}
}

// SetInput gives the plan's input of that name a descriptor, which is the
// launch's from then on.
func (l *Launch) SetInput(name string, fd int) { l.inputs[name] = fd }

// CloseInput closes our copy of an input.
func (l *Launch) CloseInput(name string) {
	if fd, ok := l.inputs[name]; ok {
		unix.Close(fd)
		delete(l.inputs, name)
	}
}

// Stay says that the first process stays, as init's parent.
func (l *Launch) Stay() { l.stays = true }

// Stays reports whether Stay was called.
func (l *Launch) Stays() bool { return l.stays }

// Init is init's process id; 0 when it is not known.
func (l *Launch) Init() int { return l.init }

// First is the process id of the first process; 0 before it is started.
func (l *Launch) First() int { return l.first }

// Pidfd is init's pidfd, which stays the launch's; -1 when init is not known.
func (l *Launch) Pidfd() int { return l.pidfd }

// TakePidfd gives init's pidfd away.
func (l *Launch) TakePidfd() int {
	fd := l.pidfd
	l.pidfd = -1
	return fd
}

// TakeSync gives the end of sync away by which a first process that attends to init
// knows that the runtime lives; else it is -1.
func (l *Launch) TakeSync() int {
	fd := l.sync
	l.sync = -1
	return fd
}

// Close closes what is left of a launch. Processes are not touched.
func (l *Launch) Close() {
	for name := range l.inputs {
		l.CloseInput(name)
	}
	l.lock.Lock()
	descriptor.Close(&l.pidfd)
	descriptor.Close(&l.sync)
	l.lock.Unlock()
}

// Run does the steps up to the plan's end, or to where `create` leaves. On an
// error nothing of the stage is left running; what other actions did is the
// caller's to undo. The error is ctx's when that ended meanwhile.
func (l *Launch) Run(ctx context.Context) error {
	defer l.closePipes()
	stop := proc.WhenDone(ctx, l.cancel)
	err := l.steps(ctx)
	if stop() {
		err = ctx.Err()
	}
	if err != nil {
		return l.fail(ctx, err)
	}
	l.reapFirst()
	return nil
}

// steps does the steps from next on. There are more once the plan is whole.
func (l *Launch) steps(ctx context.Context) error {
	for ; l.next < len(l.Result.Plan.Runtime()); l.next++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if l.Debug != nil {
			l.Debug(l.Result.Plan.RuntimeLine(l.next))
		}
		a := l.Result.Plan.Runtime()[l.next].Action
		if _, leave := a.(action.Leave); leave {
			return nil
		}
		if err := l.do(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

// do does one action: those of the handshake here, while there is one.
func (l *Launch) do(ctx context.Context, a plan.Action) error {
	if !l.waits {
		switch a := a.(type) {
		case plan.Await:
			return l.await(a.Signal)
		case plan.Answer:
			if l.compilesNext() {
				l.setAside()
			}
			return l.answer()
		case action.StartStage:
			err := l.start(a.Name)
			if err == nil && l.Begun != nil {
				l.Begun(ctx)
			}
			return err
		case action.LoadFilter:
			l.LoadFilter(ctx)
			return nil
		case action.CompileRest:
			return l.compileRest(ctx)
		case action.AwaitProgram:
			return l.awaitProgram()
		}
	}
	return l.Do(ctx, a)
}

// compileRest compiles the plan's second part, releases init, and writes it for the stage.
func (l *Launch) compileRest(ctx context.Context) error {
	result, err := l.Rest(ctx)
	if l.aside {
		spawn.Release(l.init)
		l.aside = false
	}
	if err != nil {
		return err
	}
	l.Result = result
	return l.stage.WriteRest(l.inputs[compile.InputRest], result.Plan)
}

// grace is how long a first process that nobody lets go on may take to end by
// itself. It makes init and says so in less than one, on a machine
// that has the time.
const grace = time.Second

// cancel ends the stage's side, known or not. Who makes init just now gets the time
// to say whom it has made.
func (l *Launch) cancel() {
	l.lock.Lock()
	descriptor.Close(&l.sync)
	making, first := l.init == 0, l.firstFD
	l.lock.Unlock()
	if making && first >= 0 {
		_, _ = proc.AwaitEnd(context.Background(), first, grace)
	}
	l.lock.Lock()
	defer l.lock.Unlock()
	l.kill()
}

// fail ends what still runs, and adds to the error what its end says. An init that was
// found dead may have said why.
func (l *Launch) fail(ctx context.Context, err error) error {
	if errors.Is(err, ErrDied) {
		err = cmp.Or(l.Failed(), err)
	}
	l.cancel()
	l.meetInit()
	status := l.reapAll()
	switch notStarted := l.stage.NotStarted(); {
	case ctx.Err() != nil:
		return ctx.Err()
	case notStarted != nil:
		return notStarted
	case errors.Is(err, ErrDied) && status.Signaled():
		return fmt.Errorf("%w: killed by %s", err, unix.SignalName(status.Signal()))
	}
	return err
}

// closePipes closes our ends.
func (l *Launch) closePipes() {
	l.lock.Lock()
	defer l.lock.Unlock()
	descriptor.Close(&l.report)
	if !l.Result.Attended {
		descriptor.Close(&l.sync)
	}
	descriptor.Close(&l.firstFD)
}
