package bus

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/tests/again"
)

// unable ends a test that this host cannot run. It skips: hack/testrun then
// takes the test to the test machine, and counts one that ran nowhere as failed.
func unable(t testing.TB, why string) {
	t.Helper()
	t.Skip(why)
}

// place has one socket in the environment and another where a login's is.
func place(t testing.TB, session, login string) Place {
	t.Helper()
	run := t.TempDir()
	own := filepath.Join(run, "user", "77")
	if err := os.MkdirAll(own, 0o700); err != nil {
		t.Fatal(err)
	}
	if login != "" {
		if err := os.Symlink(login, filepath.Join(own, "bus")); err != nil {
			t.Fatal(err)
		}
	}
	return Place{UID: os.Getuid(), HostUID: 77, SessionAddress: session, RuntimeDir: own, Run: run}
}

// silent is a socket that takes connections and never says a word.
func silent(t testing.TB) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return path
}

// $DBUS_SESSION_BUS_ADDRESS leads to a bus that dbus-run-session made, to one
// that says nothing, or to one that is gone: the user's manager is found all the
// same. Neighbours: the same in the abstract namespace, and several addresses.
func TestConnectGoesOnToWhoAnswers(t *testing.T) {
	good := startBus(t)
	manage(t, good)
	for name, address := range map[string]string{
		"no manager":        "unix:path=" + startBus(t),
		"silent":            "unix:path=" + silent(t),
		"gone":              "unix:path=/nonexistent/bus",
		"gone and abstract": "unix:abstract=/nonexistent,comma",
		"two of them":       "unix:path=" + startBus(t) + ";unix:path=/nonexistent/bus",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := place(t, address, good)
			c, err := Connect(limited(t, 3*connectLimit), p)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if want := p.RuntimeDir + "/bus"; c.Socket() != want {
				t.Errorf("connected to %s, want %s", c.Socket(), want)
			}
		})
	}
}

// Who has no manager at all reads what each candidate said.
func TestConnectNobodyAnswers(t *testing.T) {
	bus, quiet := startBus(t), silent(t)
	begin := time.Now()
	_, err := Connect(limited(t, time.Second), place(t, "unix:path="+bus+";unix:path="+quiet, ""))
	if err == nil || err.(*fault.Error).Hint == "" {
		t.Fatal(err)
	}
	for _, want := range []string{bus + ": no service manager is on this bus; ", quiet + ": no answer in time; ", "/bus: ENOENT"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
	}
	if time.Since(begin) > connectLimit {
		t.Errorf("it took %v although the caller had a second", time.Since(begin))
	}
}

// Root of a user namespace (unshare -r) does not take the host's manager for its
// own: it would answer, and refuse each scope.
func TestHostsManagerIsNotOurs(t *testing.T) {
	if os.Getuid() != 0 {
		unable(t, "needs root to give a socket to another user")
	}
	run, host := t.TempDir(), startBus(t)
	manage(t, host)
	if err := errors.Join(os.Mkdir(run+"/dbus", 0o755), os.Symlink(host, run+"/dbus/system_bus_socket"), os.Chown(host, 65534, 65534)); err != nil {
		t.Fatal(err)
	}
	_, err := Connect(limited(t, 5*time.Second), Place{UID: 0, HostUID: 77, Run: run})
	if err == nil || !strings.Contains(err.Error(), "/dbus/system_bus_socket: belongs to uid 65534, not 0") {
		t.Error(err)
	}
}

// The same socket is not waited for twice.
func TestCandidatesAreDistinct(t *testing.T) {
	p := Place{UID: 5, HostUID: 5, SessionAddress: "unix:path=/run/user/5/bus", RuntimeDir: "/run/user/5"}
	list, _ := p.candidates()
	var paths []string
	for _, c := range list {
		paths = append(paths, c.path)
	}
	if want := []string{"/run/user/5/bus", "/run/user/5/systemd/private"}; !slices.Equal(paths, want) {
		t.Errorf("%q, want %q", paths, want)
	}
}

func TestVersionNumber(t *testing.T) {
	for text, want := range map[string]int{"257.9-1~deb13u1": 257, "252": 252, "v258-rc1": 258, "": 0, "main": 0, "-1": 0} {
		if got := versionNumber(text); got != want {
			t.Errorf("%q is %d, want %d", text, got, want)
		}
	}
}

// sleeper is a child for as long as the test.
func sleeper(t testing.TB) (pid int) {
	t.Helper()
	return spawn(t, "sleep", "60").Process.Pid
}

// managerOf is a connection to a manager of some version.
func managerOf(t testing.TB, version string) *Conn {
	t.Helper()
	socket := startBus(t)
	m := manage(t, socket)
	m.with(func() { m.version = version })
	return connect(t, socket)
}

