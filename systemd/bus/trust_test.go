package bus

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"
)

// asSystemd gives this process, which listens on what the test makes, systemd's name.
func asSystemd(t *testing.T) {
	t.Helper()
	file := "/proc/self/task/" + strconv.Itoa(os.Getpid()) + "/comm"
	before, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, []byte("systemd"), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.WriteFile(file, before, 0) })
}

// activated is a socket that this process listens on, for the bus at another; nobody
// answers if that is empty. said has what came.
func activated(t *testing.T, bus string) (path string, said func() string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var log safeBuilder
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c, bus, &log)
		}
	}()
	return path, log.String
}

func serve(c net.Conn, bus string, log io.Writer) {
	defer c.Close()
	if bus == "" {
		io.Copy(log, c)
		return
	}
	other, err := net.Dial("unix", bus)
	if err != nil {
		return
	}
	go func() {
		io.Copy(other, io.TeeReader(c, log))
		other.Close()
	}()
	io.Copy(c, other)
}

// trusting begins to connect as a start does.
func trusting(t *testing.T, p Place) *Conn {
	t.Helper()
	begun := time.Now()
	a := Begin(t.Context(), p)
	c, err := a.Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a.Close() // has nothing left to close
	t.Cleanup(c.Close)
	if time.Since(begun) > connectLimit/2 {
		t.Errorf("the bus was waited for, for %v", time.Since(begun))
	}
	return c
}

// A bus that systemd listens for is asked for the scope at once: its manager is not asked
// who it is, the process is named by its number, and nothing is said before.
func TestTrusted(t *testing.T) {
	asSystemd(t)
	bus := startBus(t)
	m := manage(t, bus)
	m.with(func() { m.version = "257" })
	socket, said := activated(t, bus)
	c := trusting(t, place(t, "unix:path="+socket, ""))
	if err := c.CanPlace(); err != nil || said() != "" {
		t.Errorf("said before it is asked for anything: %q, %v", said(), err)
	}
	pid := sleeper(t)
	list, err := c.withProcess(scopeProperties(), pid)
	if last := list[len(list)-1]; err != nil || last.Name != "PIDs" || !slices.Equal(last.Value.([]uint32), []uint32{uint32(pid)}) {
		t.Errorf("the process is %v, %v", last, err)
	}
	if j, err := c.Start(t.Context(), "a.scope", pid, scopeProperties()); err != nil {
		t.Fatal(err)
	} else if err := j.Wait(limited(t, 5*time.Second), -1); err != nil {
		t.Error(err)
	}
	if err := c.Prove(t.Context()); err != nil || strings.Contains(said(), "Version") || c.unproven != nil {
		t.Errorf("a manager that has answered is asked: %v", err)
	}
	m.with(func() { m.units["a.scope"] = true })
	if err := c.Release(t.Context(), "a.scope"); err != nil || !slices.Contains(m.seen(), "stop a.scope replace") {
		t.Errorf("%q: %v", m.seen(), err)
	}
}

// Others are waited for: who has another name, and who was found by goOn.
func TestNotTrusted(t *testing.T) {
	bus := startBus(t)
	manage(t, bus)
	socket, said := activated(t, bus)
	if c := trusting(t, place(t, "unix:path="+socket, "")); c.unproven != nil || !strings.Contains(said(), "Version") {
		t.Error("a bus of any listener's is trusted")
	}
	asSystemd(t)
	if c := trusting(t, place(t, "unix:path=/nonexistent", socket)); c.unproven != nil {
		t.Error("the second candidate is trusted")
	}
	c, err := Connect(t.Context(), place(t, "unix:path="+socket, ""))
	if err != nil || c.Version() != 252 {
		t.Fatalf("Connect trusts: %v", err)
	}
	c.Close()
	quiet := startBus(t)
	if _, err := Begin(t.Context(), place(t, "unix:path="+quiet, "")).Wait(t.Context()); err == nil || !strings.Contains(err.Error(), quiet+": no service") {
		t.Errorf("the first candidate's reason is lost: %v", err)
	}
}

