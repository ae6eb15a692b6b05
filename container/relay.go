package container

import (
	"context"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/systemd/notify"
	"golang.org/x/sys/unix"
)

// makeNotifySocket makes the socket's directory, and binds the socket if this
// process stays with the program.
func (s *starting) makeNotifySocket() error {
	if err := notify.MakeDirectory(s.c.dir.FilePath(compile.NotifyDirectory)); err != nil {
		return err
	}
	if s.serves {
		s.relay = s.c.relay()
	}
	return nil
}

// lacksNotifyMount reports whether the root has no place for the socket.
func lacksNotifyMount(b *bundle.Bundle) bool {
	return notify.LacksPlace(compile.NotifyMount, rootfsPath(b), b.Config.Root != nil && b.Config.Root.Readonly, b.Config.Mounts)
}

// relay binds the socket, if the container was made with one and a service
// manager is there; else it is nil. The program runs without its manager too.
func (c *Container) relay() *notify.Relay {
	dir := c.dir.FilePath(compile.NotifyDirectory)
	if c.runtime.options.NotifySocket == "" || !isDirectory(dir) {
		return nil
	}
	r, err := notify.NewRelay(dir, c.runtime.options.NotifySocket)
	if err != nil {
		c.runtime.warn("%v; nobody hears what the program reports", err)
		return nil
	}
	return r
}

func isDirectory(path string) bool {
	var st unix.Stat_t
	return unix.Lstat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// readiness is a program's word that it is ready, on its way to the service
// manager.
type readiness struct {
	relay      *notify.Relay
	pid, pidfd int
}

// readiness prepares to wait for a created container's program; it is nil when
// nobody wants to know.
func (c *Container) readiness() (*readiness, error) {
	relay := c.relay()
	if relay == nil {
		return nil, nil
	}
	pidfd, err := c.openInit()
	if err != nil {
		relay.Close()
		return nil, err
	}
	return &readiness{relay, c.State.Pid, pidfd}, nil
}

func (r *readiness) close() {
	if r != nil {
		r.relay.Close()
		unix.Close(r.pidfd)
	}
}

// await relays until the program is ready or init has ended. The program runs; so
// what goes wrong here is a warning.
func (r *readiness) await(ctx context.Context, runtime *Runtime) {
	if r == nil {
		return
	}
	if err := r.relay.UntilReady(ctx, r.pid, r.pidfd); err != nil {
		runtime.warn("%v", err)
	}
}

// AwaitReady is for a process that Run made and that nobody will wait for: it
// returns once the service manager, if there is one, was told that the program
// is ready, or the program has ended.
func (p *Process) AwaitReady(ctx context.Context) {
	if p.relay == nil {
		return
	}
	r := &readiness{p.relay, p.Pid, p.pidfd}
	p.relay = nil
	r.await(ctx, p.container.runtime)
	r.relay.Close()
}

// relaying passes notifications on in the background; stop, which may be called
// once and after the program's end, passes on what is left.
func (p *Process) relaying() (stop func()) {
	r := p.relay
	if r == nil {
		return func() {}
	}
	p.relay = nil
	end := r.InBackground()
	return func() {
		if err := end(); err != nil {
			p.container.runtime.warn("%v", err)
		}
	}
}
