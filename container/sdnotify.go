package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/systemd"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// A program that reports to a service manager (sd_notify(3)) gets a socket of
// the runtime's, in a directory that is mounted in the container, and what it
// says is passed on from the runtime's process, which is the one the manager
// listens to. The socket is bound before the program runs, so nothing is lost
// of what it says before somebody reads. run reads until the program ends;
// start, and a detached run, until it is ready, and the manager then learns
// that init is the service's main process.

const (
	// notifyDir is a directory of the container's with the socket.
	notifyDir = "notify"
	// notifyMount is where it is in the container.
	notifyMount    = "/run/notify"
	notifyVariable = "NOTIFY_SOCKET"
)

// addNotify gives the container the socket's directory and tells it of the
// socket, unless config.json does so already.
func (c *Container) addNotify(request *Request) error {
	s := *request.Bundle.Config
	if c.runtime.NotifySocket == "" || s.Process == nil || hasVariable(s.Process.Env, notifyVariable) {
		return nil
	}
	dir := c.file(notifyDir)
	if err := unix.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask
		return fmt.Errorf("make %s: %w", dir, unwrap(err))
	}
	s.Mounts = append(s.Mounts[:len(s.Mounts):len(s.Mounts)], specs.Mount{Destination: notifyMount, Type: "bind", Source: dir,
		Options: []string{"bind", "ro", "nosuid", "nodev", "noexec"}})
	p := *s.Process
	p.Env = append(p.Env[:len(p.Env):len(p.Env)], notifyVariable+"="+notifyMount+"/"+systemd.RelaySocket)
	s.Process = &p
	request.Bundle = &bundle.Bundle{Dir: request.Bundle.Dir, Config: &s, Raw: request.Bundle.Raw, Seccomp: request.Bundle.Seccomp}
	if request.Facts != nil && request.Facts.Sources != nil {
		request.Facts.Sources[dir] = host.Source{Path: dir, Kind: host.Directory}
	}
	return nil
}

func hasVariable(env []string, name string) bool {
	for _, e := range env {
		if strings.HasPrefix(e, name+"=") {
			return true
		}
	}
	return false
}

// relay binds the socket, if the container was made with one and a service
// manager is there; else it is nil.
func (c *Container) relay() (*systemd.Relay, error) {
	if c.runtime.NotifySocket == "" || !isDirectory(c.file(notifyDir)) {
		return nil, nil
	}
	return systemd.NewRelay(c.file(notifyDir), c.runtime.NotifySocket, 0)
}

// readiness is a program's word that it is ready, on its way to the service
// manager.
type readiness struct {
	relay      *systemd.Relay
	pid, pidfd int
}

// readiness prepares to wait for a created container's program; it is nil when
// nobody wants to know.
func (c *Container) readiness() (*readiness, error) {
	r, err := c.relay()
	if r == nil || err != nil {
		return nil, err
	}
	pidfd, err := c.openInit()
	if err != nil {
		r.Close()
		return nil, err
	}
	return &readiness{r, c.State.Pid, pidfd}, nil
}

func (r *readiness) close() {
	if r != nil {
		r.relay.Close()
		unix.Close(r.pidfd)
	}
}

// await relays until the program is ready or init has ended.
func (r *readiness) await(ctx context.Context) error {
	if r == nil {
		return nil
	}
	r.relay.SetMainPID(r.pid)
	ctx, cancel := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		defer cancel()
		for ctx.Err() == nil && !ended(r.pidfd, maxWait) {
		}
	}()
	err := r.relay.Serve(ctx, systemd.Ready)
	if err == nil {
		r.barrier(ctx)
	} else if errors.Is(err, context.Canceled) {
		err = r.relay.Drain()
	}
	cancel()
	<-watched // before the caller closes what it looks at
	return err
}

// barrier serves a little longer: sd_notify_barrier(3) and systemd-notify(1)
// want to know that the word has arrived.
func (r *readiness) barrier(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, barrierLimit)
	defer cancel()
	_ = r.relay.Serve(ctx, func(message string) bool { return strings.Contains(message, "BARRIER=1") })
}

// barrierLimit is how long a program that wants no barrier is waited for.
const barrierLimit = 50 * time.Millisecond

// ended waits for a process's end for the time given.
func ended(pidfd int, limit time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(limit.Milliseconds()))
	return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
}

// AwaitReady is for a process that Run made and that nobody will wait for: it
// returns once the service manager, if there is one, was told that the program
// is ready, or the program has ended.
func (p *Process) AwaitReady(ctx context.Context) error {
	if p.relay == nil {
		return nil
	}
	r := &readiness{relay: p.relay, pid: p.Pid, pidfd: p.pidfd}
	p.relay = nil
	defer r.relay.Close()
	return r.await(ctx)
}

// relaying passes notifications on in the background; stop, which may be called
// once, passes on what is left.
func (p *Process) relaying() (stop func()) {
	r := p.relay
	if r == nil {
		return func() {}
	}
	p.relay = nil
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.Serve(ctx, nil) // the program goes on without its manager
	}()
	return func() {
		cancel()
		<-done
		_ = r.Drain()
		r.Close()
	}
}
