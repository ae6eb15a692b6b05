package notify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Theory of operation
//
// A program that reports to a service manager gets a relay's socket, in a directory
// that is mounted in the container, and what it says is passed on from the runtime's
// process, which is the one the manager listens to. The socket is bound before the
// program runs, so nothing is lost of what it says before somebody reads. Who stays
// with the program reads in the background until it ends; who does not, until the
// program is ready, and the manager then learns that init is the service's main
// process.

// MakeDirectory makes the directory that a relay's socket will be in, for any user
// to look into, whatever the umask.
func MakeDirectory(name string) error {
	err := unix.Mkdir(name, 0o755)
	if err == nil {
		err = unix.Chmod(name, 0o755)
	}
	if err != nil {
		return fmt.Errorf("make %s: %w", name, err)
	}
	return nil
}

// UntilReady relays until the program is ready or has ended, and passes on what was
// said until then. pid is the program's, for MAINPID, and pidfd its pidfd, which
// stays the caller's. It does not close the relay. An error says what went wrong
// beside the program.
func (r *Relay) UntilReady(ctx context.Context, pid, pidfd int) error {
	r.mainPID = pid
	watched, stop, err := untilEnd(ctx, pidfd)
	defer stop()
	switch served := r.serve(watched, isReady); {
	case served == nil:
		r.lingers(watched)
	case watched.Err() == nil:
		err = both(err, served)
	}
	return both(err, r.end())
}

// both is two errors in one line.
func both(a, b error) error {
	if a == nil || b == nil {
		return errors.Join(a, b)
	}
	return fmt.Errorf("%w; %w", a, b)
}

// end passes on what is left, and returns the first reason why something was not
// passed on.
func (r *Relay) end() error {
	r.drain()
	return r.trouble
}

// InBackground relays until stop is called, once: it passes on what is left, and
// closes the relay. The error is the first reason why something was not passed on.
func (r *Relay) InBackground() (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = r.serve(ctx, nil) // the program goes on without its manager
	}()
	return func() error {
		cancel()
		<-done
		defer r.Close()
		return r.end()
	}
}

// untilEnd is a context that ends with the process of a pidfd. stop waits until that
// is not watched any more; it is never nil.
func untilEnd(ctx context.Context, pidfd int) (_ context.Context, stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	wake, watch, err := os.Pipe()
	if err != nil {
		return ctx, cancel, fmt.Errorf("watch init: %w", err)
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		defer cancel()
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}, {Fd: int32(wake.Fd()), Events: unix.POLLIN}}
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
	}, nil
}

// lingers serves a little longer: a program that waits for its barrier, as
// systemd-notify(1) does, is not to find the socket gone.
func (r *Relay) lingers(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lingering)
	defer cancel()
	_ = r.serve(ctx, isBarrier)
}

// lingering is how long a program that is ready may take to ask for a barrier.
const lingering = 50 * time.Millisecond
