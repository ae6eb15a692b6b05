package container

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/intelrdt/live"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/netns/client"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/rootfs/copytree"
	"github.com/homerun-oci/homerun/seccomp/bpf"
	"github.com/homerun-oci/homerun/tests/again"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// What a container has to do with beside its own files is faked here as far as
// others decide it: a service manager on a bus of its own, a directory as resctrl,
// an agent for seccomp. What would be another program of homerun's is this one,
// called by the other's name.

// TestMain lets the test be the programs that the runtime starts. These end at once:
// os.Exit would have the race detector wait a second for other goroutines, of which the
// first has none that matters and the second none. (GORACE, which could say so, is
// not in their empty environment.)
func TestMain(m *testing.M) {
	switch os.Args[0] {
	case client.Name:
		unix.Exit(fakeNetwork())
	case copytree.ProgramName:
		unix.Exit(copytree.Program(os.Args))
	}
	os.Exit(m.Run())
}

// fakeNetwork is homerun-net to the runtime: it records itself, answers, and ends
// with init, or when it is asked to.
func fakeNetwork() int {
	var request netns.Request
	err := json.NewDecoder(os.NewFile(3, "request")).Decode(&request)
	if err != nil {
		return 1
	}
	record := filepath.Join(request.StateDir, netns.RecordFile)
	self, err := proc.Of(os.Getpid())
	if err != nil {
		return 1
	}
	text, err := json.Marshal(netns.Record{Version: netns.Version, Processes: []netns.Process{{Name: client.Name, PID: self.Pid, Start: self.StartTime}}})
	if err == nil { // at once, as it may be ended in the middle
		err = errors.Join(os.WriteFile(record+".new", text, 0o600), os.Rename(record+".new", record))
	}
	if err != nil {
		return 1
	}
	defer os.Remove(record)
	asked, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	ended := make(chan struct{})
	go func() {
		_, _ = proc.AwaitEnd(context.Background(), request.PIDFD, -1)
		close(ended)
	}()
	answer := os.NewFile(4, "answer")
	if _, err := answer.WriteString(`{"ok":true,"driver":"pasta"}` + "\n"); err != nil {
		return 1
	}
	answer.Close()
	select {
	case <-ended:
	case <-asked.Done():
	}
	return 0
}

// place is a directory that has all that is faked, and the state root.
type place string

