package container

import (
	"context"
	"fmt"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroup"
	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/cgroupv2/oom"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/launch"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/netns/client"
	"github.com/homerun-oci/homerun/pidfile"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/rootfs/idmap"
	"github.com/homerun-oci/homerun/seccomp/listener"
	"github.com/homerun-oci/homerun/store"
	"github.com/homerun-oci/homerun/systemd/notify"
	"github.com/homerun-oci/homerun/userns/install"
	"golang.org/x/sys/unix"
)

// starting is a container, or a process in one, on its way to run: what the
// actions of its plan work with. Close it when its launch is over.
type starting struct {
	c      *Container
	bundle *bundle.Bundle
	// launch has the plan's processes; nil in `start`, which does what is left of a plan
	// for an init that is there.
	launch *launch.Launch
	// cgroup does the actions on the container's cgroup; target is where an exec's
	// process goes.
	cgroup cgroup.Making
	target *live.Dir
	// agent receives the seccomp listener, or is nil.
	agent *listener.Agent
	// receiver is our end of the socket that the terminal comes through, terminal
	// the terminal; copies our end of that for copies. -1 when there is none.
	receiver, terminal, copies int
	// pidfds are connections to those who receive the process's pidfd, in the order
	// in which it is sent to them.
	pidfds []int
	// mappers write the id maps.
	mappers install.Helpers
	// network is the helper that connects the container's network; connected is what
	// it has answered.
	network   *client.Helper
	connected netns.Result
	// relay is the program's socket for notifications, if this process serves it.
	relay *notify.Relay
	// kernel counts whom the kernel kills for memory, for who stays with the program.
	kernel *oom.Watch
	// held: the process of an exec is moved into its cgroup while it waits.
	held bool
	// serves: this process stays with the program. waits: init waits for start.
	// reap: orphans of the container come to this process.
	serves, waits, reap bool
	// pidFile is written when the container is made.
	pidFile *pidfile.File
	// outcome is where init's report comes from, once it was let go by start; -1.
	outcome int
	// files are the program's; nil where it has the runtime's own.
	files *files
	// output is the program's, on its way to who keeps it; nil where nobody does.
	output *outputPipes
}

func (c *Container) newStarting(b *bundle.Bundle) *starting {
	s := &starting{c: c, bundle: b, receiver: -1, terminal: -1, copies: -1, outcome: -1}
	s.cgroup = cgroup.Making{Cgroup: c.cgroup(), Pidfd: func() int { return s.launch.Pidfd() }}
	return s
}

// close gives up what no Process has taken over.
func (s *starting) close() {
	s.launch.Close()
	s.closeHandles()
}

// closeHandles is close for one without a launch.
func (s *starting) closeHandles() {
	s.agent.Close()
	s.pidFile.Close()
	s.files.close()
	s.output.close()
	descriptor.Close(&s.receiver)
	descriptor.Close(&s.terminal)
	descriptor.Close(&s.copies)
	descriptor.Close(&s.outcome)
	for i := range s.pidfds {
		descriptor.Close(&s.pidfds[i])
	}
	s.cgroup.Close()
	if s.kernel != nil {
		s.kernel.Close()
		s.kernel = nil
	}
	if s.target != nil {
		s.target.Close()
		s.target = nil
	}
	if s.relay != nil {
		s.relay.Close()
		s.relay = nil
	}
}

// do does an action of a plan that is not about the stage. If it fails, init is killed
// first of all, and its processes have to be known by then.
func (s *starting) do(ctx context.Context, a plan.Action) error {
	err := s.recordAndDo(ctx, a)
	if err != nil {
		s.c.noteMembers()
	}
	return err
}

// recordAndDo does an action. What undoes it is recorded before: what was not done is not
// undone.
func (s *starting) recordAndDo(ctx context.Context, a plan.Action) error {
	if s.c.State.Undo.Add(s.undoes(a)...) {
		if err := s.c.save(); err != nil {
			return err
		}
	}
	if done, err := s.doOnCgroup(ctx, a); done {
		return err
	}
	return s.act(ctx, a)
}

// undoes are what is to be recorded before an action. What is there already before
// something is made is nobody's to undo.
func (s *starting) undoes(a plan.Action) action.Undos {
	switch a := a.(type) {
	case action.MakeDirectory:
		return nil // which the record is in
	case action.MakeCgroup:
		return cgroup.ToBeMade(a)
	case action.JoinClass:
		return action.Undos{classToBeMade(a)}
	case action.RecordMade:
		return s.c.toBeMade(s.launch.Facts)
	}
	if u := action.UndoOf(a); u != nil {
		return action.Undos{u}
	}
	return nil
}

