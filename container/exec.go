package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/process"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ExecRequest describes a process to start in a running container.
type ExecRequest struct {
	// Process is what runs, complete: see Container.Process.
	Process *specs.Process
	// Stdio are the standard streams; a terminal takes their place.
	Stdio [3]int
	// Preserve is how many descriptors from 3 on reach the process.
	Preserve int
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
	status, err := c.executable(request.IgnorePaused)
	if err != nil {
		return nil, err
	}
	b, err := c.bundle()
	if err != nil {
		return nil, err
	}
	l, err := c.joinAsProgram(b, compile.Join{Process: request.Process, Preserve: request.Preserve,
		ConsoleSocket: request.ConsoleSocket != ""}, request.Stdio, status)
	if err != nil {
		return nil, err
	}
	defer l.closeInputs()
	for _, w := range l.result.Warnings {
		c.runtime.warn("%s", w)
	}
	return c.startExec(ctx, l, request)
}

// joinAsProgram prepares a process that is confined as the container's program
// is. status is the container's, as a seccomp agent hears it.
func (c *Container) joinAsProgram(b *bundle.Bundle, j compile.Join, stdio [3]int, status string) (*launch, error) {
	facts, err := probe.Measure(probe.Request{Spec: &specs.Spec{Process: j.Process}})
	if err != nil {
		return nil, err
	}
	if err := c.insideFacts(&facts, j.Process); err != nil {
		return nil, err
	}
	lookAtStreams(&facts, &specs.Spec{Process: j.Process}, stdio)
	filter, err := c.filter(b)
	if err != nil {
		return nil, err
	}
	late := c.cannotEnter()
	j.Waits = status == Created
	j.Spec, j.Namespaces, j.Chroot, j.Seccomp = b.Config, c.State.Namespaces, c.State.Chroot, program(filter)
	j.IntoCgroup, j.Hold = c.State.Cgroup.Path != "" && !late, late
	l, err := c.join(j, &facts)
	if err != nil {
		return nil, err
	}
	l.stdio, l.moved = stdio, late
	if l.agent = c.agentFor(filter, b, status); l.agent != nil {
		l.agent.state.InitPID = c.State.Pid
	}
	return l, nil
}

// executable refuses a container in which nothing can be started. The status of
// another one is Created or Running.
func (c *Container) executable(ignorePaused bool) (status string, err error) {
	switch status := c.Status(); {
	case status == Stopped || status == Creating:
		return "", fmt.Errorf("cannot exec in a %s container: %w", status, ErrNotRunning)
	case status == Paused && !ignorePaused:
		return "", errors.New("cannot exec in a paused container (use --ignore-paused to override)")
	case status == Created:
		return Created, nil
	}
	return Running, nil
}

