package notify

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/proc"
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
	r, err := NewRelay(dir, upstream)
	if err != nil {
		t.Fatal(err)
	}
	r.mainPID = mainPID
	t.Cleanup(func() { r.Close() })
	// The program may be any user of the container's.
	if st, err := os.Stat(filepath.Join(dir, socketName)); err != nil || st.Mode().Perm() != 0o777 {
		t.Errorf("the socket: %v, %v", st, err)
	}
	short := filepath.Join(t.TempDir(), "s")
	if err := os.Symlink(dir, short); err != nil {
		t.Fatal(err)
	}
	client, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: short + "/" + socketName, Net: "unixgram"})
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
	messages, err := unix.ParseSocketControlMessage(control[:c])
	if err != nil {
		t.Fatal(err)
	}
	var fds []int
	for _, m := range messages {
		more, err := unix.ParseUnixRights(&m)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, more...)
	}
	return string(data[:n]), fds
}

func closeFDs(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

func TestRelay(t *testing.T) {
	upstream, name := listenFake(t)
	r, client := newRelay(t, name, 0)
	done := make(chan error, 1)
	go func() { done <- r.serve(limited(t, 5*time.Second), isReady) }()
	for _, tt := range []struct{ sent, want string }{
		{"STATUS=hello\n", "STATUS=hello"},
		{"MAINPID=5\nNOTIFYACCESS=all\nWATCHDOG=1", "WATCHDOG=1"},
		{"MAINPID=5", ""},
		{"", ""},
		{"STATUS=" + strings.Repeat("x", 10000), ""},
		{"STATUS=" + strings.Repeat("x", 4090), ""}, // a byte too many for systemd
		{"X_MAINPID=5\nERRNO=2\nREADY=1", "ERRNO=2\nREADY=1"},
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

// What a container may say, and nothing that a reader would split otherwise:
// systemd splits at \n and \r, takes a backslash for an escape (so that MAIN\PID
// is MAINPID, and a backslash at the end of a line joins the next), and lets one
// NUL end the message.
func TestTranslate(t *testing.T) {
	long := "STATUS=" + strings.Repeat("x", 3000)
	for _, tt := range []struct{ sent, want string }{
		{"READY=1\rMAINPID=1", "READY=1"},
		{"X=1\rNOTIFYACCESS=all", ""},
		{"STATUS=a\r\nMAINPID=1\n\rERRNO=2\r", "STATUS=a\nERRNO=2"},
		{"MAINPID=1\nMAINPIDFD=1\nMAINPIDFDID=5\nNOTIFYACCESS=all", ""},
		{"FDSTORE=1\nFDNAME=x\nFDSTOREREMOVE=1\nFDPOLL=0\nSTATUS=y", "STATUS=y"},
		{"MAIN\\PID=1\n\\MAINPID=1\nmainpid=1\n MAINPID=1\nMAINPID =1\nA MAINPID=1", ""},
		{"STATUS=a\\\nMAINPID=1\nREADY=1", "READY=1"},
		{"STATUS=a\\b", "STATUS=a\\b"},
		{"STATUS=a\x00MAINPID=1\x00", ""},
		{"READY=1\x00", "READY=1"},
		{"READY=1\x00\x00", ""},
		{"STATUS=\x1b[31m\nSTATUS=a\vMAINPID=1\nSTATUS=\fb\nSTATUS=\u0085MAINPID=1\nSTATUS=\u009b2J\nSTATUS=\x85\nERRNO=2", "ERRNO=2"},
		{"STATUS=übel, a=b; \u2028 MAINPID=1", "STATUS=übel, a=b; \u2028 MAINPID=1"},
		{"READY\n=1\nREADY", ""},
		{"RELOADING=1\nMONOTONIC_USEC=5\nSTOPPING=1\nBUSERROR=a.b\nVARLINKERROR=a.b\nEXIT_STATUS=3\nWATCHDOG=trigger\nWATCHDOG_USEC=9\nEXTEND_TIMEOUT_USEC=9\nRESTART_RESET=1",
			"RELOADING=1\nMONOTONIC_USEC=5\nSTOPPING=1\nBUSERROR=a.b\nVARLINKERROR=a.b\nEXIT_STATUS=3\nWATCHDOG=trigger\nWATCHDOG_USEC=9\nEXTEND_TIMEOUT_USEC=9\nRESTART_RESET=1"},
		// What would make the message too long for systemd is left out, not READY.
		{long + "\n" + long + "\nREADY=1", long + "\nREADY=1"},
	} {
		if got, _ := translate(tt.sent, 0); got != tt.want {
			t.Errorf("%q became %q, want %q", tt.sent, got, tt.want)
		}
	}
}

// FuzzTranslate: whatever comes in, systemd's own splitting of what goes out
// finds only keys that a container may say, and a second pass changes nothing.
func FuzzTranslate(f *testing.F) {
	for _, seed := range []string{"READY=1\rMAINPID=1", "X=1\rNOTIFYACCESS=all", "STATUS=a\\\nMAINPID=1", "MAIN\\PID=1", "READY=1\x00",
		"STATUS=\u0085MAINPID=1", "FDSTORE=1\nFDNAME=x", "BARRIER=1", "STATUS=" + strings.Repeat("x", 4089)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sent string) {
		out, _ := translate(sent, 0)
		for _, line := range systemdSplits(out) {
			if key, _, _ := strings.Cut(line, "="); !isOwn(key) {
				t.Errorf("%q became %q: systemd reads %q", sent, out, line)
			}
		}
		if again, _ := translate(out, 0); again != out {
			t.Errorf("%q became %q, and that %q", sent, out, again)
		}
		with, _ := translate(sent, 4194304)
		if len(with) > maxMessage || with != out && with != out+"\nMAINPID=4194304" {
			t.Errorf("%q became %q with a main process", sent, with)
		}
	})
}

// systemdSplits is extract_first_word() of systemd 257, as its notify socket has
// it: separators are joined, a backslash makes the next byte a plain one.
func systemdSplits(message string) (words []string) {
	var word []byte
	in, escaped := false, false
	for _, c := range []byte(message) {
		switch {
		case escaped:
			word, escaped = append(word, c), false
		case c == '\\':
			in, escaped = true, true
		case c == '\n' || c == '\r':
			if in {
				words, word, in = append(words, string(word)), nil, false
			}
		default:
			word, in = append(word, c), true
		}
	}
	if in {
		words = append(words, string(word))
	}
	return words
}

func TestTranslateMainPID(t *testing.T) {
	if got, _ := translate("READY=1\nMAINPID=1\n", 42); got != "READY=1\nMAINPID=42" {
		t.Errorf("got %q", got)
	}
	if got, _ := translate("STATUS=READY=1", 42); got != "STATUS=READY=1" {
		t.Errorf("got %q", got)
	}
}

func hungUp(t *testing.T, f *os.File, wait time.Duration) bool {
	t.Helper()
	n, err := proc.Poll(t.Context(), []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}, wait)
	return n == 1 && err == nil
}

// sendPipe sends a message with a pipe's end, and returns the other one.
func sendPipe(t *testing.T, client *net.UnixConn, message string) *os.File {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	if err := send(client, []byte(message), unix.UnixRights(int(writer.Fd()))); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	return reader
}

// A barrier ends when the manager has worked off what came before, and not
// earlier; the manager gets a pipe of ours.
func TestRelayBarrier(t *testing.T) {
	upstream, name := listenFake(t)
	r, client := newRelay(t, name, 0)
	done := make(chan error, 1)
	go func() { done <- r.serve(limited(t, 5*time.Second), isBarrier) }()
	if _, err := client.Write([]byte("READY=1")); err != nil {
		t.Fatal(err)
	}
	barrier := sendPipe(t, client, "BARRIER=1")
	if got, _ := receive(t, upstream); got != "READY=1" {
		t.Fatalf("got %q", got)
	}
	got, fds := receive(t, upstream)
	if got != "BARRIER=1" || len(fds) != 1 {
		t.Fatalf("%q with %d descriptors", got, len(fds))
	}
	if hungUp(t, barrier, 50*time.Millisecond) {
		t.Error("the barrier ended before the manager had read READY=1")
	}
	closeFDs(fds)
	if !hungUp(t, barrier, 2*time.Second) {
		t.Error("the relay keeps the barrier")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Descriptors stay outside of the manager, whose store would hold them for as
// long as the service is loaded, and of this process.
func TestRelayDescriptors(t *testing.T) {
	upstream, name := listenFake(t)
	r, client := newRelay(t, name, 0)
	go r.serve(limited(t, 5*time.Second), nil)
	stored := sendPipe(t, client, "FDSTORE=1\nFDNAME=x\nSTATUS=y")
	if got, fds := receive(t, upstream); got != "STATUS=y" || len(fds) != 0 {
		t.Errorf("%q with %d descriptors", got, len(fds))
	}
	if !hungUp(t, stored, 2*time.Second) {
		t.Error("somebody keeps the descriptor")
	}
}

func TestRelayEnds(t *testing.T) {
	_, name := listenFake(t)
	r, client := newRelay(t, name, 0)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	if err := r.serve(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// A manager that does not read: the relay waits, but not for ever.
	ctx, cancel = context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			_ = client.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = client.Write([]byte("STATUS=x"))
		}
	}()
	full := make(chan error, 1)
	go func() { full <- r.serve(ctx, nil) }()
	select {
	case err := <-full:
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	case <-time.After(3 * time.Second):
		t.Error("a full manager blocks the relay")
	}
}

// TestRelayLastWords: what is in the socket when the program has ended comes
// through, all of it and in order, however the end falls: before serve begins,
// while it is idle, or while it has a datagram in hand.
func TestRelayLastWords(t *testing.T) {
	for round := range 300 {
		upstream, name := listenFake(t)
		r, client := newRelay(t, name, 0)
		ctx, cancel := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() { served <- r.serve(ctx, nil) }()
		go func() {
			time.Sleep(time.Duration(round%20) * 10 * time.Microsecond)
			cancel()
		}()
		words := []string{"STATUS=bye", "STOPPING=1\nERRNO=5", "EXIT_STATUS=3"}
		for _, w := range words {
			if _, err := client.Write([]byte(w)); err != nil {
				t.Fatal(err)
			}
		}
		<-served
		drained := make(chan bool)
		go func() { r.drain(); close(drained) }()
		for _, want := range append(words, "BARRIER=1") {
			got, fds := receive(t, upstream)
			closeFDs(fds)
			if got != want {
				t.Fatalf("round %d: got %q, want %q", round, got, want)
			}
		}
		<-drained
	}
}

// TestRelayGoneManager: a program's reports to a manager that has gone are
// dropped; it must not block in them (a datagram socket holds ten).
func TestRelayGoneManager(t *testing.T) {
	upstream, name := listenFake(t)
	r, client := newRelay(t, name, 0)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.serve(ctx, nil) }()
	upstream.Close()
	_ = client.SetWriteDeadline(time.Now().Add(2 * time.Second))
	for range 1000 {
		if _, err := client.Write([]byte("WATCHDOG=1")); err != nil {
			t.Fatal("the program blocks:", err)
		}
	}
	cancel()
	<-served
	r.drain()
	if err := r.trouble; err == nil || !strings.Contains(err.Error(), "pass on") {
		t.Errorf("the trouble is %v", err)
	}
}

func TestNewRelayRefuses(t *testing.T) {
	if _, err := NewRelay(t.TempDir(), "relative"); err == nil {
		t.Error("took a relative path")
	}
	if _, err := NewRelay(t.TempDir(), "/nonexistent/notify"); err == nil || strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}
