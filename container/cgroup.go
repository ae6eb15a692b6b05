package container

import (
	"context"
	"errors"
	"fmt"
	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/systemd/bus"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/store"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Manager says who makes cgroups.
type Manager = cgroupv2.Manager

// ParseManager reads --cgroup-manager, and --systemd-cgroup, which wins over
// auto.
func ParseManager(name string, systemdCgroup bool) (Manager, error) {
	switch m := Manager(name); {
	case systemdCgroup && (m == "" || m == cgroupv2.Auto):
		return cgroupv2.Systemd, nil
	case m == "":
		return cgroupv2.Auto, nil
	case m == cgroupv2.Auto, m == cgroupv2.Systemd, m == cgroupv2.Cgroupfs, m == cgroupv2.None:
		return m, nil
	}
	return "", errors.New("unknown cgroup manager " + name + ": want auto, systemd, cgroupfs or disabled")
}

// makeCgroup makes the cgroup with the limits, and below it the one that init is
// cloned into. What is to be made is recorded before, without its number; then
// what was made, with it. A cgroup that was there is nothing to undo (runtime.md,
// "Delete").
func (s *starting) makeCgroup(a action.MakeCgroup) error {
	c, before, own := s.c, len(s.c.State.Undo), a.Choice
	own.Path = path.Join(own.Path, a.Below)
	c.State.Cgroup.Path, c.State.Cgroup.LimitsAbove = path.Join(a.Mount, own.Path), true
	c.undoCgroups(before, live.Missing(own, a.Mount), false)
	if err := c.save(); err != nil {
		return err
	}
	above, made, err := live.Create(a.Choice, a.Mount, a.Controllers)
	if err != nil {
		return err
	}
	s.above = above
	c.undoCgroups(before, made, true)
	if !slices.Contains(made, above.Path()) {
		if err := notInUse(above); err != nil {
			c.State.Cgroup = store.Cgroup{Manager: c.State.Cgroup.Manager}
			return err
		}
	}
	return s.makeBelow(a)
}

// makeBelow makes the container's own cgroup below the one with the limits.
func (s *starting) makeBelow(a action.MakeCgroup) error {
	c := s.c
	leaf, made, err := s.above.Create(a.Below, a.Controllers)
	if err != nil {
		return err
	}
	s.cgroup = leaf
	c.State.Cgroup.Inode = leaf.ID()
	if len(made) > 0 {
		c.State.Undo = append(c.State.Undo, store.Undo{Kind: store.UndoCgroup, Name: leaf.Path(), Inode: leaf.ID()})
	}
	if err := frozenAbove(leaf); err != nil {
		return err
	}
	fd, err := unix.FcntlInt(uintptr(leaf.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("keep the cgroup %s open: %w", leaf.Path(), err)
	}
	s.launch.SetInput(compile.InputCgroup, fd)
	return nil
}

// writeCgroup writes one limit. What may depend on a later one is written again
// after that.
func (s *starting) writeCgroup(a action.WriteCgroup) error {
	dir := s.cgroup
	if a.Above {
		dir = s.above
	}
	write := dir.Apply
	if a.Prove {
		write = dir.Ensure
	}
	one := a.Write
	one.Retry = false
	err := write([]cgroupv2.Write{one})
	if a.Write.Retry && !a.Again && errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// notInUse refuses a cgroup in which others run: the container would get their
// limits changed, be counted with them, and take them with it when it ends.
func notInUse(dir *live.Dir) error {
	if !dir.Populated() {
		return nil
	}
	pids, _ := dir.Processes()
	return fmt.Errorf("use the cgroup %s (linux.cgroupsPath): container's cgroup is not empty: %d process(es) found", dir.Path(), len(pids))
}

// startScope asks systemd for the scope, with init in it. A scope of that name may
// be another's: until init is found in it, ours is known by what describes it.
func (s *starting) startScope(ctx context.Context, a action.StartScope) (err error) {
	list := slices.Clone(a.Properties)
	for i := range list {
		if list[i].Name == "Description" {
			list[i].Value = fmt.Sprint(list[i].Value, s.c.scopeMark())
		}
	}
	if s.bus == nil { // the facts are the caller's
		if s.bus, err = connectSystemd(ctx); err != nil {
			return err
		}
	}
	s.job, err = s.bus.Start(a.Unit, s.launch.Init(), list)
	return err
}

// scopeMark ends the description of the container's own scope: no other container
// has this init.
func (c *Container) scopeMark() string {
	return fmt.Sprintf(" (init %d, started at %d)", c.State.Pid, c.State.StartTime)
}

// awaitScope waits for the scope, and proves that it is ours.
func (s *starting) awaitScope(ctx context.Context, a action.AwaitScope) error {
	defer s.closeBus()
	if err := s.job.Wait(ctx); err != nil {
		return err
	}
	c := s.c
	own, err := live.OfProcess(c.State.Pid)
	if err != nil {
		return err
	}
	if path.Base(own) != a.Unit {
		// systemd issue 36781: a busy manager takes a new scope for empty.
		return errors.New("systemd made the scope " + a.Unit + " and ended it at once: init is in " + own)
	}
	if s.cgroup, err = live.Open(path.Join(a.Mount, own)); err != nil {
		return err
	}
	c.State.Cgroup.Scope, c.State.Cgroup.Path, c.State.Cgroup.Inode = a.Unit, s.cgroup.Path(), s.cgroup.ID()
	c.foundScope(a.Unit, s.cgroup.ID())
	return frozenAbove(s.cgroup)
}

func (s *starting) closeBus() {
	if s.bus != nil {
		s.bus.Close()
		s.bus = nil
	}
}

// makeSubgroup makes the container's own cgroup in the scope.
func (s *starting) makeSubgroup(a action.MakeSubgroup) error {
	leaf, _, err := s.cgroup.Create(a.Name, nil)
	if err != nil {
		return err
	}
	scope := s.cgroup
	s.cgroup = leaf
	defer scope.Close()
	if err := leaf.Attach(s.c.State.Pid); err != nil {
		return err
	}
	if err := scope.Enable(a.Controllers); err != nil {
		return err
	}
	s.c.State.Cgroup.Path, s.c.State.Cgroup.Inode = leaf.Path(), leaf.ID()
	return nil
}

// moveDown makes the delegated cgroup and moves init there.
func (s *starting) moveDown(a action.MoveDown) error {
	leaf, _, err := s.cgroup.Create(a.Name, nil)
	if err != nil {
		return err
	}
	defer leaf.Close()
	if err := leaf.Attach(s.c.State.Pid); err != nil {
		return err
	}
	// A cgroup with processes gives no controllers to its children, so those on
	// the way down come after the move.
	again, _, err := s.cgroup.Create(a.Name, nil)
	if err != nil {
		return err
	}
	defer again.Close()
	if a.Give == nil {
		return nil
	}
	return giveCgroup(again, *a.Give)
}

// giveCgroup gives a cgroup to the container's root. Who may not give it away has
// it already, or shares it.
func giveCgroup(dir *live.Dir, to action.GiveCgroup) error {
	if err := dir.Delegate(int(to.UID), int(to.GID)); err != nil && !errors.Is(err, unix.EPERM) {
		return err
	}
	return nil
}

// resources are those of a config; nil when it has none.
func resources(s *specs.Spec) *specs.LinuxResources {
	if s.Linux == nil {
		return nil
	}
	return s.Linux.Resources
}

// openCgroup opens the container's cgroup; nil when it has none. One that is gone
// is os.ErrNotExist, also when its name is another container's by now, as that of
// a scope which ended with its last process.
func (c *Container) openCgroup() (*live.Dir, error) {
	if c.State.Cgroup.Path == "" {
		return nil, nil
	}
	return live.Reopen(c.State.Cgroup.Path, c.State.Cgroup.Inode)
}

// frozen reports whether the container is paused.
func (c *Container) frozen() bool {
	dir, err := c.openCgroup()
	if err != nil || dir == nil {
		return false
	}
	defer dir.Close()
	return dir.Frozen()
}

// thaw lets the container go on if it is paused. What somebody else froze above
// it stays so.
func (c *Container) thaw() {
	dir, err := c.openCgroup()
	if err != nil || dir == nil {
		return
	}
	defer dir.Close()
	if dir.Frozen() {
		_ = dir.Thaw()
	}
}

// connectSystemd finds the service manager that has the container's scope.
func connectSystemd(ctx context.Context) (*bus.Conn, error) {
	p, err := probe.New([3]int{})
	if err != nil {
		return nil, err
	}
	return bus.Connect(ctx, bus.NewPlace(p.Facts, os.Getenv))
}

// scopeOf is the scope's cgroup, at or above the container's.
func scopeOf(p string) string {
	for d := p; d != "/" && d != "."; d = path.Dir(d) {
		if strings.HasSuffix(d, ".scope") {
			return d
		}
	}
	return p
}
