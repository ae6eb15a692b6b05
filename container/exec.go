package container

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroup"
	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/launch"
	"github.com/homerun-oci/homerun/pidfile"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/userns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ExecRequest describes a process to start in a running container.
type ExecRequest struct {
	// Process is what runs, complete: see Container.Process.
	Process *specs.Process
	// Streams are the standard streams; a terminal takes their place.
	Streams Streams
	// Files reach the process as its descriptors from 3 on; nil leaves a gap.
	Files []*os.File
	// ConsoleSocket receives the terminal; without one the caller gets it.
	ConsoleSocket string
	// PidfdSocket receives the process's pidfd, PidFile its id.
	PidfdSocket, PidFile string
	// Cgroup is a cgroup below the container's to start it in.
	Cgroup string
	// IgnorePaused starts it in a paused container too.
	IgnorePaused bool
	// Detached: nobody waits, so the terminal must go to a socket.
	Detached bool
	// EndsWithCaller: the process is killed when the calling process ends, however that
	// does.
	EndsWithCaller bool
}

// Exec starts a process in a running container.
func (r *Runtime) Exec(ctx context.Context, id string, request ExecRequest) (*Process, error) {
	c, err := r.Peek(id)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Exec(ctx, request)
}

// Exec starts a process in a running container.
func (c *Container) Exec(ctx context.Context, request ExecRequest) (*Process, error) {
	if request.Process == nil {
		return nil, errNoExec
	}
	status, err := c.executable(ctx, request.IgnorePaused)
	if err != nil {
		return nil, err
	}
	b, err := c.executableBundle()
	if err != nil {
		return nil, err
	}
	if err := checkTerminal(request.Process, request.ConsoleSocket, request.Detached); err != nil {
		return nil, err
	}
	s, err := c.prepareExec(ctx, b, &request, status)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.startExec(ctx, request)
}

// errNoExec is for an ExecRequest that was not filled.
var errNoExec = errors.New("the request has no process to start")

// PlanExec measures and compiles what Exec would do, and does nothing of it.
func (c *Container) PlanExec(ctx context.Context, request ExecRequest) (*Plan, error) {
	if request.Process == nil {
		return nil, errNoExec
	}
	status, err := c.executable(ctx, request.IgnorePaused)
	if err != nil {
		return nil, err
	}
	b, err := c.executableBundle()
	if err != nil {
		return nil, err
	}
	s, err := c.prepareExec(ctx, b, &request, status)
	if err != nil {
		return nil, err
	}
	defer s.close()
	config := *b.Config
	config.Process = request.Process
	plan := &Plan{&config, s.launch.Facts, s.launch.Result}
	return plan, c.addContext(plan)
}

// addContext adds to the plan of an exec what its summary says of the container.
func (c *Container) addContext(p *Plan) (err error) {
	p.Facts.Rootfs.Path = c.State.Rootfs
	p.Result.Cgroup.Reason = "no cgroup"
	if dir := c.State.Cgroup.Path; dir != "" {
		p.Result.Cgroup.Reason = "the container's, " + dir
	}
	if c.State.Namespaces&unix.CLONE_NEWUSER == 0 {
		return nil
	}
	p.Result.Maps = &userns.Maps{}
	p.Result.Maps.UID.Mappings, err = probe.IDMap("/proc/" + strconv.Itoa(c.State.Pid) + "/uid_map")
	if err == nil {
		p.Result.Maps.GID.Mappings, err = probe.IDMap("/proc/" + strconv.Itoa(c.State.Pid) + "/gid_map")
	}
	return err
}

// prepareExec prepares the process of a request, in a container of that status.
func (c *Container) prepareExec(ctx context.Context, b *bundle.Bundle, r *ExecRequest, status string) (*starting, error) {
	files, err := openFiles(r.Streams, r.Files)
	if err != nil {
		return nil, err
	}
	s, err := c.joinAsProgram(ctx, b, r.join(), files.stdio(), status)
	if err != nil {
		files.close()
		return nil, err
	}
	s.files, s.launch.Files = files, files.rest()
	return s, nil
}

// join is what the plan is compiled from.
func (r *ExecRequest) join() compile.Join {
	return compile.Join{Process: r.Process, Preserve: len(r.Files), ConsoleSocket: r.ConsoleSocket, PidfdSocket: r.PidfdSocket, PidFile: r.PidFile, EndsWithCaller: r.EndsWithCaller && !r.Detached}
}

