// Package cgroup has the cgroup of one container: it makes it, directly or as a scope
// of systemd, finds it again by what is recorded of it, puts processes into it, and
// ends it. Package cgroupv2/live has the single operations, package compile what is
// wanted and in which order.
//
// # Theory of operation
//
// What is made outside is recorded before, in the state that other verbs read, and
// what was made after that: see leave.go. The actions are done one after the other,
// and are about the cgroup that the last one has made or found.
package cgroup

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/store"
	"github.com/homerun-oci/homerun/systemd/bus"
	"golang.org/x/sys/unix"
)

// Making is a container's cgroup while it is made. It is a value of one caller: not
// safe for concurrent use. Close it.
type Making struct {
	// Cgroup is the container's. The actions say in its State what they have made; the
	// caller writes that.
	Cgroup
	// Pidfd is init's pidfd: nobody waits for the scope of an init that has ended. Nil for
	// none.
	Pidfd func() int

	// own is what actions are about, nil when there is none; above is the one above
	// it that was made for the limits, or nil.
	own, above *live.Dir
	// devices is the device program that is to be attached.
	devices *live.Devices
	// job is the scope that systemd was asked for.
	job *bus.Job
}

// Do does an action, if it is one on a cgroup.
func (m *Making) Do(ctx context.Context, a plan.Action) (done bool, err error) {
	switch a := a.(type) {
	case action.MakeCgroup:
		err = m.make(a)
	case action.WriteCgroup:
		err = m.write(a)
	case action.LoadDevices:
		m.devices, err = live.LoadDevices(a.Program)
	case action.FilterDevices:
		err = m.own.AttachDevices(m.devices)
	case action.GiveCgroup:
		err = give(m.own, a)
	case action.StartScope:
		err = m.startScope(ctx, a)
	case action.AwaitScope:
		err = m.awaitScope(ctx, a)
	case action.MakeSubgroup:
		err = m.makeSubgroup(a)
	case action.MoveDown:
		err = m.moveDown(a)
	default:
		return false, nil
	}
	return true, err
}

// Descriptor is a new descriptor of the container's own cgroup, for a process that is
// to be made in it.
func (m *Making) Descriptor() (int, error) { return Descriptor(m.own) }

// Descriptor is a new descriptor of a cgroup.
func Descriptor(dir *live.Dir) (int, error) {
	fd, err := unix.FcntlInt(uintptr(dir.FD()), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("keep the cgroup %s open: %w", dir.Path(), err)
	}
	return fd, nil
}

// Close gives up the descriptors, and the connection to the service manager.
func (m *Making) Close() {
	for _, dir := range [...]**live.Dir{&m.own, &m.above} {
		if *dir != nil {
			(*dir).Close()
			*dir = nil
		}
	}
	if m.devices != nil {
		m.devices.Close()
		m.devices = nil
	}
	m.CloseBus()
}

// ToBeMade is what undoes a cgroup that is to be made, without its number, and those
// above it. One that is there already is nothing to undo (runtime.md, "Delete").
func ToBeMade(a action.MakeCgroup) (list action.Undos) {
	own := a.Choice
	own.Path = path.Join(own.Path, a.Below)
	for _, name := range live.Missing(own, a.Mount) {
		list = append(list, action.RemoveCgroup{Path: name})
	}
	return list
}

// make makes the cgroup with the limits, and below it the one that init is
// cloned into. What was made is listed with its number, in place of what was to be.
func (m *Making) make(a action.MakeCgroup) error {
	m.State.Cgroup.Path, m.State.Cgroup.LimitsAbove = path.Join(a.Mount, a.Choice.Path, a.Below), true
	above, made, err := m.Tree.Create(a.Choice, a.Mount, a.Controllers)
	if err != nil {
		return err
	}
	m.above = above
	m.made(made)
	if !slices.Contains(made, above.Path()) {
		if err := notInUse(above); err != nil {
			m.State.Cgroup = store.Cgroup{Manager: m.State.Cgroup.Manager}
			return err
		}
	}
	return m.makeBelow(a)
}

// makeBelow makes the container's own cgroup below the one with the limits.
func (m *Making) makeBelow(a action.MakeCgroup) error {
	leaf, made, err := m.above.Create(a.Below, a.Controllers)
	if err != nil {
		return err
	}
	m.own = leaf
	m.State.Cgroup.Inode = leaf.ID()
	if len(made) > 0 {
		m.State.Undo = append(m.State.Undo, action.RemoveCgroup{Path: leaf.Path(), Inode: leaf.ID()})
	}
	return CheckThawed(leaf)
}

