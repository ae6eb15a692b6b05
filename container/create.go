package container

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"time"

	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/rootfs/idmap"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// create is killed at any moment: by its caller's time limit, by a user, by the
// kernel. What it does is therefore written to state.json before it is done, as
// something to undo; and until the runtime has written init's process id and
// said so, init waits on a pipe whose end is this process, so init dies with
// it. What is left in any case is a directory that delete --force clears.

// Create makes a container whose init waits for Start. When it returns without
// an error, init is a child of the calling process, and nothing else is. Close
// the container.
func (r *Runtime) Create(ctx context.Context, request Request) (_ *Container, err error) {
	c, l, err := r.begin(&request, compile.Options{Wait: true})
	if err != nil {
		return nil, err
	}
	defer func() { c.leave(err) }()
	if err := c.makeFIFOs(l); err != nil {
		return nil, c.abandon(ctx, err)
	}
	defer l.closeInputs()
	defer l.closeEnds()
	if err := c.launch(ctx, l, request); err != nil {
		return nil, c.abandon(ctx, c.explainOOM(err, request.Bundle.Config))
	}
	if err := c.keepMade(request.Bundle); err != nil {
		return nil, c.abandon(ctx, err)
	}
	return c, nil
}

// Run makes a container and starts its program. With Keep the state is left
// when the program ends. The Process is a child of the calling process.
func (r *Runtime) Run(ctx context.Context, request Request) (_ *Process, err error) {
	if request.Bundle.Config.Process == nil {
		return nil, errNoProcess
	}
	// Hooks that run before the program need it to wait, as create does.
	waits := hasStartHooks(request.Bundle.Config.Hooks)
	c, l, err := r.begin(&request, compile.Options{Wait: waits})
	if err != nil {
		return nil, err
	}
	defer func() { c.leave(err) }()
	defer func() { l.closeInputs() }()
	if waits {
		if err := c.makeFIFOs(l); err != nil {
			return nil, c.abandon(ctx, err)
		}
	}
	process := &Process{Terminal: -1, pidfd: -1, container: c, bundle: request.Bundle}
	l.terminal = request.ConsoleSocket == ""
	process.relay = c.relay()
	defer func() {
		if err != nil && process.relay != nil {
			process.relay.Close()
		}
		if err != nil {
			process.abandon()
		}
	}()
	if process.reap, err = becomeSubreaper(request, c.State.Namespaces); err != nil {
		return nil, c.abandon(ctx, err)
	}
	if err := c.launch(ctx, l, request); err != nil {
		return nil, c.abandon(ctx, c.explainOOM(err, request.Bundle.Config))
	}
	if waits {
		l.closeInputs() // our own ends of the FIFOs would hide that init closed its
		if err := c.hookAndRelease(ctx, request.Bundle); err != nil {
			return nil, c.abandon(ctx, err)
		}
	}
	if err := c.recordMembersLate(request.Bundle.Config); err != nil {
		return nil, c.abandon(ctx, err)
	}
	process.Pid, process.Terminal = l.init, l.received
	process.Notes, process.Warnings = l.result.Notes, l.result.Warnings
	process.pidfd = l.pidfd
	if !l.stays {
		// Init is our child and not waited for, so the id is its own.
		if process.pidfd, err = unix.PidfdOpen(process.Pid, 0); err != nil {
			return nil, c.abandon(ctx, fmt.Errorf("open init: %w", err))
		}
	}
	if err := c.keepMade(request.Bundle); err != nil {
		return nil, c.abandon(ctx, err)
	}
	if err := c.poststart(ctx, request.Bundle); err != nil {
		return nil, c.abandon(ctx, err)
	}
	return process, nil
}

// leave gives the lock back when the container is made, and all when it is not.
func (c *Container) leave(err error) {
	c.pidFile.close()
	if err != nil {
		c.Close()
		return
	}
	c.unlock()
}

// begin makes the container's directory and compiles its plan.
func (r *Runtime) begin(request *Request, o compile.Options) (_ *Container, _ *launch, err error) {
	if request.Bundle, err = withProfile(request.Bundle); err != nil {
		return nil, nil, err
	}
	c, err := r.make(request.ID)
	if err != nil {
		return nil, nil, err
	}
	l, err := c.compile(*request, o)
	if err != nil {
		err = c.abandon(context.Background(), err)
		c.Close()
		return nil, nil, err
	}
	return c, l, nil
}

