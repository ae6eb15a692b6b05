package cgroup

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/systemd"
	"github.com/homerun-oci/homerun/systemd/bus"
	"golang.org/x/sys/unix"
)

// manager plays systemd on a bus: its jobs are done at once, and what it was asked for
// is remembered.
type manager struct {
	bus *dbus.Conn

	lock        sync.Mutex
	silent      chan struct{} // until it is closed, Description is not answered
	stuck       chan struct{} // until it is closed, no unit is started
	forgets     int           // so many times it forgets that it was asked to stop a unit
	description string
	asked       []string
}

type property struct {
	Name  string
	Value dbus.Variant
}

func (m *manager) note(format string, args ...any) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.asked = append(m.asked, fmt.Sprintf(format, args...))
}

// seen takes what it was asked for.
func (m *manager) seen() (asked []string) {
	m.lock.Lock()
	defer m.lock.Unlock()
	asked, m.asked = m.asked, nil
	return asked
}

func (m *manager) job(unit string) (dbus.ObjectPath, *dbus.Error) {
	at := dbus.ObjectPath("/org/freedesktop/systemd1/job/1")
	_ = m.bus.Emit("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager.JobRemoved", uint32(1), at, unit, "done")
	return at, nil
}

func (m *manager) StartTransientUnit(unit, _ string, list []property, _ []struct {
	Name       string
	Properties []property
}) (dbus.ObjectPath, *dbus.Error) {
	for _, p := range list {
		if p.Name == "Description" {
			m.lock.Lock()
			m.description, _ = p.Value.Value().(string)
			m.lock.Unlock()
		}
	}
	m.note("start %s", unit)
	m.lock.Lock()
	stuck := m.stuck
	m.lock.Unlock()
	if stuck != nil {
		<-stuck
	}
	return m.job(unit)
}

func (m *manager) StopUnit(unit, _ string) (dbus.ObjectPath, *dbus.Error) {
	m.note("stop %s", unit)
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.forgets > 0 {
		m.forgets--
		return "", &dbus.Error{Name: "org.freedesktop.DBus.Error.NoReply"}
	}
	return m.job(unit)
}

func (m *manager) ResetFailedUnit(string) *dbus.Error { return nil }

func (m *manager) GetUnit(unit string) (dbus.ObjectPath, *dbus.Error) {
	return "/org/freedesktop/systemd1/unit", nil
}

func (m *manager) GetUnitByPID(pid uint32) (dbus.ObjectPath, *dbus.Error) {
	if pid != uint32(os.Getpid()) {
		return "", &dbus.Error{Name: "org.freedesktop.systemd1.NoUnitForPID"}
	}
	return "/org/freedesktop/systemd1/unit/web_2eservice", nil
}

func (m *manager) LoadUnit(unit string) (dbus.ObjectPath, *dbus.Error) { return m.GetUnit(unit) }

func (m *manager) AttachProcessesToUnit(unit, sub string, pids []uint32) *dbus.Error {
	m.note("attach %s %s %v", unit, sub, pids)
	return nil
}

func (m *manager) Get(_, name string) (dbus.Variant, *dbus.Error) {
	m.lock.Lock()
	if silent := m.silent; name == "Description" && silent != nil {
		m.lock.Unlock()
		<-silent
		m.lock.Lock()
	}
	defer m.lock.Unlock()
	switch name {
	case "Description":
		return dbus.MakeVariant(m.description), nil
	case "Id":
		return dbus.MakeVariant("web.service"), nil
	case "ControlGroup":
		return dbus.MakeVariant("/user.slice/web.service"), nil
	}
	return dbus.MakeVariant("252"), nil
}

