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
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestPidfdReceivers: init's pidfd goes to the socket of the request and to that
// of crun's annotation; one that nobody listens on is an error.
func TestPidfdReceivers(t *testing.T) {
	runtime, bundle, remove := scratch("true")
	defer remove()
	dir := t.TempDir()
	request := container.Request{ID: "web", Bundle: bundle, Streams: container.OwnStreams(), PidfdSocket: filepath.Join(dir, "request")}
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
	if _, err := p.Wait(t.Context()); err != nil {
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

// TestNoPidfdReceiver: nothing is started whose pidfd nobody will hear of. Tried:
// run, create (by the flag and by the annotation) and exec.
func TestNoPidfdReceiver(t *testing.T) {
	started := false
	debug := container.Options{Debug: func(line string) { started = started || strings.Contains(line, "start-stage") }}
	runtime, bundle, remove := scratchWith(debug, "sleep", "60")
	defer remove()
	socket, streams := filepath.Join(t.TempDir(), "nobody"), container.OwnStreams()
	annotated := *bundle
	config := *bundle.Config
	config.Annotations = map[string]string{"run.oci.pidfd_receiver": socket}
	annotated.Config = &config
	for verb, do := range map[string]func() error{
		"run": func() error {
			_, err := runtime.Run(t.Context(), container.Request{ID: "a", Bundle: bundle, Streams: streams, PidfdSocket: socket})
			return err
		},
		"create": func() error {
			_, err := runtime.Create(t.Context(), container.Request{ID: "b", Bundle: bundle, Streams: streams, PidfdSocket: socket})
			return err
		},
		"annotation": func() error {
			_, err := runtime.Create(t.Context(), container.Request{ID: "c", Bundle: &annotated, Streams: streams})
			return err
		},
		"exec": func() error {
			return inSleeper(t, debug, func(r *container.Runtime) error {
				started = false
				_, err := r.Exec(t.Context(), "web", container.ExecRequest{Process: &specs.Process{Args: []string{"sleep", "60"}, Cwd: "/"}, Streams: streams, PidfdSocket: socket})
				return err
			})
		},
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), "connect to "+socket) || started {
			t.Errorf("%s: %v, started %v", verb, err, started)
		}
		started = false
	}
}

// TestExecThatFailsLate: an exec that fails once its process runs leaves no
// process: here the receiver of its pidfd hangs up.
func TestExecThatFailsLate(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "hangs-up")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	err = inSleeper(t, container.Options{}, func(r *container.Runtime) error {
		request := container.ExecRequest{Process: &specs.Process{Args: []string{"sleep", "60"}, Cwd: "/"}, Streams: container.OwnStreams(), PidfdSocket: socket}
		var err error
		for range 50 { // in most the receiver has hung up by then
			var p *container.Process
			if p, err = r.Exec(t.Context(), "web", request); err != nil {
				break
			}
			p.Signal(unix.SIGKILL)
			if _, err := p.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		}
		c, peekErr := r.Peek("web")
		if peekErr != nil {
			t.Fatal(peekErr)
		}
		defer c.Close()
		if pids, err := c.Processes(t.Context()); err != nil || len(pids) != 1 {
			t.Errorf("processes %v are left, %v", pids, err)
		}
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "send the pidfd to "+socket) {
		t.Errorf("%v", err)
	}
}

// inSleeper does something with a container "web" that runs.
func inSleeper(t *testing.T, o container.Options, do func(*container.Runtime) error) error {
	t.Helper()
	runtime, bundle, remove := scratchWith(o, "sleep", "60")
	defer remove()
	p, err := runtime.Run(t.Context(), container.Request{ID: "web", Bundle: bundle, Streams: container.OwnStreams()})
	if err != nil {
		t.Fatal(err)
	}
	err = do(runtime)
	p.Signal(unix.SIGKILL)
	if _, err := p.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if err := p.Delete(t.Context()); err != nil {
		t.Error(err)
	}
	return err
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