// compile compiles the plan's first part, and leaves the second one to the
// launch, for when the stage runs.
func (c *Container) compile(request Request, o compile.Options) (*launch, error) {
	if err := c.addNotify(&request); err != nil {
		return nil, err
	}
	if request.Prepare != nil {
		if err := request.Prepare(c); err != nil {
			return nil, err
		}
	}
	u, err := c.unfinished(&request)
	if err != nil {
		return nil, err
	}
	cgroup, err := c.planCgroup(&request)
	if err != nil {
		return nil, err
	}
	request.ask(&o, cgroup)
	o.Seccomp = program(u.filter)
	if u.Beginning, err = compile.Begin(request.Bundle.Config, request.Facts, o); err != nil {
		return nil, err
	}
	result := u.Beginning.Result()
	c.describe(&request, result)
	l := &launch{result: result, unfinished: u, facts: request.Facts, name: "homerun: init " + c.ID, stdio: request.Stdio,
		preserve: request.Preserve, inputs: map[string]int{}, program: c.runtime.program(),
		directories: []string{c.reach("."), "/dev/shm", "/tmp"}, received: -1,
		agent: c.agentFor(u.filter, request.Bundle, Creating)}
	l.record = func(ctx context.Context, pid int) error {
		if err := c.recordWaiter(l); err != nil {
			return err
		}
		return c.record(ctx, pid, &request, cgroup)
	}
	l.scope = func(ctx context.Context, pid int) error { return c.awaitScope(ctx, pid, cgroup) }
	l.outside = func(ctx context.Context, pid int) error { return c.outside(ctx, pid, &request, cgroup) }
	l.pidfd = -1
	err = l.openNamespaces()
	if err == nil && request.Detached {
		err = c.openExit(l)
	}
	if err == nil {
		err = l.openCopies()
	}
	if err == nil {
		err = cgroup.make(c, l)
	}
	if err != nil {
		l.closeInputs()
		return nil, err
	}
	return l, nil
}

// ask adds to the options what the request makes necessary.
func (r *Request) ask(o *compile.Options, cgroup *cgroupPlan) {
	s := r.Bundle.Config
	o.Hold = cgroup.outside() || hasCreateHooks(s.Hooks) || r.Network != nil || hasOutside(s.Linux) || cgroup.delegate != ""
	o.Visible = r.Network != nil || hasInsideHooks(s.Hooks)
	o.VisibleWait = hasStartHooks(s.Hooks) || r.Facts.Process.Capabilities&(1<<unix.CAP_SYS_PTRACE) == 0 // for exec
	o.RecordExit = r.Detached
	o.IntoCgroup, o.LateCgroup, o.Record = cgroup.into(), cgroup.outside(), true
	o.Delegate = cgroup.delegate != ""
	r.options(o)
}

// hasInsideHooks tells whether hooks join the container while it is made;
// hasStartHooks, whether some do before its program starts.
func hasInsideHooks(h *specs.Hooks) bool { return h != nil && len(h.CreateContainer) > 0 }
func hasStartHooks(h *specs.Hooks) bool  { return h != nil && len(h.StartContainer) > 0 }

// hasCreateHooks tells whether hooks run while the container is made.
func hasCreateHooks(h *specs.Hooks) bool {
	return h != nil && len(h.Prestart)+len(h.CreateRuntime)+len(h.CreateContainer) > 0
}

// openNamespaces opens the namespaces that are joined by path, and the mounts
// whose ids only the runtime may map, and checks by the descriptor what they
// are: ioctl_nsfs(2), NS_GET_NSTYPE.
func (l *launch) openNamespaces() error {
	for _, j := range l.result.Joins {
		fd, err := unix.Open(j.Path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("join the namespace %s (%s): %w", j.Path, j.Pointer, err)
		}
		l.inputs[j.Name] = fd
		if kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE); err != nil || kind != j.Type {
			return fmt.Errorf("join the namespace %s (%s): it is not of that type", j.Path, j.Pointer)
		}
	}
	mounts, err := idmap.Prepare(l.result.IDMaps, l.facts)
	maps.Copy(l.inputs, mounts)
	return err
}

// describe fills what state.json tells of the config.
func (c *Container) describe(r *Request, result *compile.Result) {
	s := r.Bundle.Config
	c.State.Version, c.State.ID = StateVersion, c.ID
	c.State.OCIVersion, c.State.Bundle, c.State.Annotations = s.Version, r.Bundle.Dir, s.Annotations
	c.State.Created, c.State.UID = time.Now().UTC(), os.Geteuid()
	c.State.Namespaces, c.State.Chroot = result.Namespaces, result.Chroot
}

// keepConfig copies config.json, which exec, start and delete need; the bundle
// may have changed by then.
func (c *Container) keepConfig(request *Request) error {
	if request.Bundle.Raw == nil {
		return nil
	}
	if err := c.writeFile(configFile, request.Bundle.Raw); err != nil {
		return fmt.Errorf("keep config.json: %w", err)
	}
	return nil
}