// managed is a container whose service manager is a fake one.
func managed(t *testing.T) (c Cgroup, mount string, m *manager) {
	t.Helper()
	c, mount = fake(t)
	socket := filepath.Join(t.TempDir(), "bus")
	config := socket + ".conf"
	text := `<busconfig><type>session</type><listen>unix:path=` + socket + `</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("dbus-daemon", "--config-file="+config, "--nofork", "--print-address=1")
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Skip("needs dbus-daemon (apt-get install dbus): ", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal("dbus-daemon does not start: ", err)
	}
	m = &manager{}
	if m.bus, err = dbus.Connect("unix:path=" + socket); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.bus.Close() })
	for _, at := range []dbus.ObjectPath{"/org/freedesktop/systemd1", "/org/freedesktop/systemd1/unit", "/org/freedesktop/systemd1/unit/x_2escope", "/org/freedesktop/systemd1/unit/web_2eservice"} {
		for _, name := range []string{"org.freedesktop.systemd1.Manager", "org.freedesktop.DBus.Properties"} {
			if err := m.bus.Export(m, at, name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := m.bus.RequestName("org.freedesktop.systemd1", 0); err != nil {
		t.Fatal(err)
	}
	c.Manager = bus.Place{UID: os.Getuid(), HostUID: os.Getuid(), SessionAddress: "unix:path=" + socket}
	return c, mount, m
}

// A scope is asked for with a description that names the container's init; init is
// found in it, and its number recorded. Ours is stopped by that description, until
// its number is known.
func TestScope(t *testing.T) {
	c, mount, m := managed(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	at, err := live.OfProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	own, unit := dir(t, mount+at, nil), path.Base(at)
	c.State.Undo = action.Undos{action.StopScope{Unit: unit}}
	making := Making{Cgroup: c}
	defer making.Close()
	properties := []systemd.Property{{Name: "Description", Value: "homerun container web"}, {Name: "Delegate", Value: true}}
	if done, err := making.Do(ctx, action.StartScope{Unit: unit, Properties: properties}); !done || err != nil {
		t.Fatal(done, err)
	}
	if properties[0].Value != "homerun container web" {
		t.Error("the plan was changed")
	}
	if done, err := making.Do(ctx, action.AwaitScope{Unit: unit, Mount: mount}); !done || err != nil {
		t.Fatal(done, err)
	}
	if got := m.seen(); !slices.Equal(got, []string{"start " + unit}) || m.description != "homerun container web"+scopeMark(c.State) { // Await has come after it
		t.Errorf("%q, %q", got, m.description)
	}
	// The connection is there for a program that ends at once.
	kept := making.TakeBus()
	if kept == nil || making.Bus != nil {
		t.Fatalf("%v, %v", kept, making.Bus)
	}
	defer kept.Close()
	g := c.State.Cgroup
	if g.Scope != unit || path.Clean(g.Path) != path.Clean(own) || g.Inode != inode(t, own) || c.State.Undo[0] != (action.StopScope{Unit: unit, Inode: g.Inode}) {
		t.Errorf("%+v, %+v", g, c.State.Undo)
	}
	if err := c.Enter(ctx, g.Path+"/sub", 7); err != nil || !slices.Equal(m.seen(), []string{"attach " + unit + " /sub [7]"}) {
		t.Error(err)
	}
}

// A scope in which init is not found is none of ours, whatever systemd says.
func TestScopeWithoutInit(t *testing.T) {
	c, mount, _ := managed(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	making := Making{Cgroup: c}
	defer making.Close()
	if _, err := making.Do(ctx, action.StartScope{Unit: "x.scope"}); err != nil {
		t.Fatal(err)
	}
	_, err := making.Do(ctx, action.AwaitScope{Unit: "x.scope", Mount: mount})
	if err == nil || !strings.HasPrefix(err.Error(), "systemd made the scope x.scope and ended it at once: init is in /") {
		t.Error(err)
	}
	if c.State.Cgroup.Path != "" {
		t.Errorf("%+v", c.State.Cgroup)
	}
	if making.Close(); making.Bus != nil {
		t.Error("the connection is open")
	}
}

// Nobody waits for the scope of an init that has ended.
func TestScopeOfEndedInit(t *testing.T) {
	c, mount, m := managed(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stuck := make(chan struct{})
	defer close(stuck)
	m.lock.Lock()
	m.stuck = stuck
	m.lock.Unlock()
	init, pidfd := exec.Command("true"), -1
	init.SysProcAttr = &unix.SysProcAttr{PidFD: &pidfd}
	if err := init.Run(); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	making := Making{Cgroup: c, Pidfd: func() int { return pidfd }}
	defer making.Close()
	if _, err := making.Do(ctx, action.StartScope{Unit: "x.scope"}); err != nil {
		t.Fatal(err)
	}
	if _, err := making.Do(ctx, action.AwaitScope{Unit: "x.scope", Mount: mount}); err == nil || ctx.Err() != nil {
		t.Errorf("%v, %v", err, ctx.Err())
	}
}

// A scope whose number is not known is stopped if its description is ours, and left
// alone if it is another container's.
func TestStopUnproven(t *testing.T) {
	c, _, m := managed(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for description, want := range map[string][]string{
		"homerun container web" + scopeMark(c.State):       {"stop x.scope"},
		"homerun container web (init 1, started at 7)":     nil,
		"homerun container web" + scopeMark(c.State) + "0": nil,
		"": nil,
	} {
		m.lock.Lock()
		m.description = description
		m.lock.Unlock()
		if err := c.Stop(ctx, action.StopScope{Unit: "x.scope"}); err != nil || !slices.Equal(m.seen(), want) {
			t.Errorf("%q: %v", description, err)
		}
	}
}

// A manager that has executed itself anew when it was asked to stop a scope is asked
// again; as long as it does not do it, the cgroup stays, by which the scope is found.
func TestStopForgotten(t *testing.T) {
	c, mount, m := managed(t)
	scope := dir(t, mount+"/x.scope", nil)
	c.in(t, scope)
	c.State.Cgroup.Scope = "x.scope"
	m.lock.Lock()
	m.description, m.forgets = "homerun container web"+scopeMark(c.State), 1
	m.lock.Unlock()
	if err := c.Stop(t.Context(), action.StopScope{Unit: "x.scope", Inode: inode(t, scope)}); err != nil {
		t.Error(err)
	}
	if got := m.seen(); !slices.Equal(got, []string{"stop x.scope", "stop x.scope"}) {
		t.Errorf("%q", got)
	}
	if _, err := os.Stat(scope); err == nil {
		t.Error("the cgroup is left")
	}
	scope = dir(t, scope, nil)
	m.lock.Lock()
	m.forgets = 1 << 20
	m.lock.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 4*noticeLimit)
	defer cancel()
	if err := c.Stop(ctx, action.StopScope{Unit: "x.scope", Inode: inode(t, scope)}); err == nil {
		t.Error("it was not stopped, and that is no error")
	}
	if _, err := os.Stat(scope); err != nil {
		t.Error(err)
	}
}

// A manager that does not say whose the scope is does not hold up what is left to do.
func TestStopUnprovenInTime(t *testing.T) {
	c, _, m := managed(t)
	silent := make(chan struct{})
	defer close(silent)
	m.lock.Lock()
	m.silent = silent
	m.lock.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	begun := time.Now()
	err := c.Stop(ctx, action.StopScope{Unit: "x.scope"})
	if took := time.Since(begun); err == nil || ctx.Err() != nil || took > 3*unprovenLimit {
		t.Errorf("%v after %v", err, took)
	}
}

// A scope that systemd leaves, since what is in it is nested too deeply, is emptied, and
// systemd is told.
func TestStopLeftScope(t *testing.T) {
	c, mount, m := managed(t)
	scope := dir(t, mount+"/x.scope", nil)
	c.in(t, dir(t, scope+"/container", nil))
	c.State.Cgroup.Scope = "x.scope"
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.Stop(ctx, action.StopScope{Unit: "x.scope", Inode: inode(t, scope)}); err != nil || !slices.Equal(m.seen(), []string{"stop x.scope"}) {
		t.Error(err)
	}
	if _, err := os.Stat(scope); !os.IsNotExist(err) {
		t.Errorf("it is left: %v", err)
	}
	kept, err := c.Connect(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	c.Manager.SessionAddress = "unix:path=/no/such/bus"
	c.Bus = kept // and no other is asked for
	for range 2 {
		if err := c.Stop(ctx, action.StopScope{Unit: "x.scope", Inode: inode(t, dir(t, scope, nil))}); err != nil || !slices.Equal(m.seen(), []string{"stop x.scope"}) {
			t.Error(err)
		}
	}
	c.Bus = nil
	for _, u := range []action.StopScope{{Unit: "x.scope"}, {Unit: "x.scope", Inode: inode(t, dir(t, scope, nil))}} {
		short, cancel := context.WithTimeout(ctx, 4*noticeLimit) // it would wait longer for one to ask
		if err := c.Stop(short, u); err == nil {
			t.Errorf("%+v: nobody was asked", u)
		}
		cancel()
	}
	if err := c.Enter(ctx, scope, 7); err == nil {
		t.Error("nobody was asked")
	}
	making := Making{Cgroup: c}
	if _, err := making.Do(ctx, action.StartScope{Unit: "x.scope"}); err == nil || making.Bus != nil {
		t.Errorf("%v", err)
	}
}

// What is in a scope is killed before systemd is asked, as one does that was moved in: it
// would send TERM, and wait.
func TestStopPopulatedScope(t *testing.T) {
	c, mount, m := managed(t)
	scope := dir(t, mount+"/x.scope", map[string]string{"cgroup.events": "populated 1\nfrozen 0\n", "cgroup.kill": "", "cgroup.procs": ""})
	c.in(t, scope)
	c.State.Cgroup.Scope = "x.scope"
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := c.Stop(ctx, action.StopScope{Unit: "x.scope", Inode: inode(t, scope)}); err == nil || m.seen() != nil {
		t.Errorf("%v", err)
	}
	if text, err := os.ReadFile(scope + "/cgroup.kill"); err != nil || string(text) != "1" {
		t.Errorf("nothing was killed: %q, %v", text, err)
	}
}

// A unit with Delegate=yes has the container's cgroup in its own, and the container may
// have the unit's name.
func TestEnterUnit(t *testing.T) {
	c, mount, m := managed(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c.State.Cgroup.Path, c.State.Pid = mount+"/user.slice/web.service/homerun-web.service/container", os.Getpid()
	for target, want := range map[string]string{
		c.State.Cgroup.Path:               "attach web.service /homerun-web.service/container [7]",
		c.State.Cgroup.Path + "/below":    "attach web.service /homerun-web.service/container/below [7]",
		mount + "/user.slice/web.service": "attach web.service  [7]",
	} {
		if err := c.Enter(ctx, target, 7); err != nil || !slices.Equal(m.seen(), []string{want}) {
			t.Errorf("%s: %v, not %s", target, err, want)
		}
	}
	c.State.Pid = 1
	if err := c.Enter(ctx, c.State.Cgroup.Path, 7); err == nil || len(m.seen()) != 0 {
		t.Errorf("a cgroup of another manager's was entered: %v", err)
	}
}

// Root may enter any cgroup, and one that is none, or is gone, systemd cannot
// move a process to.
func TestCannotEnter(t *testing.T) {
	c, mount := fake(t)
	own := dir(t, mount+"/x.scope", nil)
	for name, change := range map[string]func(){
		"no cgroup": func() { c.State.Pid = os.Getpid() },
		"gone":      func() { c.State.Cgroup.Scope, c.State.Cgroup.Path = "x.scope", mount+"/none" },
		"no init":   func() { c.in(t, own); c.State.Pid = 1 << 22 },
	} {
		if change(); c.CannotEnter() {
			t.Errorf("%s: it cannot enter", name)
		}
		c.State.Cgroup.Scope, c.State.Cgroup.Path, c.State.Pid = "", "", os.Getpid()
	}
}

// What counts is the lowest cgroup above both; init may have moved itself further down.
func TestMayMove(t *testing.T) {
	_, mount := fake(t)
	container := dir(t, mount+"/user.slice/user@1.service/x.scope/container", nil)
	dir(t, mount+"/user.slice/user@1.service", map[string]string{"cgroup.procs": ""})
	for _, test := range []struct {
		own, theirs string
		want        bool
	}{
		{"/user.slice/user@1.service/app.slice", "/user.slice/user@1.service/x.scope/container", true},
		{"/user.slice/user@1.service", "/user.slice/user@1.service/x.scope/container/init", true},
		{"/user.slice/session-1.scope", "/user.slice/user@1.service/x.scope/container", false},
		{"/user.slice/user@1.service/x.scope", "/user.slice/user@1.service/x.scope/container", false},
		{"/system.slice", "/user.slice/user@1.service/x.scope/container/init", false},
	} {
		if got := mayMove(test.own, test.theirs, container); got != test.want {
			t.Errorf("%s to %s: %v", test.own, test.theirs, got)
		}
	}
}
