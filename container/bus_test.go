package container

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/spec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// manager answers as a service manager does that takes numbers of processes,
// and makes no scope.
type manager struct{}

func (manager) Get(string, string) (dbus.Variant, *dbus.Error) { return dbus.MakeVariant("252"), nil }

// startManager runs a bus with a manager on it, as the caller's session.
func startManager(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	address := "unix:path=" + filepath.Join(dir, "bus")
	config := filepath.Join(dir, "bus.conf")
	text := `<busconfig><type>session</type><listen>` + address + `</listen><auth>EXTERNAL</auth>
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
		mayNot(t, "needs dbus-daemon (apt-get install dbus): "+err.Error())
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal("dbus-daemon does not start: ", err)
	}
	bus, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.Close() })
	if err := bus.Export(manager{}, "/org/freedesktop/systemd1", "org.freedesktop.DBus.Properties"); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.RequestName("org.freedesktop.systemd1", 0); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
}

// mayNot skips a test where the environment allows that, and fails it elsewhere.
func mayNot(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("HOMERUN_TEST_MAY_SKIP") == "1" || testing.Short() {
		t.Skip(why)
	}
	t.Fatal(why)
}

// connections counts the sockets that this process has open.
func connections(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if name, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(name, "socket:") {
			n++
		}
	}
	return n
}

// failWithBus takes a container on a host with cgroup v2 as far as it comes.
func failWithBus(t *testing.T, b *bundle.Bundle, to intent) error {
	t.Helper()
	prober, err := probe.New([3]int{0, 1, 2})
	if err != nil {
		t.Fatal(err)
	}
	facts := prober.Facts
	facts.UserNamespace.Initial = false // a session's manager, not the machine's
	facts.Cgroup = &host.Cgroup{Unified: true, MountPoint: "/sys/fs/cgroup", Path: "/"}
	r := &Runtime{Options{Root: filepath.Join(t.TempDir(), "root"), Manager: cgroupv2.Systemd}}
	c, err := r.unmade("web")
	if err != nil {
		t.Fatal(err)
	}
	request := &Request{ID: "web", Bundle: b, Facts: facts, Streams: OwnStreams()}
	p := &preparation{intent: to, starting: c.newStarting(b), request: request, prober: prober}
	needs := compile.Needs(b.Config, facts, p.wishes())
	if err := prober.Measure(&needs); err != nil {
		t.Fatal(err)
	}
	if p.starting.cgroup.Bus = r.surroundings(t.Context(), request, &needs); p.starting.cgroup.Bus == nil {
		t.Fatal(facts.ServiceManager.Trouble)
	}
	if err := p.begin(t.Context()); err != nil {
		return err
	}
	defer p.starting.close()
	return p.starting.run(t.Context())
}

// TestFailureLeavesNoConnection: whatever a container fails for, the connection to
// the service manager is closed. Tried: a path that is none, what is refused in
// either part of the plan, a scope that is not made.
func TestFailureLeavesNoConnection(t *testing.T) {
	startManager(t)
	const times = 8
	for want, change := range map[string]func(*specs.Spec){
		"takes slice:prefix:name": func(s *specs.Spec) { s.Linux.CgroupsPath = "a:b:c:d" },
		"a.slice is a slice":      func(s *specs.Spec) { s.Linux.CgroupsPath = "user.slice:a.slice" },
		"cannot set this property": func(s *specs.Spec) {
			s.Annotations = map[string]string{"org.systemd.property.DeviceAllow": "'x'"}
		},
		"handler":                func(s *specs.Spec) { s.Annotations = map[string]string{"run.oci.handler": "krun"} },
		"unknown resource limit": func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_X"}} },
		"not the name of a cgroup": func(s *specs.Spec) {
			s.Annotations = map[string]string{"run.oci.delegate-cgroup": ".."}
		},
		"unknown type":             func(s *specs.Spec) { s.Linux.Namespaces[0].Type = "none" },
		"start homerun-web.scope:": func(*specs.Spec) {},
	} {
		config, err := spec.Rootfs{Path: "/", ReadOnly: true, Args: []string{"true"}}.Config()
		if err != nil {
			t.Fatal(err)
		}
		config.Linux.Resources = nil
		change(config)
		b, before := &bundle.Bundle{Dir: t.TempDir(), Config: config}, connections(t)
		for i := range times {
			if err := failWithBus(t, b, intent{create: i%2 == 1}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
		if after := connections(t); after > before {
			t.Errorf("%s: %d connections before, %d after %d calls", want, before, after, times)
		}
	}
}
