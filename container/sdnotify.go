package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/systemd/notify"
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

// makeNotifySocket makes the socket's directory, and binds the socket if this
// process stays with the program.
func (s *starting) makeNotifySocket() error {
	dir := s.c.dir.FilePath(compile.NotifyDirectory)
	if err := unix.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask
		return fmt.Errorf("make %s: %w", dir, unwrap(err))
	}
	if s.serves {
		s.relay = s.c.relay()
	}
	return nil
}

// lacksNotifyMount reports whether the socket's directory has no place in the
// root, and none can be made there: nobody asked for one, so its want does not
// end the run. A mount of config.json at or above it is taken to have one.
func lacksNotifyMount(b *bundle.Bundle) bool {
	for _, m := range b.Config.Mounts {
		if at := path.Clean("/" + m.Destination); strings.HasPrefix(compile.NotifyMount+"/", strings.TrimSuffix(at, "/")+"/") {
			return false
		}
	}
	root, err := unix.Open(rootfsPath(b), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false // that is said of the root itself
	}
	defer unix.Close(root)
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	whole := compile.NotifyMount[1:]
	for at := whole; at != ""; at, _ = path.Split(strings.TrimSuffix(at, "/")) {
		fd, err := unix.Openat2(root, at, &how)
		if err != nil {
			continue
		}
		defer unix.Close(fd)
		return at != whole && (isReadonly(fd) || b.Config.Root != nil && b.Config.Root.Readonly && rootfsPath(b) == "/")
	}
	return isReadonly(root)
}

// isReadonly reports whether a descriptor's mount or file system is read-only.
func isReadonly(fd int) bool {
	var st unix.Statfs_t
	return unix.Fstatfs(fd, &st) == nil && st.Flags&unix.ST_RDONLY != 0
}

// relay binds the socket, if the container was made with one and a service
// manager is there; else it is nil. The program runs without its manager too.
func (c *Container) relay() *notify.Relay {
	if c.runtime.NotifySocket == "" || !isDirectory(c.dir.FilePath(compile.NotifyDirectory)) {
		return nil
	}
	r, err := notify.NewRelay(c.dir.FilePath(compile.NotifyDirectory), c.runtime.NotifySocket, 0)
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

// endRelay passes on what is left, and says if something was not.
func (r *Runtime) endRelay(relay *notify.Relay) {
	relay.Drain()
	if err := relay.Trouble(); err != nil {
		r.warn("%v", err)
	}
	relay.Close()
}

// readiness is a program's word that it is ready, on its way to the service
// manager.
type readiness struct {
	relay      *notify.Relay
	runtime    *Runtime
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
	return &readiness{relay, c.runtime, c.State.Pid, pidfd}, nil
}

func (r *readiness) close() {
	if r != nil {
		r.relay.Close()
		unix.Close(r.pidfd)
	}
}

// await relays until the program is ready or init has ended, and what was said
// until then. The program runs; so what goes wrong here is a warning.
func (r *readiness) await(ctx context.Context) {
	if r == nil {
		return
	}
	defer r.runtime.endRelay(r.relay)
	r.relay.SetMainPID(r.pid)
	ctx, stop := r.untilEnd(ctx)
	defer stop()
	if err := r.relay.Serve(ctx, notify.Ready); err == nil {
		r.barrier(ctx)
	} else if ctx.Err() == nil {
		r.runtime.warn("%v", err)
	}
}

// untilEnd is a context that ends with init. stop waits until init is not
// watched any more.
func (r *readiness) untilEnd(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	wake, watch, err := os.Pipe()
	if err != nil {
		r.runtime.warn("watch init: %v", err)
		return ctx, cancel
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		defer cancel()
		fds := []unix.PollFd{{Fd: int32(r.pidfd), Events: unix.POLLIN}, {Fd: int32(wake.Fd()), Events: unix.POLLIN}}
		for {
			if n, err := unix.Poll(fds, -1); n > 0 || !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
	return ctx, func() {
		watch.Close()
		<-watched
		wake.Close()
	}
}

// barrier serves a little longer: a program that waits for its barrier, as
// systemd-notify(1) does, is not to find the socket gone.
func (r *readiness) barrier(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, barrierLimit)
	defer cancel()
	_ = r.relay.Serve(ctx, notify.IsBarrier)
}

// barrierLimit is how long a program that is ready may take to ask for one.
const barrierLimit = 50 * time.Millisecond

// AwaitReady is for a process that Run made and that nobody will wait for: it
// returns once the service manager, if there is one, was told that the program
// is ready, or the program has ended.
func (p *Process) AwaitReady(ctx context.Context) {
	if p.relay == nil {
		return
	}
	r := &readiness{relay: p.relay, runtime: p.container.runtime, pid: p.Pid, pidfd: p.pidfd}
	p.relay = nil
	r.await(ctx)
}

// relaying passes notifications on in the background; stop, which may be called
// once and after the program's end, passes on what is left.
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
		p.container.runtime.endRelay(r)
	}
}
