package listener

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/seccomp"
	"golang.org/x/sys/unix"
)

// sendFile plays the stage, which sends a listener: here a file.
func sendFile(t *testing.T, socket int, file *os.File) {
	t.Helper()
	if err := unix.Sendmsg(socket, []byte{0}, unix.UnixRights(int(file.Fd())), nil, 0); err != nil {
		t.Fatal(err)
	}
}

func payload(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "payload"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// What comes from the stage goes to the agent, with who sends it; through a socket
// pair, and through the socket at which the process beside a created init listens.
func TestPass(t *testing.T) {
	for _, created := range []bool{false, true} {
		dir := t.TempDir()
		there := listen(t, filepath.Join(dir, "agent"))
		a := NewAgent(&seccomp.Filter{Listener: true, ListenerPath: filepath.Join(dir, "agent"), ListenerMetadata: "m"}, seccomp.State{ID: "web", Status: "creating"})
		if err := a.Dial(t.Context()); err != nil {
			t.Fatal(err)
		}
		ours, theirs, err := descriptor.Pair("the listener", unix.SOCK_STREAM)
		if created {
			theirs, err = meet(t, a, filepath.Join(dir, SocketName))
		} else {
			a.From(ours)
		}
		if err != nil {
			t.Fatal(err)
		}
		file := payload(t)
		sendFile(t, theirs, file)
		if err := a.Pass(7, 5); err != nil {
			t.Error(err)
		}
		a.Close()
		text, got := receive(t, there)
		want := seccomp.State{ID: "web", Status: "creating", PID: 7, InitPID: 5, Metadata: "m"}
		if text != string(want.Message()) || got == nil {
			t.Fatalf("%s, file %v", text, got)
		}
		x, _ := file.Stat()
		y, _ := got.Stat()
		if !os.SameFile(x, y) {
			t.Error("another descriptor")
		}
		got.Close()
		descriptor.Close(&theirs)
	}
}

// meet connects an agent to a socket that listens, and returns the other end.
func meet(t *testing.T, a *Agent, name string) (theirs int, err error) {
	t.Helper()
	socket, err := Listen(name)
	if err != nil {
		return -1, err
	}
	defer unix.Close(socket)
	if err := a.Meet(context.Background(), name); err != nil {
		return -1, err
	}
	theirs, _, err = unix.Accept(socket)
	return theirs, err
}

// A stage that has ended sends nothing. What is no socket is
// an error.
func TestPassNothing(t *testing.T) {
	a := NewAgent(&seccomp.Filter{Listener: true}, seccomp.State{})
	ours, theirs, err := descriptor.Pair("the listener", unix.SOCK_STREAM)
	if err != nil {
		t.Fatal(err)
	}
	descriptor.Close(&theirs)
	a.From(ours)
	if err := a.Pass(1, 1); !errors.Is(err, descriptor.ErrNone) {
		t.Error(err)
	}
	a.Close()
	if _, err := unix.FcntlInt(uintptr(ours), unix.F_GETFD, 0); err != unix.EBADF {
		t.Errorf("the socket is open: %v", err)
	}
	if err := a.Pass(1, 1); !errors.Is(err, unix.EBADF) || !strings.HasPrefix(err.Error(), "receive the seccomp listener: ") {
		t.Error(err)
	}
}

func TestNoAgent(t *testing.T) {
	for _, f := range []*seccomp.Filter{nil, {}} {
		a := NewAgent(f, seccomp.State{})
		if a != nil {
			t.Errorf("%+v", a)
		}
		a.Close()
	}
	for _, path := range []string{"/no/such/agent", "@abstract", ""} {
		a := NewAgent(&seccomp.Filter{Listener: true, ListenerPath: path}, seccomp.State{})
		if err := a.Dial(t.Context()); a.socket != -1 || err == nil {
			t.Errorf("%q: %d, %v", path, a.socket, err)
		}
	}
	a := NewAgent(&seccomp.Filter{Listener: true, ListenerPath: "/no/such/agent"}, seccomp.State{})
	if a.socket != -1 || a.source != -1 {
		t.Errorf("open from the start: %d, %d", a.socket, a.source)
	}
	if err := a.Dial(t.Context()); !errors.Is(err, unix.ENOENT) {
		t.Error(err)
	}
	if err := a.Meet(context.Background(), "/no/such/socket"); !errors.Is(err, unix.ENOENT) || !strings.HasPrefix(err.Error(), "container init is not running: ") {
		t.Error(err)
	}
	a.Close()
}

func TestListenRefused(t *testing.T) {
	before, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	if fd, err := Listen("/no/such/" + SocketName); fd != -1 || !errors.Is(err, unix.ENOENT) || !strings.HasPrefix(err.Error(), "make the socket seccomp.sock: ") {
		t.Errorf("%d, %v", fd, err)
	}
	if after, err := os.ReadDir("/proc/self/fd"); err != nil || len(after) != len(before) {
		t.Errorf("%d descriptors, %d before", len(after), len(before))
	}
}
