package bus

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/homerun-oci/homerun/descriptor"
	"golang.org/x/sys/unix"
)

// saying is a socket at which somebody says just that, in pieces of so many bytes,
// whatever is asked, and then hangs up.
func saying(t testing.TB, text string, piece int) Place {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
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
			for rest := text; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
				if _, err := c.Write([]byte(rest[:min(piece, len(rest))])); err != nil {
					break
				}
			}
			c.(*net.UnixConn).CloseWrite()
		}
	}()
	return Place{UID: os.Getuid(), HostUID: os.Getuid(), SessionAddress: "unix:path=" + path, Run: "/nonexistent"}
}

// coded is a message with a serial number.
func coded(t testing.TB, order binary.ByteOrder, m *dbus.Message) string {
	t.Helper()
	var out bytes.Buffer
	if err := m.EncodeTo(&out, order); err != nil {
		t.Fatal(err)
	}
	order.PutUint32(out.Bytes()[8:], 7)
	return out.String()
}

func replyTo(serial uint32, body ...any) *dbus.Message {
	m := &dbus.Message{Type: dbus.TypeMethodReply, Body: body, Headers: map[dbus.HeaderField]dbus.Variant{dbus.FieldReplySerial: dbus.MakeVariant(serial)}}
	if len(body) > 0 {
		m.Headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
	}
	return m
}

const letIn = "DATA\r\nOK 0123456789abcdef0123456789abcdef\r\nAGREE_UNIX_FD\r\n"

// What comes in any pieces, in either byte order, with messages in between that
// nobody waits for and longer than the buffer, is understood.
func TestReceive(t *testing.T) {
	noise := &dbus.Message{Type: dbus.TypeSignal, Body: []any{strings.Repeat("x", 10000)}, Headers: map[dbus.HeaderField]dbus.Variant{
		dbus.FieldPath: dbus.MakeVariant(object), dbus.FieldInterface: dbus.MakeVariant("a.b"), dbus.FieldMember: dbus.MakeVariant("C"),
		dbus.FieldSignature: dbus.MakeVariant(dbus.SignatureOf(""))}}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		text := letIn + coded(t, order, replyTo(1, ":1.5")) + coded(t, order, noise) + coded(t, order, replyTo(9, dbus.MakeVariant("1"))) + coded(t, order, replyTo(2, dbus.MakeVariant("258.1")))
		for _, piece := range []int{1, 7, 4096, len(text)} {
			c, err := Connect(t.Context(), saying(t, text, piece))
			if err != nil {
				t.Fatalf("in pieces of %d: %v", piece, err)
			}
			if c.version != 258 || !c.takesFDs {
				t.Errorf("in pieces of %d: version %d, takes descriptors: %v", piece, c.version, c.takesFDs)
			}
			if _, err := c.Description(t.Context(), "a.scope"); !errors.Is(err, errLost) {
				t.Errorf("who has hung up: %v", err)
			}
			c.Close()
		}
	}
	c, err := Connect(t.Context(), saying(t, strings.Replace(letIn, "AGREE_UNIX_FD", "ERROR", 1)+
		coded(t, binary.LittleEndian, replyTo(1, ":1.5"))+coded(t, binary.LittleEndian, replyTo(2, dbus.MakeVariant("258.1"))), 99))
	if err != nil || c.takesFDs {
		t.Fatalf("one that takes no descriptors: %v", err)
	}
	c.Close()
}

// Who does not speak D-Bus, or stops in the middle, is soon given up, and it is said.
func TestReceiveNonsense(t *testing.T) {
	long := []byte(coded(t, binary.LittleEndian, replyTo(1)))
	binary.LittleEndian.PutUint32(long[4:], 1<<30)
	longHeader := bytes.Clone(long)
	binary.LittleEndian.PutUint32(longHeader[4:], 0)
	binary.LittleEndian.PutUint32(longHeader[12:], 1<<30)
	for _, tt := range []struct{ name, says, want string }{
		{"nothing", "", "the connection to the service manager was lost"},
		{"refuses", "REJECTED EXTERNAL\r\n", "it refuses the user, or does not speak D-Bus"},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n\r\n", "it refuses the user, or does not speak D-Bus"},
		{"no lines", strings.Repeat("x", 20000), "it does not speak D-Bus"},
		{"stops", letIn, "the connection to the service manager was lost"},
		{"half a message", letIn + string(long[:9]), "the connection to the service manager was lost"},
		{"a message that is too long", letIn + string(long), "a message of more than 1048576 bytes"},
		{"a header that is too long", letIn + string(longHeader), "a message of more than 1048576 bytes"},
		{"no message", letIn + strings.Repeat("\x00", 400), "invalid byte order"},
	} {
		begun := time.Now()
		_, err := Connect(t.Context(), saying(t, tt.says, 4096))
		if err == nil || !strings.Contains(err.Error(), tt.want) || time.Since(begun) > time.Second {
			t.Errorf("%s: after %v: %v", tt.name, time.Since(begun), err)
		}
	}
}