// joinAsProgram prepares a process that is confined as the container's program
// is. status is the container's, as a seccomp agent hears it.
func (c *Container) joinAsProgram(ctx context.Context, b *bundle.Bundle, j compile.Join, stdio [3]int, status string) (*starting, error) {
	facts, err := c.joinFacts(ctx, j, stdio)
	if err != nil {
		return nil, err
	}
	filter, err := c.filter(ctx, b)
	if err != nil {
		return nil, err
	}
	j.ContainerID, j.Waits, j.Hold = c.ID, status == Created, c.cgroup().CannotEnter()
	j.Spec, j.Namespaces, j.Chroot, j.Seccomp = b.Config, c.State.Namespaces, c.State.Chroot, program(filter)
	j.Keyring = !c.State.KeepsKeyring
	j.IntoCgroup = c.State.Cgroup.Path != "" && !j.Hold
	s, err := c.join(b, j, facts, stdio)
	if err != nil {
		return nil, err
	}
	s.held, s.agent = j.Hold, c.agentFor(filter, b, status)
	return s, nil
}

// executable refuses a container in which nothing can be started. The status of
// another one is Created or Running.
func (c *Container) executable(ctx context.Context, ignorePaused bool) (status string, err error) {
	status, err = c.awaitMade(ctx)
	switch {
	case err != nil:
		return "", err
	case status == Stopped || status == Creating:
		return "", fmt.Errorf("cannot exec in a %s container: %w", status, ErrNotRunning)
	case status == Paused && !ignorePaused:
		return "", &fault.Error{What: "cannot exec in a paused container (use --ignore-paused to override)", Cause: ErrStatus}
	case status == Created:
		return Created, nil
	}
	return Running, nil
}

// executableBundle is the bundle. Without a lock it may be gone by now, by a delete.
func (c *Container) executableBundle() (*bundle.Bundle, error) {
	b, err := c.bundle()
	if errors.Is(err, os.ErrNotExist) && !c.State.Init().Alive() {
		err = ErrNotRunning
	}
	return b, err
}

// awaitMade is the status of a container that is not just about to be made: its
// program may have told somebody that it runs before its runtime has marked it.
func (c *Container) awaitMade(ctx context.Context) (status string, err error) {
	status, err = c.Status()
	if err != nil || status != Creating || c.State.Pid == 0 {
		return status, err
	}
	if _, err := c.dir.AwaitMade(ctx, madeLimit); err != nil {
		return "", err
	}
	return c.Status()
}

// madeLimit is how long that takes at most, on a busy machine: a tenth was too short with
// eight processes for each CPU.
const madeLimit = time.Second

// joinFacts measures what the plan for a process in the container depends on.
func (c *Container) joinFacts(ctx context.Context, j compile.Join, stdio [3]int) (*host.Facts, error) {
	p, err := c.runtime.prober(stdio)
	if err != nil {
		return nil, err
	}
	needs := compile.JoinNeeds(j)
	if err := p.Measure(ctx, &needs); err != nil {
		return nil, err
	}
	if needs.Home != "" {
		home := c.home(needs.HomeUID)
		p.Facts.Home = &home
	}
	return p.Facts, c.insideFacts(p.Facts, j.Process)
}

// insideFacts says what the container's user namespace maps and allows.
func (c *Container) insideFacts(facts *host.Facts, p *specs.Process) error {
	if c.State.Namespaces&unix.CLONE_NEWUSER == 0 {
		return nil
	}
	if len(p.User.AdditionalGids) > 0 {
		maps, err := probe.IDMap("/proc/" + strconv.Itoa(c.State.Pid) + "/gid_map")
		if err != nil {
			return fmt.Errorf("look into the container's user namespace: %w", err)
		}
		facts.UserNamespace.GIDMap = maps
	}
	text, err := os.ReadFile("/proc/" + strconv.Itoa(c.State.Pid) + "/setgroups")
	if err != nil {
		return fmt.Errorf("look into the container's user namespace: %w", unwrap(err))
	}
	facts.UserNamespace.Setgroups = string(bytes.TrimSpace(text))
	return nil
}

// startExec starts the plan with what the request asks for at its end.
func (s *starting) startExec(ctx context.Context, request ExecRequest) (_ *Process, err error) {
	if err := s.execCgroup(request.Cgroup, request.IgnorePaused); err != nil {
		return nil, err
	}
	if err := s.launch.Run(ctx); err != nil {
		return nil, err
	}
	p := &Process{Pid: s.launch.Init(), Terminal: s.takeTerminal(), pidfd: s.launch.TakePidfd(), container: s.c,
		Warnings: s.launch.Result.Warnings}
	p.attendedIn(s.launch)
	s.c.ensureMembers(ctx, p.Pid, func() (bool, error) { // it may outlive init, which may have ended
		ended, err := proc.AwaitEnd(ctx, p.pidfd, 0)
		return !ended, err
	})
	return p, nil
}

// makePidFile makes the pid file of an exec.
func (s *starting) makePidFile(name string) (err error) {
	if s.pidFile, err = pidfile.New(name); err != nil {
		return err
	}
	return s.pidFile.Create()
}

// namePidFile writes the pid file, if it is not written yet, and gives it its name.
func (s *starting) namePidFile() error {
	if err := s.pidFile.Write(s.processID()); err != nil {
		return err
	}
	return s.pidFile.Commit()
}