// unwrap takes the errno out of an *os.PathError, whose words repeat ours.
func unwrap(err error) error {
	if p, ok := err.(*os.PathError); ok {
		return p.Err
	}
	return err
}

// makeFIFOs makes the way on which start and a waiting init meet. Init holds
// both ends of each, so opening the other side never blocks, and fails when
// init is dead.
func (c *Container) makeFIFOs(l *launch) error {
	for name, input := range map[string]string{startFIFO: compile.InputStart, outcomeFIFO: compile.InputOutcome} {
		if err := unix.Mknodat(c.fd, name, unix.S_IFIFO|0o600, 0); err != nil {
			return fmt.Errorf("make the FIFO %s: %w", name, err)
		}
		fd, err := c.openFile(name, unix.O_RDWR|unix.O_NOFOLLOW, 0)
		if err != nil {
			return fmt.Errorf("open the FIFO %s: %w", name, err)
		}
		l.inputs[input] = fd
	}
	return c.listen(l)
}

// pidfdAnnotation names a socket that receives init's pidfd, as crun has it.
const pidfdAnnotation = "run.oci.pidfd_receiver"

// launch starts the plan with what request asks for at its end.
func (c *Container) launch(ctx context.Context, l *launch, request Request) error {
	if err := l.connect(request.ConsoleSocket, request.Bundle.Config.Process); err != nil {
		return err
	}
	if _, err := l.start(ctx); err != nil {
		return err
	}
	c.hooked = request.Bundle
	for _, socket := range [...]string{request.PidfdSocket, request.Bundle.Config.Annotations[pidfdAnnotation]} {
		if err := sendPidfd(socket, l.init); err != nil {
			return err
		}
	}
	return c.pidFile.commit()
}

// record writes init's process id, and all that other verbs need, while init
// makes its mounts; init runs no program before.
func (c *Container) record(_ context.Context, pid int, request *Request, cgroup *cgroupPlan) error {
	_, start, err := processStat(pid)
	if err != nil {
		return fmt.Errorf("%w: read its start time: %v", errDied, err)
	}
	c.State.Pid, c.State.StartTime = pid, start
	if err := c.recordMembers(request.Bundle.Config); err != nil {
		return err
	}
	if err := c.planPidFile(request.PidFile); err != nil {
		return err
	}
	if err := cgroup.started(c, pid); err != nil {
		return err
	}
	if err := c.keepConfig(request); err != nil {
		return err
	}
	if err := c.write(); err != nil {
		return err
	}
	if !cgroup.outside() {
		if err := c.keepInit(); err != nil {
			return err
		}
	}
	if err := c.pidFile.create(); err != nil {
		return err
	}
	return c.pidFile.write(pid)
}

// planPidFile prepares the pid file, if one is asked for.
func (c *Container) planPidFile(name string) (err error) {
	if c.pidFile, err = newPidFile(name); err != nil || c.pidFile == nil {
		return err
	}
	undo, err := c.pidFile.undo()
	c.State.Undo = append(c.State.Undo, undo)
	return err
}

// awaitScope waits until init is in its scope, if it has one and is not there.
func (c *Container) awaitScope(ctx context.Context, pid int, cgroup *cgroupPlan) error {
	err := cgroup.finish(ctx, c, pid)
	if err != nil && !alive(pid, c.State.StartTime) {
		return errDied // and its scope went with it
	}
	return err
}

// outside does what is done in the runtime's namespaces once the container's
// exist.
func (c *Container) outside(ctx context.Context, pid int, request *Request, cgroup *cgroupPlan) error {
	if err := c.awaitScope(ctx, pid, cgroup); err != nil {
		return err
	}
	if err := cgroup.moveDown(c, pid); err != nil {
		return err
	}
	if err := c.outsideOf(request.Bundle.Config.Linux, pid); err != nil {
		return err
	}
	if request.Network != nil {
		if err := request.Network(ctx, c, pid); err != nil {
			return err
		}
	}
	return c.createHooks(ctx, request.Bundle)
}

// abandon undoes a container whose making failed, and returns why it did. Once
// its hooks have begun, the last ones undo what they did: runtime.md,
// "Lifecycle", steps 3 to 9.
func (c *Container) abandon(ctx context.Context, cause error) error {
	undo := context.WithoutCancel(ctx)
	if err := c.destroy(undo); err != nil {
		c.runtime.warn("clean up after a failure: %v", err)
	} else if c.hooked != nil {
		c.poststop(undo, c.hooked)
	}
	return cause
}

// errNotWaiting is for start.
var errNotWaiting = errors.New("cannot start a container that is not waiting for it")
