package container_test

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/host"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// listing prints what the descriptors from 0 to 5 are, one a line.
const listing = `(for fd in 0 1 2 3 4 5; do readlink /proc/$$/fd/$fd || echo none; done) >&5; exit 0`

// TestStreams: what a program has from the start is what its request says, and
// nothing else: a stream that is nil is /dev/null, never a descriptor of the
// calling process that happens to have a number; a file that is nil is a gap.
// Tried: run and exec; sockets of a service manager.
func TestStreams(t *testing.T) {
	null := []string{"/dev/null", "/dev/null", "/dev/null"}
	useAsInput(t, "/etc/group") // go test has /dev/null
	for _, test := range []struct {
		name    string
		request func(r *container.Request, file *os.File)
		want    []string
	}{
		{"none", func(*container.Request, *os.File) {}, append(null, "none", "none")},
		{"in", func(r *container.Request, f *os.File) { r.Streams.In = f }, []string{"FILE", "/dev/null", "/dev/null", "none", "none"}},
		{"out and err", func(r *container.Request, f *os.File) { r.Streams.Out, r.Streams.Err = f, f }, []string{"/dev/null", "FILE", "FILE", "none", "none"}},
		{"one of two", func(r *container.Request, f *os.File) { r.Files[1] = f }, append(null, "none", "FILE")},
		{"listen", func(r *container.Request, f *os.File) { r.Files[0], r.Listen = f, host.Listen{Count: 1} }, append(null, "FILE", "none")},
	} {
		t.Run(test.name, func(t *testing.T) {
			file, err := os.Open("/etc/passwd")
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			for verb, start := range map[string]func(*testing.T, container.Request) (*container.Process, func()){"run": ran, "exec": execed} {
				out, in, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				r := container.Request{ID: "web", Files: []*os.File{nil, nil, in}}
				test.request(&r, file)
				if verb == "exec" && r.Listen.Count > 0 {
					continue // which has none
				}
				p, end := start(t, r)
				in.Close()
				text, err := io.ReadAll(out)
				if err != nil {
					t.Fatal(err)
				}
				if status, err := p.Wait(t.Context()); status != 0 || err != nil {
					t.Error(status, err)
				}
				end()
				got := strings.Fields(strings.ReplaceAll(string(text), "/etc/passwd", "FILE"))
				if len(got) != 6 || strings.Join(got[:5], " ") != strings.Join(test.want, " ") {
					t.Errorf("%s: %q, want %q", verb, got, test.want)
				}
			}
		})
	}
}

// useAsInput makes a file the standard input of this process.
func useAsInput(t *testing.T, name string) {
	t.Helper()
	own, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err == nil {
		err = unix.Dup3(int(f.Fd()), 0, 0)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Dup3(own, 0, 0)
		unix.Close(own)
	})
}

func ran(t *testing.T, r container.Request) (*container.Process, func()) {
	runtime, bundle, remove := scratch("sh", "-c", listing)
	r.Bundle = bundle
	p, err := runtime.Run(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return p, func() {
		if err := p.Delete(t.Context()); err != nil {
			t.Error(err)
		}
		remove()
	}
}

func execed(t *testing.T, r container.Request) (*container.Process, func()) {
	runtime, bundle, remove := scratch("sleep", "60")
	init, err := runtime.Run(t.Context(), container.Request{ID: "web", Bundle: bundle})
	if err != nil {
		t.Fatal(err)
	}
	process := &specs.Process{Args: []string{"sh", "-c", listing}, Cwd: "/", Env: bundle.Config.Process.Env}
	p, err := runtime.Exec(t.Context(), "web", container.ExecRequest{Process: process, Streams: r.Streams, Files: r.Files})
	if err != nil {
		t.Fatal(err)
	}
	return p, func() {
		init.Signal(unix.SIGKILL)
		if _, err := init.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if err := init.Delete(t.Context()); err != nil {
			t.Error(err)
		}
		remove()
	}
}

// TestListen: more descriptors to listen on than files are an error.
func TestListen(t *testing.T) {
	runtime, bundle, remove := scratch("true")
	defer remove()
	for _, n := range []int{-1, 1} {
		_, err := runtime.Run(t.Context(), container.Request{ID: "web", Bundle: bundle, Listen: host.Listen{Count: n}})
		if err == nil || !strings.Contains(err.Error(), "to listen on are not among 0 files") {
			t.Errorf("%d: %v", n, err)
		}
	}
}

// TestInheritedFiles: what this process opened itself is no file that it was
// started with.
func TestInheritedFiles(t *testing.T) {
	own, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	fd, err := unix.FcntlInt(own.Fd(), unix.F_DUPFD, 3) // as if it had been left open at execve
	if err != nil {
		t.Fatal(err)
	}
	n := max(int(own.Fd()), fd) - 3 + 1
	files := container.InheritedFiles(n)
	if len(files) != n || files[own.Fd()-3] != nil || files[fd-3] == nil || files[fd-3].Fd() != uintptr(fd) {
		t.Errorf("%d files for %d, %v", len(files), n, files)
	}
	files[fd-3].Close()
}

// TestTerminal: who runs or executes something with a terminal gets its other end; who
// does not gets none.
func TestTerminal(t *testing.T) {
	runtime, bundle, remove := scratch("sh", "-c", "echo hello; read line; exec sleep 60")
	defer remove()
	bundle.Config.Process.Terminal = true
	says := func(p *container.Process) {
		t.Helper()
		if p.Terminal == nil {
			t.Error("no terminal")
			return
		}
		var text [64]byte
		if n, err := p.Terminal.Read(text[:]); strings.TrimSpace(string(text[:n])) != "hello" || err != nil {
			t.Errorf("%q, %v", text[:n], err)
		}
		t.Cleanup(func() { p.Terminal.Close() }) // or the process is hung up
	}
	init, err := runtime.Run(t.Context(), container.Request{ID: "web", Bundle: bundle})
	if err != nil {
		t.Fatal(err)
	}
	defer init.Delete(t.Context())
	defer init.Wait(t.Context())
	defer init.Signal(unix.SIGKILL)
	for _, terminal := range []bool{true, false} {
		process := &specs.Process{Args: []string{"echo", "hello"}, Cwd: "/", Env: bundle.Config.Process.Env, Terminal: terminal}
		p, err := runtime.Exec(t.Context(), "web", container.ExecRequest{Process: process})
		if err != nil {
			t.Fatal(err)
		}
		if terminal {
			says(p)
		} else if p.Terminal != nil {
			t.Error("a terminal that nobody asked for")
		}
		if status, err := p.Wait(t.Context()); status != 0 || err != nil {
			t.Error(status, err)
		}
	}
	says(init)
}