// insideFacts tells what the container's user namespace maps and allows, and
// where the user is at home.
func (c *Container) insideFacts(facts *host.Facts, p *specs.Process) error {
	if !process.HasHome(p.Env) {
		facts.Home = c.home(p.User.UID)
	}
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
func (c *Container) startExec(ctx context.Context, l *launch, request ExecRequest) (*Process, error) {
	l.preserve, l.terminal = request.Preserve, !request.Detached
	if err := c.execCgroup(l, request.Cgroup); err != nil {
		return nil, err
	}
	if err := l.connect(request.ConsoleSocket, request.Process); err != nil {
		return nil, err
	}
	file, err := newPidFile(request.PidFile)
	if err != nil {
		return nil, err
	}
	defer file.close()
	if err := file.create(); err != nil {
		return nil, err
	}
	pid, err := l.start(ctx)
	if err != nil {
		return nil, err
	}
	p := &Process{Pid: pid, Terminal: l.received, container: c, Warnings: l.result.Warnings}
	if p.pidfd, err = unix.PidfdOpen(pid, 0); err != nil {
		err = fmt.Errorf("open the process: %w", err)
	}
	if err == nil {
		err = sendPidfd(request.PidfdSocket, pid)
	}
	if err == nil {
		err = file.write(pid)
	}
	if err == nil {
		err = file.commit()
	}
	if err != nil {
		p.abandon()
		return nil, err
	}
	return p, nil
}

// execCgroup opens the cgroup for the process: init's own, where it is now, or
// one below the container's.
func (c *Container) execCgroup(l *launch, below string) error {
	if c.State.Cgroup.Path == "" {
		if below != "" {
			return errors.New("the container has no cgroup")
		}
		return nil
	}
	target, err := c.targetCgroup(below)
	if err != nil {
		return err
	}
	if l.moved {
		defer target.Close()
		l.outside = func(ctx context.Context, pid int) error { return c.enter(ctx, target.Path(), pid) }
		return nil
	}
	l.inputs[compile.InputCgroup] = target.FD()
	return nil
}

// targetCgroup opens init's cgroup, or one below the container's. Somebody with
// the right to may have moved init out of the container's, and removed that.
func (c *Container) targetCgroup(below string) (*live.Dir, error) {
	dir, err := c.openCgroup()
	if err != nil {
		if below == "" && errors.Is(err, unix.ENOENT) {
			return openCgroupOf(c.State.Pid)
		}
		return nil, err
	}
	defer dir.Close()
	return dir.Sub(c.initCgroup(below))
}

// openCgroupOf opens the cgroup that a process is in.
func openCgroupOf(pid int) (*live.Dir, error) {
	own, err := live.OfProcess(pid)
	if err != nil {
		return nil, err
	}
	return live.Open(probe.CgroupMountPoint() + own)
}

// initCgroup is the path of an exec's cgroup below the container's. Init may
// have moved itself further down, to give controllers to cgroups of its own;
// then the container's cgroup takes no more processes (EBUSY).
func (c *Container) initCgroup(below string) string {
	if below != "" {
		return relativeCgroup(below)
	}
	own, err := live.OfProcess(c.State.Pid)
	if err != nil {
		return "."
	}
	return relativeCgroup(belowCgroup(c.State.Cgroup.Path, own))
}

// belowCgroup is what a process's path, as /proc shows it, has behind that of
// the cgroup whose directory is dir; empty if it is not below.
func belowCgroup(dir, own string) string {
	for at := own; len(at) > 1; at = path.Dir(at) {
		if strings.HasSuffix(dir, at) {
			return own[len(at):]
		}
	}
	return ""
}

func relativeCgroup(p string) string {
	for len(p) > 0 && p[0] == '/' {
		p = p[1:]
	}
	if p == "" {
		return "."
	}
	return p
}

// join compiles a plan for a process in the container and opens its inputs.
func (c *Container) join(j compile.Join, facts *host.Facts) (*launch, error) {
	result, err := compile.CompileJoin(j, facts)
	if err != nil {
		return nil, err
	}
	for _, w := range result.Warnings {
		c.runtime.warn("%s", w)
	}
	if j.Namespaces == 0 {
		return c.newLaunch(result, facts), nil
	}
	return c.joining(result, facts, j.Chroot)
}

// joining prepares a plan that joins the container, with the inputs for that.
func (c *Container) joining(result *compile.Result, facts *host.Facts, chroot bool) (*launch, error) {
	l := c.newLaunch(result, facts)
	init, err := c.openInit()
	if err != nil {
		return nil, err
	}
	l.inputs[compile.InputInit] = init
	if chroot {
		root, err := unix.Open("/proc/"+strconv.Itoa(c.State.Pid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			l.closeInputs()
			return nil, fmt.Errorf("open the container's root: %w", err)
		}
		l.inputs[compile.InputRoot] = root
	}
	return l, nil
}

// newLaunch prepares a plan that needs no inputs.
func (c *Container) newLaunch(result *compile.Result, facts *host.Facts) *launch {
	return &launch{result: result, facts: facts, name: "homerun: exec " + c.ID, inputs: map[string]int{},
		directories: []string{c.reach("."), "/dev/shm", "/tmp"}, received: -1}
}

// Pause freezes the container's processes; Resume thaws them.
func (r *Runtime) Pause(ctx context.Context, id string) error {
	return r.freezer(id, Running, func(d *live.Dir) error { return d.Freeze(ctx) })
}

// Resume lets a paused container go on. It is an error when a cgroup above the
// container's is frozen and still holds it.
func (r *Runtime) Resume(_ context.Context, id string) error {
	return r.freezer(id, Paused, func(d *live.Dir) error {
		if err := d.Thaw(); err != nil {
			return err
		}
		return frozenAbove(d)
	})
}

// freezer does something with the cgroup of a container of the wanted status.
func (r *Runtime) freezer(id, want string, do func(*live.Dir) error) error {
	c, err := r.Open(id)
	if err != nil {
		return err
	}
	defer c.Close()
	if status := c.Status(); status != want && !(want == Running && status == Created) {
		if status == Stopped {
			return ErrNotRunning
		}
		return fmt.Errorf("the container is %s, not %s", status, want)
	}
	dir, err := c.openCgroup()
	if err != nil {
		return err
	}
	if dir == nil {
		return errors.New("the container has no cgroup, so its processes cannot be frozen")
	}
	defer dir.Close()
	return do(dir)
}