func TestIsSystemd(t *testing.T) {
	for status, want := range map[string]bool{
		"Name:\tsystemd\nNSpid:\t812\nNSpgid:\t1\n":         true,
		"Name:\tsystemd\nNSpid:\t812\t1\nNSpgid:\t1\n":      false, // in a PID namespace below
		"Name:\tsystemd-network\nNSpid:\t812\nNSpgid:\t1\n": false,
		"Name:\tinit\nNSpid:\t1\n":                          false,
		"":                                                  false,
	} {
		if got := isSystemd(status); got != want {
			t.Errorf("%q: %v", status, got)
		}
	}
}

// One that was trusted, and has no manager, hangs up or says nothing, is left for one at
// which there is a manager; each request that may be the first is made again there.
func TestTrustedInVain(t *testing.T) {
	requests := map[string]func(context.Context, *Conn) error{
		"start": func(ctx context.Context, c *Conn) error {
			j, err := c.Start(ctx, "a.scope", 0, scopeProperties())
			if err == nil {
				err = j.Wait(ctx, -1)
			}
			return err
		},
		"release": func(ctx context.Context, c *Conn) error { return c.Release(ctx, "a.scope") },
		"stop":    func(ctx context.Context, c *Conn) error { return c.Stop(ctx, "a.scope") },
		"prove":   func(ctx context.Context, c *Conn) error { return c.Prove(ctx) },
	}
	for kind, bus := range map[string]func(t *testing.T) string{
		"no manager": func(t *testing.T) string { socket, _ := activated(t, startBus(t)); return socket },
		"hangs up":   func(t *testing.T) string { socket, _ := activated(t, "/nonexistent"); return socket },
		"silent":     func(t *testing.T) string { socket, _ := activated(t, ""); return socket },
	} {
		t.Run(kind, func(t *testing.T) {
			asSystemd(t)
			good := startBus(t)
			m := manage(t, good)
			m.with(func() { m.units["a.scope"] = kind != "no manager" })
			socket := bus(t)
			for name, request := range requests {
				m.with(func() { m.units["a.scope"] = name != "start" })
				c := trusting(t, place(t, "unix:path="+socket, good))
				before, left := len(m.seen()), c.wire
				if err := request(limited(t, 3*connectLimit), c); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if strings.HasSuffix(c.Socket(), socket) || name != "prove" && len(m.seen()) == before {
					t.Errorf("%s: at %s the manager hears nothing", name, c.Socket())
				}
				if left.fd != -1 {
					t.Errorf("%s: the socket that was left is open", name)
				}
				if kind == "silent" {
					break // each takes connectLimit
				}
			}
			nobody := place(t, "unix:path="+socket, "")
			c := trusting(t, nobody)
			err := c.Release(limited(t, 3*connectLimit), "a.scope")
			var why *fault.Error
			if !errors.As(err, &why) || why.Hint == "" || !strings.Contains(err.Error(), socket+": ") || !strings.Contains(err.Error(), nobody.RuntimeDir+"/systemd/private: ENOENT") {
				t.Errorf("where there is none: %v", err)
			}
		})
	}
}

// A manager that leaves the bus with the request, as one does that executes itself anew, is
// asked again where it is.
func TestTrustedAndLeft(t *testing.T) {
	asSystemd(t)
	good := startBus(t)
	m := manage(t, good)
	m.with(func() { m.units["b.scope"] = true })
	for name, request := range map[string]func(*Conn) error{
		"start": func(c *Conn) error {
			j, err := c.Start(t.Context(), "a.scope", 0, scopeProperties())
			if err == nil {
				err = j.Wait(limited(t, 5*time.Second), -1)
			}
			return err
		},
		"release": func(c *Conn) error { return c.Release(t.Context(), "b.scope") },
		"attach":  func(c *Conn) error { return c.Attach(t.Context(), "b.scope", "", uint32(os.Getpid())) },
	} {
		socket, said := activated(t, leaving(t))
		before := len(m.seen())
		if err := request(trusting(t, place(t, "unix:path="+socket, good))); err != nil || len(m.seen()) != before+1 {
			t.Errorf("%s: %v, %q", name, err, m.seen()[before:])
		}
		if n := strings.Count(said(), "AUTH"); n != 1 {
			t.Errorf("%s: the bus was connected to %d times", name, n)
		}
	}
}

