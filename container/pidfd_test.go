package container_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/container"
	"golang.org/x/sys/unix"
)

// TestPidfdReceivers: init's pidfd goes to the socket of the request and to that
// of crun's annotation; one that nobody listens on is an error.
func TestPidfdReceivers(t *testing.T) {
	runtime, bundle, remove := scratch("true")
	defer remove()
	dir := t.TempDir()
	request := container.Request{ID: "web", Bundle: bundle, Stdio: [3]int{0, 1, 2}, PidfdSocket: filepath.Join(dir, "request")}
	bundle.Config.Annotations = map[string]string{"run.oci.pidfd_receiver": filepath.Join(dir, "annotation")}
	var listeners []*net.UnixListener
	for _, name := range []string{"request", "annotation"} {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, name), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := l.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
	}
	p, err := runtime.Run(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range listeners {
		if got, want := received(t, l), "Pid:\t"+strconv.Itoa(p.Pid)+"\n"; !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", l.Addr(), got, want)
		}
	}
	if _, err := p.Wait(); err != nil {
		t.Error(err)
	}
	if err := p.Delete(t.Context()); err != nil {
		t.Error(err)
	}
	bundle.Config.Annotations["run.oci.pidfd_receiver"] = filepath.Join(dir, "nobody")
	if _, err := runtime.Run(t.Context(), request); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("a socket that is not there: %v", err)
	}
}

// received is the fdinfo of the descriptor that the first caller sends; of a
// process that has not been waited for it has the id.
func received(t *testing.T, l *net.UnixListener) string {
	t.Helper()
	c, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	data, control := make([]byte, 64), make([]byte, 64)
	_, n, _, _, err := c.ReadMsgUnix(data, control)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		t.Fatalf("%d messages, %v", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatalf("%d descriptors, %v", len(fds), err)
	}
	defer unix.Close(fds[0])
	text, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(fds[0]))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