// execCgroup opens the cgroup for the process: init's own, where it is now, or
// one below the container's.
func (s *starting) execCgroup(below string, intoFrozen bool) (err error) {
	if s.c.State.Cgroup.Path == "" {
		if below != "" {
			return &fault.Error{What: "the container has no cgroup", Cause: ErrNoCgroup}
		}
		return nil
	}
	if s.target, err = s.c.cgroup().Target(below); err != nil {
		return err
	}
	// The container's own was looked at for its status.
	if s.target.Path() != s.c.State.Cgroup.Path && !intoFrozen {
		err = cgroup.CheckThawed(s.target)
	}
	if err != nil || s.held {
		return err
	}
	return s.setCgroup(cgroup.Descriptor(s.target))
}

// join compiles a plan for a process in the container and opens its inputs.
func (c *Container) join(b *bundle.Bundle, j compile.Join, facts *host.Facts, stdio [3]int) (*starting, error) {
	result, err := compile.CompileJoin(j, facts)
	if err != nil {
		return nil, err
	}
	if j.Hook == nil { // a hook has the rights of the program, whose warnings were said
		c.runtime.warnOf(result.Warnings)
	}
	s := c.joining(b, launch.Options{Result: result, Facts: facts, Stdio: stdio})
	if j.Namespaces != 0 {
		err = s.openContainer(j.Namespaces, j.Chroot)
	}
	if err == nil && j.Process.Terminal {
		err = s.openDevpts()
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// joining prepares a launch in the container.
func (c *Container) joining(b *bundle.Bundle, o launch.Options) *starting {
	s := c.newStarting(b)
	o.Do, o.Debug = s.do, c.runtime.options.Debug
	s.launch = launch.New(o)
	s.launch.Directories, s.launch.OpenFiles = c.stageDirectories(), c.runtime.options.OpenFiles
	return s
}

// openContainer opens by what these namespaces of the container are joined, and its
// root if that was entered by chroot(2).
func (s *starting) openContainer(namespaces int, chroot bool) error {
	init, err := s.c.openInit()
	if err != nil {
		return err
	}
	return s.openOf(init, namespaces, chroot)
}

// openOf is openContainer for init's pidfd, which is the launch's then.
func (s *starting) openOf(init, namespaces int, chroot bool) error {
	s.launch.SetInput(compile.InputInit, init)
	err := s.openNumbered(namespaces, chroot)
	// If it has not ended by now, it had its number all the while.
	if ended, e := proc.AwaitEnd(context.Background(), init, 0); ended || e != nil {
		return cmp.Or(e, ErrNotRunning)
	}
	return err
}

// openNumbered opens what only the number of init leads to. The mount namespace is
// opened before it is looked whose it is: init may leave it after that, and the process
// does not follow.
func (s *starting) openNumbered(namespaces int, chroot bool) error {
	if namespaces&unix.CLONE_NEWNS != 0 {
		mounts, err := unix.Open(fmt.Sprintf("/proc/%d/ns/mnt", s.c.State.Pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == unix.ENOENT {
			return errors.New("the first thread of the container's init has ended, so its namespaces cannot be joined")
		} else if err != nil {
			return fmt.Errorf("open the container's mount namespace: %w", err)
		}
		s.launch.SetInput(compile.InputMounts, mounts)
	}
	if err := s.c.joinable(); err != nil {
		return err
	}
	if chroot {
		root, err := unix.Open("/proc/"+strconv.Itoa(s.c.State.Pid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open the container's root: %w", err)
		}
		s.launch.SetInput(compile.InputRoot, root)
	}
	return nil
}

// Pause freezes the container's processes; Resume thaws them.
func (r *Runtime) Pause(ctx context.Context, id string) error {
	return r.freezer(ctx, id, Running, func(d *live.Dir) error { return d.Freeze(ctx) })
}

// Resume lets a paused container go on. It is an error when a cgroup above the
// container's is frozen and still holds it.
func (r *Runtime) Resume(ctx context.Context, id string) error {
	return r.freezer(ctx, id, Paused, func(d *live.Dir) error {
		if err := d.Thaw(); err != nil {
			return err
		}
		return cgroup.CheckThawed(d)
	})
}

// freezer does something with the cgroup of a container of the wanted status.
func (r *Runtime) freezer(ctx context.Context, id, want string, do func(*live.Dir) error) error {
	c, err := r.Open(ctx, id)
	if err != nil {
		return err
	}
	defer c.Close()
	status, err := c.Status()
	if err != nil {
		return err
	}
	if status != want && !(want == Running && status == Created) {
		if status == Stopped {
			return ErrNotRunning
		}
		return &fault.Error{What: fmt.Sprintf("the container is %s, not %s", status, want), Cause: ErrStatus}
	}
	dir, err := c.openCgroup()
	if err != nil {
		return err
	}
	if dir == nil {
		return &fault.Error{What: "the container has no cgroup, so its processes cannot be frozen", Cause: ErrNoCgroup}
	}
	defer dir.Close()
	return do(dir)
}