// A manager that takes a descriptor gets one, and never a number; an older one in
// our own PID namespace gets the number. (That systemd takes the descriptor is
// proven by the tests in the machine; godbus cannot receive one in an array.)
func TestProcessIsNamed(t *testing.T) {
	pid := sleeper(t)
	for version, byDescriptor := range map[string]bool{"257.9": true, "255": true, "254.20": false, "252": false} {
		c := managerOf(t, version)
		if err := c.CanPlace(); err != nil {
			t.Errorf("%s: %v", version, err)
		}
		list, err := c.withProcess(scopeProperties(), pid)
		if err != nil {
			t.Fatal(err)
		}
		var numbers, descriptors any
		for _, p := range list {
			switch p.Name {
			case "PIDs":
				numbers = p.Value
			case "PIDFDs":
				descriptors = p.Value
			}
		}
		if !byDescriptor {
			if got, _ := numbers.([]uint32); !slices.Equal(got, []uint32{uint32(pid)}) || descriptors != nil {
				t.Errorf("%s gets %v %v", version, numbers, descriptors)
			}
			continue
		}
		list2, _ := descriptors.([]dbus.UnixFD)
		if numbers != nil || len(list2) != 1 {
			t.Fatalf("%s gets %v %v", version, numbers, descriptors)
		}
		info, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(int(list2[0])))
		if err != nil || !strings.Contains(string(info), "Pid:\t"+strconv.Itoa(pid)+"\n") {
			t.Errorf("%s gets a descriptor of %s %v", version, info, err)
		}
		if c.Close(); c.pidfd != -1 {
			t.Errorf("%s: descriptor %d is open", version, c.pidfd)
		}
	}
}

// An older manager in another PID namespace gets nothing: the number would mean
// another process there. Both directions: one that is below ours is seen with a
// number, of which it has two; one above, as from inside a sandbox, with none.
// Neighbour: Attach, which has no way but numbers whatever the version.
func TestNoNumberForAnotherNamespace(t *testing.T) {
	pid, below := sleeper(t), ""
	if os.Getenv("HOMERUN_TEST_BUS") == "" { // in the namespace /proc has other numbers, by which ids are mapped
		below = busBelow(t)
	}
	refused := func(t *testing.T, c *Conn) {
		if err := c.CanPlace(); !errors.Is(err, errForeign) {
			t.Errorf("CanPlace: %v", err)
		}
		if _, err := c.Start(t.Context(), "a.scope", pid, scopeProperties()); !errors.Is(err, errForeign) {
			t.Errorf("Start: %v", err)
		}
		if err := c.Attach(limited(t, 5*time.Second), "a.scope", "", uint32(pid)); !errors.Is(err, errForeign) {
			t.Errorf("Attach: %v", err)
		}
	}
	t.Run("below", func(t *testing.T) {
		m := manage(t, below)
		refused(t, connect(t, below))
		if got := m.seen(); got != nil {
			t.Errorf("the manager was asked %q", got)
		}
	})
	t.Run("above", func(t *testing.T) {
		if os.Getenv("HOMERUN_TEST_BUS") != "" {
			refused(t, connect(t, os.Getenv("HOMERUN_TEST_BUS")))
			return
		}
		socket := startBus(t)
		m := manage(t, socket)
		again.Pass(t, &exec.Cmd{Env: append(os.Environ(), "HOMERUN_TEST_BUS="+socket), SysProcAttr: inNewPIDNamespace()}, t.Name())
		if got := m.seen(); got != nil {
			t.Errorf("the manager was asked %q", got)
		}
	})
	t.Run("attach", func(t *testing.T) {
		m := manage(t, below)
		m.with(func() { m.version = "257" })
		c := connect(t, below)
		if err := c.Attach(limited(t, 5*time.Second), "a.scope", "", uint32(pid)); !errors.Is(err, errForeign) {
			t.Errorf("Attach to a new manager: %v", err)
		}
	})
}

func inNewPIDNamespace() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
	}
	return a
}

// busBelow is a bus in a PID namespace of its own.
func busBelow(t testing.TB) (socket string) { return startBusAs(t, inNewPIDNamespace()) }

func TestOneNumber(t *testing.T) {
	for status, want := range map[string]bool{
		"Name:\tsystemd\nNSpid:\t1\nNSpgid:\t1\n":      true,
		"Name:\tsystemd\nNSpid:\t812\t1\nNSpgid:\t1\n": false,
		"Name:\tNSpid:\t1\n":                           false,
		"":                                             false,
	} {
		if got := hasOneNumber(status); got != want {
			t.Errorf("%q: %v", status, got)
		}
	}
}

// Who listens is known, by a path and in the abstract namespace.
func TestPeer(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "bus"), "@homerun-test-" + filepath.Base(t.TempDir()) + strconv.Itoa(os.Getpid())} {
		l, err := net.Listen("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c, err := candidate{path: name, owner: os.Getuid()}.ask(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if pid, err := c.peer(); err != nil || pid != os.Getpid() {
			t.Errorf("%s: process %d, %v, want %d", name, pid, err, os.Getpid())
		}
		if err := c.sharesNumbers(); err != nil && !errors.Is(err, errForeign) {
			t.Errorf("%s: %v", name, err)
		}
		l.Close()
		if _, err := (candidate{path: name, owner: os.Getuid()}).ask(t.Context(), nil); err == nil {
			t.Errorf("%s: nobody listens any more, and no error", name)
		}
	}
}