// newPlace makes one, with everybody who is there all the time.
func newPlace(t *testing.T) place {
	t.Helper()
	p := place(t.TempDir())
	for _, name := range []string{"resctrl/gold", "tree/below"} {
		if err := os.MkdirAll(p.at(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"resctrl/schemata", "resctrl/tasks", "resctrl/gold/schemata", "resctrl/gold/tasks", "tree/file", "tree/below/file"} {
		if err := os.WriteFile(p.at(name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p.startAgent(t)
	return p
}

func (p place) at(name string) string { return filepath.Join(string(p), name) }

// runtime keeps containers in the place.
func (p place) runtime() *Runtime {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return &Runtime{Options{Root: p.at("state"), Manager: cgroupv2.None, Helpers: Helpers{Homerun: self, Net: self}}}
}

// startAgent takes seccomp listeners, and answers nothing.
func (p place) startAgent(t *testing.T) {
	t.Helper()
	l, err := net.Listen("unix", p.at("agent"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = bufio.NewReader(c).WriteTo(discard{}) // the descriptor goes with it
			}()
		}
	}()
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// surround asks for what others have a part in: an agent, a class of resctrl, and
// a copy of what a tmpfs covers.
func (p place) surround(s *specs.Spec) {
	const never = 134 // uselib(2), which nobody calls
	filter := bpf.Bytes([]bpf.Instruction{{Op: bpf.LdW}, {Op: bpf.JeqK, JF: 1, K: never}, {Op: bpf.RetK, K: bpf.Notify}, {Op: bpf.RetK, K: bpf.Allow}})
	s.Annotations = map[string]string{compiledAnnotation: base64.StdEncoding.EncodeToString(filter), "run.oci.seccomp.receiver": p.at("agent")}
	s.Linux.IntelRdt = &specs.LinuxIntelRdt{}
	s.Mounts = append(s.Mounts, specs.Mount{Destination: "/mnt", Type: "bind", Source: p.at("tree"), Options: []string{"bind"}},
		specs.Mount{Destination: "/mnt", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}})
	if os.Getuid() == 0 && proc.InInitialUserNamespace() { // who else may not map the ids of a mount
		ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 1}}
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/srv", Type: "bind", Source: p.at("tree"), Options: []string{"bind"}, UIDMappings: ids, GIDMappings: ids})
	}
}

// inScope asks for a scope in which init stays as it is put there.
func (place) inScope(_ *testing.T, r *Request) {
	r.Bundle.Config.Annotations = map[string]string{"run.oci.systemd.subgroup": ""}
}

// doWithFakes is do where the kernel has no part for the caller: it gives a new
// class its files, which a plain directory has none of, and says that the manager
// has moved init, which a fake one cannot.
func (s *starting) doWithFakes(p place) func(context.Context, plan.Action) error {
	return func(ctx context.Context, a plan.Action) error {
		if class, ok := a.(action.JoinClass); ok {
			class.Root = p.at("resctrl")
			if err := s.do(ctx, class); !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("a class without files is joined: %w", err)
			}
			return s.makeClass(class)
		}
		err := s.do(ctx, a)
		if _, scope := a.(action.AwaitScope); scope && err != nil && strings.Contains(err.Error(), "ended it at once") {
			return nil // the job is done
		}
		return err
	}
}

// makeClass is what joining a class has made, when that has worked.
func (s *starting) makeClass(a action.JoinClass) error {
	made := live.Created{Class: a.Plan.Directory(a.Root)}
	for i, u := range s.c.State.Undo {
		if _, ok := u.(action.LeaveClass); ok {
			s.c.State.Undo[i] = action.LeaveClass(made)
		}
	}
	return errors.Join(os.Mkdir(made.Class, 0o755), s.c.save())
}

// cgroupsOf are the cgroups that were made for the container web, innermost last.
func cgroupsOf(t *testing.T, r *Runtime) (names []string) {
	t.Helper()
	c, err := r.Peek("web")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, u := range c.State.Undo {
		if made, ok := u.(action.RemoveCgroup); ok {
			names = append(names, made.Path)
		}
	}
	return names
}

// check wants that nothing is left but what was there.
func (p place) check(t *testing.T, where string, cgroups []string) {
	t.Helper()
	for _, name := range cgroups {
		if _, err := os.Lstat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the cgroup %s is left: %v", where, name, err)
		}
	}
	entries, err := os.ReadDir(p.at("resctrl"))
	if err != nil || len(entries) != 3 {
		t.Errorf("%s: left in resctrl: %v, %v", where, entries, err)
	}
	units, err := os.ReadDir(p.at("units"))
	if err != nil && !errors.Is(err, os.ErrNotExist) || len(units) != 0 {
		t.Errorf("%s: left of units: %v, %v", where, units, err)
	}
}

// scopes is a service manager that makes scopes, and moves nobody. What it has is
// in the directory, by name, with the description.
type scopes struct {
	lock sync.Mutex
	// queue has the calls in the order in which they came, and turn wakes who waits
	// for theirs: godbus answers each in a goroutine of its own.
	queue []call
	turn  *sync.Cond
	bus   *dbus.Conn
	dir   string
	jobs  int
	// refuses: it makes none.
	refuses bool
}

type wireProperty struct {
	Name  string
	Value dbus.Variant
}

type wireUnit struct {
	Name       string
	Properties []wireProperty
}

type call struct {
	sender string
	serial uint32
}

func callOf(message *dbus.Message) call {
	sender, _ := message.Headers[dbus.FieldSender].Value().(string)
	return call{sender, message.Serial()}
}

// came puts a call into the queue.
func (m *scopes) came(message *dbus.Message) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if path, _ := message.Headers[dbus.FieldPath].Value().(dbus.ObjectPath); message.Type == dbus.TypeMethodCall && strings.HasPrefix(string(path), "/org/freedesktop/systemd1") {
		m.queue = append(m.queue, callOf(message))
	}
}

// await waits for a call's turn; done ends it.
func (m *scopes) await(message dbus.Message) (done func()) {
	m.lock.Lock()
	for m.queue[0] != callOf(&message) {
		m.turn.Wait()
	}
	return func() {
		m.queue = m.queue[1:]
		m.turn.Broadcast()
		m.lock.Unlock()
	}
}