// A unit that the manager does not know is released; what else it refuses is said.
func TestRelease(t *testing.T) {
	no := func(name string) *dbus.Message {
		return &dbus.Message{Type: dbus.TypeError, Headers: map[dbus.HeaderField]dbus.Variant{
			dbus.FieldReplySerial: dbus.MakeVariant(uint32(3)), dbus.FieldErrorName: dbus.MakeVariant(name)}}
	}
	greeting := letIn + coded(t, binary.LittleEndian, replyTo(1, ":1.5")) + coded(t, binary.LittleEndian, replyTo(2, dbus.MakeVariant("258.1")))
	for name, known := range map[string]bool{errNoSuchUnit: true, "org.freedesktop.DBus.Error.AccessDenied": false} {
		c, err := Connect(t.Context(), saying(t, greeting+coded(t, binary.LittleEndian, no(name)), 4096))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Release(t.Context(), "a.scope"); (err == nil) != known {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
	}
}

// Somebody who says other things for ever is given up, too.
func TestReceiveFlood(t *testing.T) {
	ours, theirs, err := descriptor.Pair("the test", unix.SOCK_STREAM)
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		flood := []byte(strings.Repeat(coded(t, binary.LittleEndian, replyTo(9)), 1000))
		for unix.Send(theirs, flood, unix.MSG_NOSIGNAL) == nil {
		}
	}()
	c := &Conn{wire: &wire{fd: ours}, pidfd: -1}
	begun := time.Now()
	if _, err := c.answer(t.Context(), 1, 50*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 5*time.Second {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
	c.Close()
	<-stopped
	unix.Close(theirs)
}

// TestStartEnded: nobody waits for the scope of a process that has ended.
func TestStartEnded(t *testing.T) {
	m, c := newManager(t)
	m.with(func() { m.stuck = true })
	process := exec.Command("true")
	pidfd := -1
	process.SysProcAttr = &syscall.SysProcAttr{PidFD: &pidfd}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	defer process.Wait()
	defer unix.Close(pidfd)
	j, err := c.Start(t.Context(), "a.scope", 0, scopeProperties())
	if err != nil {
		t.Fatal(err)
	}
	if err = j.Wait(limited(t, 20*time.Second), pidfd); !errors.Is(err, errEnded) || err.Error() != "systemd: start a.scope: its process has ended" {
		t.Error(err)
	}
	if len(c.ends) != 0 {
		t.Error("the next wait ends with the process too")
	}
}

// Whatever comes, the end of it is an error, and no panic.
func FuzzReceive(f *testing.F) {
	f.Add([]byte(coded(f, binary.LittleEndian, replyTo(1, ":1.5"))))
	f.Add([]byte(coded(f, binary.BigEndian, replyTo(2, dbus.MakeVariant("258.1"), []string{"a"}))))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 64<<10 {
			return
		}
		pair, err := socketPair(data)
		if err != nil {
			t.Fatal(err)
		}
		w := &wire{fd: pair}
		defer w.close()
		for range len(data)/headerLength + 1 {
			if _, err := w.receive(t.Context(), time.Now().Add(time.Second)); err != nil {
				return
			}
		}
		t.Error("there is more than was sent")
	})
}

// socketPair is a socket from which just that comes.
func socketPair(data []byte) (int, error) {
	ours, theirs, err := descriptor.Pair("the test", unix.SOCK_STREAM|unix.SOCK_NONBLOCK)
	if err != nil {
		return -1, err
	}
	defer unix.Close(theirs)
	if err := unix.SetsockoptInt(theirs, unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20); err != nil {
		return -1, err
	}
	_, err = unix.Write(theirs, data)
	return ours, err
}

func BenchmarkConnect(b *testing.B) {
	socket := startBus(b)
	manage(b, socket)
	for b.Loop() {
		c, err := Connect(context.Background(), Place{UID: os.Getuid(), SessionAddress: "unix:path=" + socket})
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

func BenchmarkStart(b *testing.B) {
	_, c := newManager(b)
	for b.Loop() {
		if _, err := start(b, c, "a.scope"); err != nil {
			b.Fatal(err)
		}
	}
}
