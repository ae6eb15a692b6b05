package systemd

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func listenFake(t *testing.T) (*net.UnixConn, string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "upstream")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	l.SetDeadline(time.Now().Add(5 * time.Second))
	return l, name
}

func newRelay(t *testing.T, upstream string, mainPID int) (*Relay, *net.UnixConn) {
	t.Helper()
	// Deeper than a socket's path may be.
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 120))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r, err := NewRelay(dir, upstream, mainPID)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	short := filepath.Join(t.TempDir(), "s")
	if err := os.Symlink(dir, short); err != nil {
		t.Fatal(err)
	}
	client, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: short + "/" + RelaySocket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return r, client
}

func receive(t *testing.T, l *net.UnixConn) (string, []int) {
	t.Helper()
	data, control := make([]byte, 8192), make([]byte, 1024)
	n, c, _, _, err := l.ReadMsgUnix(data, control)
	if err != nil {
		t.Fatal(err)
	}
	return string(data[:n]), rights(control[:c])
}

func TestNotify(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if sent, err := Notify("READY=1"); sent || err != nil {
		t.Error(sent, err)
	}
	upstream, name := listenFake(t)
	t.Setenv("NOTIFY_SOCKET", name)
	if sent, err := Notify("READY=1"); !sent || err != nil {
		t.Error(sent, err)
	}
	if got, _ := receive(t, upstream); got != "READY=1" {
		t.Errorf("got %q", got)
	}
}

func TestRelay(t *testing.T) {
	upstream, name := listenFake(t)
	r, client := newRelay(t, name, 0)
	done := make(chan error, 1)
	go func() { done <- r.Serve(limited(t, 5*time.Second), Ready) }()
	for _, tt := range []struct{ sent, want string }{
		{"STATUS=hello\n", "STATUS=hello"},
		{"MAINPID=5\nNOTIFYACCESS=all\nWATCHDOG=1", "WATCHDOG=1"},
		{"MAINPID=5", ""},
		{"", ""},
		{strings.Repeat("x", 10000), ""},
		{"X_MAINPID=5\nERRNO=2\nREADY=1", "X_MAINPID=5\nERRNO=2\nREADY=1"},
	} {
		if _, err := client.Write([]byte(tt.sent)); err != nil {
			t.Fatal(err)
		}
		if tt.want == "" {
			continue
		}
		if got, _ := receive(t, upstream); got != tt.want {
			t.Errorf("%q became %q", tt.sent, got)
		}
	}
	if err := <-done; err != nil {
		t.Error("READY does not end it:", err)
	}
}

func TestRelayMainPID(t *testing.T) {
	r := &Relay{mainPID: 42}
	if got := r.translate("READY=1\nMAINPID=1\n"); got != "READY=1\nMAINPID=42" {
		t.Errorf("got %q", got)
	}
	if got := r.translate("STATUS=x"); got != "STATUS=x" {
		t.Errorf("got %q", got)
	}
}

// A barrier must end when the manager closes its end, and not before.
func TestRelayDescriptors(t *testing.T) {
	upstream, name := listenFake(t)
	r, client := newRelay(t, name, 0)
	go r.Serve(limited(t, 5*time.Second), nil)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := send(client, []byte("BARRIER=1"), unix.UnixRights(int(writer.Fd()))); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	got, fds := receive(t, upstream)
	if got != "BARRIER=1" || len(fds) != 1 {
		t.Fatalf("%q with %d descriptors", got, len(fds))
	}
	hungUp := func(wait int) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(reader.Fd()), Events: unix.POLLIN}}, wait)
		return n == 1 && err == nil
	}
	if hungUp(50) {
		t.Error("the barrier ended too early")
	}
	closeFDs(fds)
	if !hungUp(2000) {
		t.Error("the relay keeps the barrier")
	}
}

func TestRelayEnds(t *testing.T) {
	_, name := listenFake(t)
	r, _ := newRelay(t, name, 0)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := r.Serve(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// A manager that does not read: the relay waits, but not for ever.
	ctx, cancel = context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	full := make(chan error, 1)
	go func() {
		for {
			if err := r.pass(ctx, "STATUS=x", nil); err != nil {
				full <- err
				return
			}
		}
	}()
	select {
	case err := <-full:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	case <-time.After(3 * time.Second):
		t.Error("a full manager blocks the relay")
	}
}

func TestNewRelayRefuses(t *testing.T) {
	if _, err := NewRelay(t.TempDir(), "relative", 0); err == nil {
		t.Error("took a relative path")
	}
	if _, err := NewRelay(t.TempDir(), "/nonexistent/notify", 0); err == nil || strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}