// write writes one limit. What may depend on a later one is written again
// after that.
func (m *Making) write(a action.WriteCgroup) error {
	dir := m.own
	if a.Above {
		dir = m.above
	}
	write := dir.Apply
	if a.Prove {
		write = dir.Ensure
	}
	one := a.Write
	one.Retry = false
	err := write([]cgroupv2.Write{one})
	if early(a, err) {
		return nil
	}
	return err
}

// early reports whether a write has failed that comes again.
func early(a action.WriteCgroup, err error) bool {
	return a.Write.Retry && !a.Again && errors.Is(err, unix.EINVAL)
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
func (m *Making) startScope(ctx context.Context, a action.StartScope) (err error) {
	list := slices.Clone(a.Properties)
	for i := range list {
		if list[i].Name == "Description" {
			list[i].Value = fmt.Sprint(list[i].Value, scopeMark(m.State))
		}
	}
	if m.Bus == nil { // the facts are the caller's
		if m.Bus, err = m.Connect(ctx); err != nil {
			return err
		}
	}
	m.job, err = m.Bus.Start(ctx, a.Unit, m.State.Pid, list)
	return err
}

// scopeMark ends the description of the container's own scope: no other container
// has this init.
func scopeMark(s *store.State) string {
	return fmt.Sprintf(" (init %d, started at %d)", s.Pid, s.StartTime)
}

// awaitScope waits for the scope, and proves that it is ours. The connection stays
// open: a program may end at once, and its scope with it.
func (m *Making) awaitScope(ctx context.Context, a action.AwaitScope) error {
	init := -1
	if m.Pidfd != nil {
		init = m.Pidfd()
	}
	if err := m.job.Wait(ctx, init); err != nil {
		return err
	}
	own, err := live.OfProcess(m.State.Pid)
	if err != nil {
		return err
	}
	if path.Base(own) != a.Unit {
		// systemd issue 36781: a busy manager takes a new scope for empty.
		return errors.New("systemd made the scope " + a.Unit + " and ended it at once: init is in " + own)
	}
	if m.own, err = m.Tree.Open(path.Join(a.Mount, own)); err != nil {
		return err
	}
	m.State.Cgroup.Scope, m.State.Cgroup.Path, m.State.Cgroup.Inode = a.Unit, m.own.Path(), m.own.ID()
	m.foundScope(a.Unit, m.own.ID())
	return CheckThawed(m.own)
}

// TakeBus gives the connection to the service manager away; nil without one.
func (m *Making) TakeBus() *bus.Conn {
	conn := m.Bus
	m.Bus = nil
	return conn
}

// makeSubgroup makes the container's own cgroup in the scope.
func (m *Making) makeSubgroup(a action.MakeSubgroup) error {
	leaf, err := m.own.Make(a.Name) // with controllers when init is in it: see Enable
	if err != nil {
		return err
	}
	scope := m.own
	m.own = leaf
	defer scope.Close()
	if err := leaf.Attach(m.State.Pid); err != nil {
		return err
	}
	if err := scope.Enable(a.Controllers); err != nil {
		return err
	}
	m.State.Cgroup.Path, m.State.Cgroup.Inode = leaf.Path(), leaf.ID()
	return nil
}

// moveDown makes the delegated cgroup and moves init there.
func (m *Making) moveDown(a action.MoveDown) error {
	leaf, _, err := m.own.Create(a.Name, nil)
	if err != nil {
		return err
	}
	defer leaf.Close()
	if err := leaf.Attach(m.State.Pid); err != nil {
		return err
	}
	// A cgroup with processes gives no controllers to its children, so those on
	// the way down come after the move.
	again, _, err := m.own.Create(a.Name, nil)
	if err != nil {
		return err
	}
	defer again.Close()
	if a.Give == nil {
		return nil
	}
	return give(again, *a.Give)
}

// give gives a cgroup to the container's root. Who may not give it away has
// it already, or shares it.
func give(dir *live.Dir, to action.GiveCgroup) error {
	if err := dir.Delegate(int(to.UID), int(to.GID)); err != nil && !errors.Is(err, unix.EPERM) {
		return err
	}
	return nil
}
