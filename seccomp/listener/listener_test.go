package listener

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

	"github.com/homerun-oci/homerun/seccomp"
)

// receive gives one message and its descriptor.
func receive(t *testing.T, l *net.UnixListener) (string, *os.File) {
	t.Helper()
	c, err := l.AcceptUnix()
	if err != nil {
		t.Error(err)
		return "", nil
	}
	defer c.Close()
	var text []byte
	var file *os.File
	for {
		buf, oob := make([]byte, 4096), make([]byte, 64)
		n, oobn, _, _, err := c.ReadMsgUnix(buf, oob)
		if n <= 0 || err != nil {
			return string(text), file
		}
		text = append(text, buf[:n]...)
		messages, _ := unix.ParseSocketControlMessage(oob[:oobn])
		for _, m := range messages {
			fds, _ := unix.ParseUnixRights(&m)
			file = os.NewFile(uintptr(fds[0]), "received")
		}
	}
}

func TestSend(t *testing.T) {
	dir := t.TempDir()
	long := filepath.Join(dir, strings.Repeat("d", 100))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "s"), filepath.Join(long, "socket")} {
		listener := listen(t, path)
		sent, err := os.Create(filepath.Join(dir, "payload"))
		if err != nil {
			t.Fatal(err)
		}
		s := seccomp.State{ID: "web", Metadata: strings.Repeat("m", 1<<20)} // more than a socket's buffer
		errs := make(chan error, 1)
		go func() { errs <- dialAndSend(t.Context(), path, int(sent.Fd()), s) }()
		text, got := receive(t, listener)
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
		if text != string(s.Message()) || got == nil {
			t.Fatalf("%d bytes, file %v", len(text), got)
		}
		a, _ := sent.Stat()
		b, _ := got.Stat()
		if !os.SameFile(a, b) {
			t.Error("another descriptor")
		}
	}
}

func dialAndSend(ctx context.Context, path string, fd int, s seccomp.State) error {
	a := NewAgent(&seccomp.Filter{Listener: true, ListenerPath: path}, s)
	if err := a.Dial(ctx); err != nil {
		return err
	}
	defer a.Close()
	return send(a.socket, fd, s.Message())
}

// TestDialCancelled: an agent that accepts nobody, with the queue full, is not waited for
// when the caller has given up.
func TestDialCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent")
	socket, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for begun := time.Now(); err == nil; {
		a := NewAgent(&seccomp.Filter{Listener: true, ListenerPath: path}, seccomp.State{})
		defer a.Close()
		if err = a.Dial(ctx); time.Since(begun) > 5*time.Second {
			t.Fatalf("it was waited for: %v", err)
		}
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// listen binds in the directory itself: a path of any length.
func listen(t *testing.T, path string) *net.UnixListener {
	t.Helper()
	t.Chdir(filepath.Dir(path))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Base(path), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestSendErrors(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "none"):                           "no such file or directory",
		filepath.Join(dir, strings.Repeat("d", 100), "none"): "no such file or directory",
		"@abstract":              "not a path",
		"":                       "not a path",
		strings.Repeat("x", 200): "file name too long",
	} {
		err := dialAndSend(t.Context(), path, 0, seccomp.State{})
		if err == nil || !strings.HasSuffix(err.Error(), want) || !strings.HasPrefix(err.Error(), "reach the seccomp agent (linux.seccomp.listenerPath): ") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