// A bus without a manager says so in one way or another: dbus-daemon that the name has no
// owner, dbus-broker that the service is unknown.
func TestTrustedAndUnknown(t *testing.T) {
	asSystemd(t)
	bus, good := startBus(t), startBus(t)
	m, none := manage(t, good), manage(t, bus)
	none.with(func() { none.dbusError = dbus.NewError(errNoService, nil) })
	socket, _ := activated(t, bus)
	c := trusting(t, place(t, "unix:path="+socket, good))
	if _, err := start(t, c, "a.scope"); err != nil || len(m.seen()) != 1 {
		t.Errorf("%v, %q", err, m.seen())
	}
}

// A manager that refuses has answered: no other is asked.
func TestTrustedAndRefused(t *testing.T) {
	asSystemd(t)
	bus, good := startBus(t), startBus(t)
	m, other := manage(t, bus), manage(t, good)
	m.with(func() { m.dbusError = dbus.NewError("org.freedesktop.DBus.Error.AccessDenied", nil) })
	socket, _ := activated(t, bus)
	c := trusting(t, place(t, "unix:path="+socket, good))
	if _, err := start(t, c, "a.scope"); err == nil || c.unproven != nil || other.seen() != nil {
		t.Errorf("%v, %q", err, other.seen())
	}
}

// A bus that hangs up at any byte of its answers is left, until the manager's is whole.
func TestTrustedAndCut(t *testing.T) {
	asSystemd(t)
	bus := startBus(t)
	m := manage(t, bus)
	for n := int64(0); n < 400; n += 7 {
		c := trusting(t, place(t, "unix:path="+cut(t, bus, n), bus))
		before := len(m.seen())
		if err := c.Release(limited(t, 5*time.Second), "a.scope"); err != nil || len(m.seen()) == before {
			t.Errorf("after %d bytes: %v", n, err)
		}
		c.Close()
	}
}

// cut is a socket that this process listens on, for the bus at another, of whose bytes only
// some come.
func cut(t *testing.T, bus string, bytes int64) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		other, err := net.Dial("unix", bus)
		if err != nil {
			return
		}
		defer other.Close()
		go io.Copy(other, c)
		io.CopyN(c, other, bytes)
	}()
	return path
}

// leaving is a bus whose manager leaves it when it is called.
func leaving(t *testing.T) (socket string) {
	t.Helper()
	socket = startBus(t)
	m, err := dbus.Connect("unix:path=" + socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	if _, err := m.RequestName(destination, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	calls := make(chan *dbus.Message, 10)
	m.Eavesdrop(calls)
	go func() {
		for call := range calls {
			if call.Type == dbus.TypeMethodCall {
				m.Close()
			}
		}
	}()
	return socket
}

// Whose context has ended is not kept waiting by others.
func TestTrustedAndCancelled(t *testing.T) {
	asSystemd(t)
	socket, _ := activated(t, "")
	c := trusting(t, place(t, "unix:path="+socket, silent(t)))
	begun := time.Now()
	if err := c.Release(limited(t, 100*time.Millisecond), "a.scope"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > time.Second {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
	if n, err := unix.FcntlInt(uintptr(c.fd), unix.F_GETFD, 0); err == nil && n&unix.FD_CLOEXEC == 0 {
		t.Error("the socket is inherited")
	}
}

// safeBuilder is a strings.Builder for two goroutines.
type safeBuilder struct {
	lock sync.Mutex
	text strings.Builder
}

func (b *safeBuilder) Write(p []byte) (int, error) {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.text.Write(p)
}

func (b *safeBuilder) String() string {
	b.lock.Lock()
	defer b.lock.Unlock()
	return b.text.String()
}
