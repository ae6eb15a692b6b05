package seccomp

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func state() State {
	return State{
		OCIVersion: "1.3.0", ID: "web\"1", Status: "creating", PID: 42, InitPID: 40, Bundle: "/b\x01\n",
		Annotations: map[string]string{"b": "2", "a": "ä\\"}, Metadata: `{"k":"v"}`,
	}
}

func TestMessageIsTheSpecificationsState(t *testing.T) {
	var got specs.ContainerProcessState
	if err := json.Unmarshal(state().Message(), &got); err != nil {
		t.Fatalf("%s: %v", state().Message(), err)
	}
	want := specs.ContainerProcessState{
		Version: "1.3.0", Fds: []string{specs.SeccompFdName}, Pid: 42, Metadata: `{"k":"v"}`,
		State: specs.State{Version: "1.3.0", ID: "web\"1", Status: specs.StateCreating, Pid: 40, Bundle: "/b\x01\n",
			Annotations: map[string]string{"b": "2", "a": "ä\\"}},
	}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if string(a) != string(b) {
		t.Errorf("got\n%s\nwant\n%s", a, b)
	}
}

func TestMessageIsStable(t *testing.T) {
	want := `{"ociVersion":"1.3.0","fds":["seccompFd"],"pid":1,"state":{"ociVersion":"1.3.0","id":"x","status":"running","pid":1,"bundle":"/b"}}`
	if got := string(State{OCIVersion: "1.3.0", ID: "x", Status: "running", PID: 1, Bundle: "/b"}.Message()); got != want {
		t.Errorf("got %s", got)
	}
}

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

func TestSendListener(t *testing.T) {
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
		s := state()
		s.Metadata = strings.Repeat("m", 1<<20) // more than a socket's buffer
		errs := make(chan error, 1)
		go func() { errs <- SendListener(path, int(sent.Fd()), s) }()
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

func TestSendListenerErrors(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "none"):                           "no such file or directory",
		filepath.Join(dir, strings.Repeat("d", 100), "none"): "no such file or directory",
		"@abstract":              "not a path",
		"":                       "not a path",
		strings.Repeat("x", 200): "file name too long",
	} {
		err := SendListener(path, 0, state())
		if err == nil || !strings.HasSuffix(err.Error(), want) || !strings.HasPrefix(err.Error(), "seccomp: connect to ") {
			t.Errorf("%s: %v", path, err)
		}
	}
}