// act does an action that is not about the cgroup. The cases are in the order of a
// plan. What fails from MarkMade on runs the last hooks.
func (s *starting) act(ctx context.Context, a plan.Action) error {
	switch a := a.(type) {
	case action.MakeDirectory:
		return s.makeDirectory(ctx)
	case action.KeepConfig:
		return s.c.keepMade(s.bundle)
	case action.LockOverlay:
		return s.lockOverlay(ctx, a)
	case action.MakeFile:
		return s.c.dir.MakeShared(a.Name)
	case action.MakeNotifySocket:
		return s.makeNotifySocket()
	case action.BecomeSubreaper:
		return s.becomeSubreaper()
	case action.MakeFIFOs:
		return s.makeFIFOs()
	case action.MakeExitRecord:
		return s.makeExitRecord()
	case action.KeepOutput:
		return s.keepOutput(a.Driver)
	case action.OpenNamespace:
		return s.openNamespace(a)
	case action.PrepareIDMap:
		return s.prepareIDMap(a)
	case action.MakePidFile:
		return s.makePidFile(a.Path)
	case action.ConnectConsole:
		return s.connectConsole(ctx, a.Socket)
	case action.ConnectPidfd:
		return s.connectPidfd(ctx, a.Socket)
	case action.ConnectAgent:
		return s.connectAgent(ctx)
	case action.OpenCopies:
		return s.openCopies()
	case action.MapIDs:
		return s.mapIDs(a)
	case action.AwaitMaps:
		return s.awaitMaps(ctx)
	case action.RecordMade:
		return nil // what is to be undone is recorded
	case action.KeepSteps:
		return s.keepSteps()
	case action.Record:
		return s.record(a)
	case action.Copy:
		return s.copy(ctx, a)
	case action.RunHook:
		return s.runHook(ctx, a)
	case action.MoveDevices:
		return s.moveDevices(a)
	case action.JoinClass:
		return s.c.joinClass(a)
	case action.StartNetwork:
		return s.startNetwork(ctx, a)
	case action.AwaitNetwork:
		return s.awaitNetwork(ctx, a.Connection)
	case action.WriteNetworkFiles:
		return s.c.fillNetworkFiles(a, s.connected)
	case action.MarkMade:
		s.c.hooked = s.bundle
		return s.c.dir.MarkMade()
	case action.MeetAgent:
		return s.meetAgent(ctx)
	case plan.Answer:
		return s.release()
	case action.PassListener:
		return s.passListener(ctx)
	case action.AwaitProgram:
		return s.awaitOutcome(ctx)
	case action.RecordMembers:
		return s.c.recordMembersLate()
	case action.ReceiveTerminal:
		return s.receiveTerminal()
	case action.SendPidfd:
		return s.sendPidfd(a.Socket)
	case action.NamePidFile:
		return s.namePidFile()
	}
	return fmt.Errorf("BUG: the runtime cannot do %s", a.Line())
}

// makeDirectory makes the container exist. What is recorded of it is written when
// there is something to undo.
func (s *starting) makeDirectory(ctx context.Context) error {
	if err := s.c.dir.Make(ctx); err != nil {
		return err
	}
	s.launch.Directories, s.launch.OpenFiles = s.c.stageDirectories(), s.c.runtime.options.OpenFiles
	return nil
}

// stageDirectories are where the stage's image may lie on a host that forbids executable
// memfds.
func (c *Container) stageDirectories() []string {
	return []string{c.dir.DescriptorPath("."), "/dev/shm", "/tmp"}
}

// openNamespace opens a namespace that is joined by its path, and checks by the
// descriptor what it is: ioctl_nsfs(2), NS_GET_NSTYPE.
func (s *starting) openNamespace(a action.OpenNamespace) error {
	fd, err := unix.Open(a.Path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("join the namespace %s (%s): %w", a.Path, a.Pointer, err)
	}
	s.launch.SetInput(a.Input, fd)
	if kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE); err != nil || kind != a.Type {
		return fmt.Errorf("join the namespace %s (%s): it is not of that type", a.Path, a.Pointer)
	}
	if a.Type == unix.CLONE_NEWUSER {
		s.c.recordUsers(fd)
	}
	return nil
}

func (s *starting) prepareIDMap(a action.PrepareIDMap) error {
	fd, err := idmap.Prepare(&a.IDMap, s.launch.Facts)
	if err == nil {
		s.launch.SetInput(a.Input, fd)
	}
	return err
}

// makeFIFOs makes the way on which start and a waiting init meet. Init holds
// both ends of each, so opening the other side never blocks, and fails when
// init is dead.
func (s *starting) makeFIFOs() error {
	for _, f := range [...]struct{ name, input string }{{store.StartFIFO, compile.InputStart}, {store.OutcomeFIFO, compile.InputOutcome}} {
		fd, err := s.c.dir.MakeFIFO(f.name)
		if err != nil {
			return err
		}
		s.launch.SetInput(f.input, fd)
	}
	return nil
}

// makeExitRecord makes the file for the first process, which stays to write it.
func (s *starting) makeExitRecord() error {
	fd, err := s.c.dir.MakeExit()
	if err != nil {
		return fmt.Errorf("make the exit record: %w", err)
	}
	s.launch.SetInput(compile.InputExit, fd)
	s.launch.Stay()
	return nil
}