func (m *scopes) StartTransientUnit(message dbus.Message, unit, _ string, list []wireProperty, _ []wireUnit) (dbus.ObjectPath, *dbus.Error) {
	defer m.await(message)()
	name := filepath.Join(m.dir, unit)
	i := slices.IndexFunc(list, func(p wireProperty) bool { return p.Name == "Description" })
	text, _ := list[i].Value.Value().(string)
	if _, err := os.Stat(name); err == nil {
		return "", dbus.NewError("org.freedesktop.systemd1.UnitExists", []any{"Unit " + unit + " was already loaded."})
	}
	if m.refuses {
		return "", dbus.MakeFailedError(errors.New("no"))
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		return "", dbus.MakeFailedError(err)
	}
	return m.job(unit), nil
}

func (m *scopes) StopUnit(message dbus.Message, unit, _ string) (dbus.ObjectPath, *dbus.Error) {
	defer m.await(message)()
	if err := os.Remove(filepath.Join(m.dir, unit)); err != nil {
		return "", dbus.NewError("org.freedesktop.systemd1.NoSuchUnit", []any{"Unit " + unit + " not loaded."})
	}
	return m.job(unit), nil
}

func (m *scopes) ResetFailedUnit(message dbus.Message, unit string) *dbus.Error {
	defer m.await(message)()
	return dbus.NewError("org.freedesktop.systemd1.NoSuchUnit", []any{"Unit " + unit + " not loaded."})
}

// job says that a job is done.
func (m *scopes) job(unit string) dbus.ObjectPath {
	m.jobs++
	path := dbus.ObjectPath(fmt.Sprint("/org/freedesktop/systemd1/job/", m.jobs))
	_ = m.bus.Emit("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager.JobRemoved", uint32(m.jobs), path, unit, "done")
	return path
}

// Get answers for the manager's version and the units' descriptions.
func (m *scopes) Get(message dbus.Message, _, property string) (dbus.Variant, *dbus.Error) {
	defer m.await(message)()
	if property == "Version" {
		return dbus.MakeVariant("252"), nil
	}
	object, _ := message.Headers[dbus.FieldPath].Value().(dbus.ObjectPath)
	name := strings.NewReplacer("_2d", "-", "_2e", ".").Replace(filepath.Base(string(object)))
	text, err := os.ReadFile(filepath.Join(m.dir, name))
	if err != nil {
		return dbus.MakeVariant(name), nil
	}
	return dbus.MakeVariant(string(text)), nil
}

// startManager runs a bus with a manager on it in a directory, as the caller's session.
func startManager(t *testing.T, dir string, m *scopes) {
	t.Helper()
	m.dir = filepath.Join(dir, "units")
	address := "unix:path=" + filepath.Join(dir, "bus")
	config := filepath.Join(dir, "bus.conf")
	text := `<busconfig><type>session</type><listen>` + address + `</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`
	if err := errors.Join(os.Mkdir(m.dir, 0o700), os.WriteFile(config, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("dbus-daemon", "--config-file="+config, "--nofork", "--print-address=1")
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		mayNot(t, "needs dbus-daemon (apt-get install dbus): "+err.Error())
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal("dbus-daemon does not start: ", err)
	}
	m.turn = sync.NewCond(&m.lock)
	if m.bus, err = dbus.Connect(address, dbus.WithIncomingInterceptor(m.came)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.bus.Close() })
	m.export(t)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
}

// export answers as org.freedesktop.systemd1.
func (m *scopes) export(t *testing.T) {
	t.Helper()
	err := m.bus.ExportSubtree(m, "/org/freedesktop/systemd1", "org.freedesktop.DBus.Properties")
	if err == nil {
		err = m.bus.ExportSubtree(m, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
	}
	if err == nil {
		_, err = m.bus.RequestName("org.freedesktop.systemd1", 0)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// mayNot skips a test where the environment allows that, and fails it elsewhere.
func mayNot(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("HOMERUN_TEST_MAY_SKIP") == "1" || testing.Short() {
		t.Skip(why)
	}
	t.Fatal(why)
}

// asUser runs the test in a user namespace if root calls it, whose service manager
// is the machine's, and reports whether it did.
func asUser(t *testing.T) bool {
	t.Helper()
	if os.Getuid() != 0 || !proc.InInitialUserNamespace() {
		return false
	}
	ids := []syscall.SysProcIDMap{{Size: 1 << 16}}
	again.Pass(t, &exec.Cmd{SysProcAttr: &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true}}, t.Name())
	return true
}
