package bus

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/homerun-oci/homerun/fault"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/limits"
	"github.com/homerun-oci/homerun/systemd"
	"golang.org/x/sys/unix"
)

// startBus runs a real dbus-daemon on a socket of its own.
func startBus(t testing.TB) (socket string) {
	t.Helper()
	return startBusAs(t, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL})
}

func startBusAs(t testing.TB, attributes *syscall.SysProcAttr) (socket string) {
	t.Helper()
	program, err := exec.LookPath("dbus-daemon")
	if err != nil {
		unable(t, "no dbus-daemon (apt-get install dbus)")
	}
	dir := t.TempDir()
	socket = filepath.Join(dir, "bus")
	config := filepath.Join(dir, "bus.conf")
	text := `<busconfig><type>session</type><listen>unix:path=` + socket + `</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config-file="+config, "--nofork", "--print-address=1")
	cmd.SysProcAttr = attributes
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal("dbus-daemon does not start: ", err)
	}
	return socket
}

// fakeManager stands for systemd on the bus.
type fakeManager struct {
	bus *dbus.Conn
	mu  sync.Mutex
	// knobs
	unknown   map[string]bool
	units     map[string]bool
	stuck     bool
	result    string
	delay     time.Duration
	dbusError *dbus.Error
	version   string
	// what was seen
	calls []string
	jobs  int
}

type wireProperty struct {
	Name  string
	Value dbus.Variant
}

type wireUnit struct {
	Name       string
	Properties []wireProperty
}

func (m *fakeManager) note(format string, args ...any) {
	m.calls = append(m.calls, fmt.Sprintf(format, args...))
}

// with changes the knobs.
func (m *fakeManager) with(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

func (m *fakeManager) seen() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

func (m *fakeManager) StartTransientUnit(unit, mode string, list []wireProperty, aux []wireUnit) (dbus.ObjectPath, *dbus.Error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note("start %s %s %d", unit, mode, len(list))
	if m.dbusError != nil {
		return "", m.dbusError
	}
	if m.units[unit] {
		return "", dbus.NewError(errUnitExists, []any{"Unit " + unit + " was already loaded or has a fragment file."})
	}
	if err := m.check(list); err != nil {
		return "", err
	}
	return m.job(unit), nil
}

func (m *fakeManager) check(list []wireProperty) *dbus.Error {
	for _, p := range list {
		if m.unknown[p.Name] {
			return dbus.NewError("org.freedesktop.DBus.Error.PropertyReadOnly", []any{"Cannot set property " + p.Name + ", or unknown property."})
		}
	}
	return nil
}

func (m *fakeManager) job(unit string) dbus.ObjectPath {
	m.jobs++
	id := uint32(m.jobs)
	path := dbus.ObjectPath(fmt.Sprintf("/org/freedesktop/systemd1/job/%d", id))
	if m.stuck {
		return path
	}
	emit := func(id uint32, path dbus.ObjectPath, unit, result string) {
		m.bus.Emit(object, manager+jobRemoved, id, path, unit, result)
	}
	// Noise that must not be taken for the answer, then the answer, which may
	// overtake the reply of the call.
	emit(1000, "/org/freedesktop/systemd1/job/1000", unit, "failed")
	emit(1001, path+"1", "other.scope", "failed")
	if m.delay == 0 {
		emit(id, path, unit, m.result)
		return path
	}
	result := m.result
	time.AfterFunc(m.delay, func() { emit(id, path, unit, result) })
	return path
}

func (m *fakeManager) ResetFailedUnit(unit string) *dbus.Error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note("reset %s", unit)
	if !m.units[unit] {
		return dbus.NewError(errNoSuchUnit, []any{"Unit " + unit + " not loaded."})
	}
	if !strings.HasPrefix(unit, "running") {
		delete(m.units, unit)
	}
	return nil
}

func (m *fakeManager) StopUnit(unit, mode string) (dbus.ObjectPath, *dbus.Error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note("stop %s %s", unit, mode)
	if !m.units[unit] {
		return "", dbus.NewError(errNoSuchUnit, []any{"Unit " + unit + " not loaded."})
	}
	return m.job(unit), nil
}

func (m *fakeManager) SetUnitProperties(unit string, runtime bool, list []wireProperty) *dbus.Error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for _, p := range list {
		names = append(names, p.Name+"="+p.Value.String())
	}
	m.note("set %s %v %s", unit, runtime, strings.Join(names, " "))
	return m.check(list)
}

func (m *fakeManager) AttachProcessesToUnit(unit, sub string, pids []uint32) *dbus.Error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note("attach %s %s %v", unit, sub, pids)
	return nil
}

// Get answers what Connect asks.
func (m *fakeManager) Get(string, string) (dbus.Variant, *dbus.Error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return dbus.MakeVariant(m.version), nil
}

// newManager puts a fake systemd on a new bus, and connects to it.
func newManager(t testing.TB) (*fakeManager, *Conn) {
	t.Helper()
	socket := startBus(t)
	m := manage(t, socket)
	return m, connect(t, socket)
}

// manage puts a fake systemd on a bus.
func manage(t testing.TB, socket string) *fakeManager {
	t.Helper()
	bus, err := dbus.Connect("unix:path=" + socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.Close() })
	m := &fakeManager{bus: bus, result: "done", version: "252.39-1~deb12u1", unknown: map[string]bool{}, units: map[string]bool{}}
	for _, name := range []string{"org.freedesktop.systemd1.Manager", "org.freedesktop.DBus.Properties"} {
		if err := bus.Export(m, object, name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := bus.RequestName(destination, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	return m
}

func connect(t testing.TB, socket string) *Conn {
	t.Helper()
	c, err := Connect(context.Background(), Place{UID: os.Getuid(), HostUID: os.Getuid(), SessionAddress: "unix:path=" + socket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func limited(t testing.TB, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// scopeProperties has a value of each type that occurs.
func scopeProperties() []systemd.Property {
	limit := limits.Set{limits.Number{Pointer: "linux.resources.unified.memory.zswap.max", Knob: limits.ZswapMax, Amount: 5}}
	return []systemd.Property{
		{Name: "Slice", Value: "user.slice"}, {Name: "PIDs", Value: []uint32{1}}, {Name: "CollectMode", Value: "inactive-or-failed"},
		{Name: "MemoryZSwapMax", Value: uint64(5), Limits: limit}, {Name: "AllowedCPUs", Value: []byte{3}}, {Name: "KillSignal", Value: int32(15)},
		{Name: "IOReadBandwidthMax", Value: []systemd.DeviceValue{{Path: "/dev/block/8:0", Value: 1}}}, {Name: "After", Value: []string{"a"}}, {Name: "Delegate", Value: true},
	}
}

func start(t testing.TB, c *Conn, unit string) (*Job, error) {
	t.Helper()
	j, err := c.Start(t.Context(), unit, 0, scopeProperties())
	if err != nil {
		t.Fatal(err)
	}
	return j, j.Wait(limited(t, 5*time.Second), -1)
}

func TestStart(t *testing.T) {
	m, c := newManager(t)
	for range 3 {
		if _, err := start(t, c, "a.scope"); err != nil {
			t.Fatal(err)
		}
	}
	if got := m.seen(); !slices.Equal(got, []string{"start a.scope fail 9", "start a.scope fail 9", "start a.scope fail 9"}) {
		t.Errorf("calls %q", got)
	}
}

func TestStartSlowJob(t *testing.T) {
	m, c := newManager(t)
	const delay = 300 * time.Millisecond
	m.with(func() { m.delay = delay })
	begin := time.Now()
	j, err := c.Start(t.Context(), "a.scope", 0, scopeProperties())
	if err != nil {
		t.Fatal(err)
	}
	if time.Since(begin) > 200*time.Millisecond {
		t.Error("Start waits for the job")
	}
	if err := j.Wait(limited(t, 5*time.Second), -1); err != nil || time.Since(begin) < delay {
		t.Error(err, time.Since(begin))
	}
}

func TestStartJobFails(t *testing.T) {
	m, c := newManager(t)
	m.with(func() { m.result = "canceled" })
	if _, err := start(t, c, "a.scope"); fmt.Sprint(err) != "systemd: start a.scope: the job ended with result canceled" {
		t.Error(err)
	}
}

func TestStartUnitExists(t *testing.T) {
	m, c := newManager(t)
	m.with(func() { m.units["failed.scope"], m.units["running.scope"] = true, true })
	if _, err := start(t, c, "failed.scope"); err != nil {
		t.Error(err)
	}
	_, err := start(t, c, "running.scope")
	if fmt.Sprint(err) != "systemd: start running.scope: a unit of this name exists" {
		t.Error(err)
	}
	want := []string{"start failed.scope fail 9", "reset failed.scope", "start failed.scope fail 9", "start running.scope fail 9", "reset running.scope", "start running.scope fail 9"}
	if got := m.seen(); !slices.Equal(got, want) {
		t.Errorf("calls %q", got)
	}
}

func TestStartUnknownProperties(t *testing.T) {
	m, c := newManager(t)
	m.with(func() { m.unknown["CollectMode"], m.unknown["MemoryZSwapMax"] = true, true })
	j, err := start(t, c, "a.scope")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	var writes []cgroupv2.Write
	for _, p := range j.dropped {
		names, writes = append(names, p.Name), append(writes, cgroupv2.Files(p.Limits)...)
	}
	if !slices.Equal(names, []string{"CollectMode", "MemoryZSwapMax"}) || len(writes) != 1 || writes[0].File != "memory.zswap.max" {
		t.Errorf("dropped %v, writes %v", names, writes)
	}
	m.with(func() { m.unknown = map[string]bool{"Delegate": true} })
	if _, err := start(t, c, "b.scope"); err == nil {
		t.Error("went on without Delegate")
	}
}

func TestStartTimeout(t *testing.T) {
	m, c := newManager(t)
	m.with(func() { m.stuck = true })
	j, err := c.Start(t.Context(), "a.scope", 0, scopeProperties())
	if err != nil {
		t.Fatal(err)
	}
	err = j.Wait(limited(t, 200*time.Millisecond), -1)
	if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "systemd: start a.scope: no answer in time" {
		t.Error(err)
	}
}

func TestErrorsAreWorded(t *testing.T) {
	m, c := newManager(t)
	for _, tt := range []struct{ name, text, want string }{
		{"org.freedesktop.systemd1.UnixProcessIdUnknown", "Process with ID 5 does not exist.", "the container's process ended before it was moved"},
		{"org.freedesktop.DBus.Error.AccessDenied", "Permission denied", "the service manager refuses this user"},
		{"org.example.Odd", "Unit x.slice not found.\nNo such file or directory", "Unit x.slice not there. ENOENT"},
	} {
		m.with(func() { m.dbusError = dbus.NewError(tt.name, []any{tt.text}) })
		_, err := start(t, c, "a.scope")
		var e *fault.Error
		if !errors.As(err, &e) || e.Code != tt.name || err.Error() != "systemd: start a.scope: "+tt.want {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// The bus dies while a job is waited for.
func TestLostBus(t *testing.T) {
	m, c := newManager(t)
	m.with(func() { m.stuck = true })
	j, err := c.Start(t.Context(), "a.scope", 0, scopeProperties())
	if err != nil {
		t.Fatal(err)
	}
	died := make(chan struct{})
	time.AfterFunc(100*time.Millisecond, func() {
		defer close(died)
		unix.Shutdown(c.fd, unix.SHUT_RDWR)
	})
	begin := time.Now()
	if err := j.Wait(limited(t, 5*time.Second), -1); !errors.Is(err, errLost) || time.Since(begin) > 3*time.Second {
		t.Error(err, time.Since(begin))
	}
	<-died // before the test's end closes the connection
	if _, err := c.SetProperties(limited(t, time.Second), "a.scope", scopeProperties()); !errors.Is(err, errLost) {
		t.Error(err)
	}
}

func TestConnectSaysWhatWasWrong(t *testing.T) {
	dir := t.TempDir()
	plainFile := filepath.Join(dir, "bus")
	if err := os.WriteFile(plainFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Connect(context.Background(), Place{UID: os.Getuid() + 1, HostUID: 4000000, RuntimeDir: dir, SessionAddress: "autolaunch:;unix:path=" + plainFile, Run: "/nonexistent"})
	if err == nil {
		t.Fatal("connected")
	}
	for _, want := range []string{
		`systemd: connect to the service manager: DBUS_SESSION_BUS_ADDRESS: transport "autolaunch" is not used; `,
		plainFile + ": is not a socket; ",
		fmt.Sprintf(" belongs to uid %d, not %d", os.Getuid(), os.Getuid()+1),
		"/nonexistent/user/4000000/bus: ENOENT",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %s", err, want)
		}
	}
	if hint := err.(*fault.Error).Hint; !strings.Contains(hint, "loginctl enable-linger") {
		t.Errorf("hint %q", hint)
	}
}

// After su the variables are another user's; our own bus is found all the same.
func TestConnectSkipsOthers(t *testing.T) {
	if os.Getuid() != 0 {
		unable(t, "needs root to make another user's socket")
	}
	run := t.TempDir()
	own := filepath.Join(run, "user", "77")
	if err := os.MkdirAll(own, 0o700); err != nil {
		t.Fatal(err)
	}
	good := startBus(t)
	manage(t, good)
	if err := os.Symlink(good, filepath.Join(own, "bus")); err != nil {
		t.Fatal(err)
	}
	others := startBus(t)
	for _, name := range []string{others, filepath.Dir(others)} {
		if err := os.Chown(name, 12345, 12345); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Connect(context.Background(), Place{UID: 0, HostUID: 77, SessionAddress: "unix:path=" + others, RuntimeDir: filepath.Dir(others), Run: run})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Socket() != filepath.Join(own, "bus") {
		t.Errorf("connected to %s", c.Socket())
	}
}

func TestSetProperties(t *testing.T) {
	m, c := newManager(t)
	m.with(func() { m.unknown["MemoryZSwapMax"] = true })
	dropped, err := c.SetProperties(limited(t, time.Second), "a.scope", []systemd.Property{{Name: "OOMPolicy", Value: "kill"}, {Name: "TasksMax", Value: uint64(3)}, {Name: "MemoryZSwapMax", Value: uint64(1)}})
	if err != nil || len(dropped) != 1 || dropped[0].Name != "MemoryZSwapMax" {
		t.Errorf("dropped %v, %v", dropped, err)
	}
	want := []string{"set a.scope true TasksMax=@t 3 MemoryZSwapMax=@t 1", "set a.scope true TasksMax=@t 3"}
	if got := m.seen(); !slices.Equal(got, want) {
		t.Errorf("calls %q", got)
	}
	if _, err := c.SetProperties(limited(t, time.Second), "a.scope", nil); err != nil || len(m.seen()) != 2 {
		t.Error("an update of nothing calls")
	}
}

func TestStopAndAttach(t *testing.T) {
	m, c := newManager(t)
	m.with(func() { m.units["failed.scope"] = true })
	ctx := limited(t, 5*time.Second)
	if err := c.Stop(ctx, "failed.scope"); err != nil {
		t.Error(err)
	}
	if err := c.Stop(ctx, "unknown.scope"); err != nil {
		t.Error(err)
	}
	if err := c.Attach(ctx, "a.scope", "container", 5, 6); err != nil {
		t.Error(err)
	}
	want := []string{"stop failed.scope replace", "reset failed.scope", "stop unknown.scope replace", "attach a.scope /container [5 6]"}
	if got := m.seen(); !slices.Equal(got, want) {
		t.Errorf("calls %q", got)
	}
}
