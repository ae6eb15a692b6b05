package proc

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// AwaitEnd waits for a process's end; a zombie has ended. It waits for the given
// time at most, or if that is negative for ever. The error is ctx's when that ends
// before.
func AwaitEnd(ctx context.Context, pidfd int, limit time.Duration) (ended bool, err error) {
	n, err := Poll(ctx, []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, limit)
	return n > 0, err
}

// WhenDone calls do, beside the caller, when ctx ends. stop, which is called once,
// reports whether that happened, and returns when do has.
func WhenDone(ctx context.Context, do func()) (stop func() (called bool)) {
	if ctx.Done() == nil {
		return func() bool { return false }
	}
	returned := make(chan struct{})
	prevent := context.AfterFunc(ctx, func() {
		defer close(returned)
		do()
	})
	return func() bool {
		if prevent() {
			return false
		}
		<-returned
		return true
	}
}

// Poll is poll(2), for the given time at most, or if that is negative for ever. It
// goes on after a signal, unless ctx has an error then. The error is ctx's when that ends before there is an
// event.
func Poll(ctx context.Context, fds []unix.PollFd, limit time.Duration) (events int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if ctx.Done() == nil {
		return poll(ctx, fds, limit)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return 0, fmt.Errorf("make an eventfd: %w", err)
	}
	defer unix.Close(wake)
	stop := WhenDone(ctx, func() { _, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }) // never full
	all := append(slices.Clone(fds), unix.PollFd{Fd: int32(wake), Events: unix.POLLIN})
	events, err = poll(ctx, all, limit)
	stop()
	if copy(fds, all); all[len(fds)].Revents != 0 {
		events--
	}
	if events == 0 && err == nil {
		err = ctx.Err()
	}
	return events, err
}

func poll(ctx context.Context, fds []unix.PollFd, limit time.Duration) (int, error) {
	for begun := time.Now(); ; {
		wait := -1
		if limit >= 0 {
			left := max(limit-time.Since(begun), 0)
			wait = int((left + time.Millisecond - 1) / time.Millisecond)
		}
		n, err := unix.Poll(fds, wait)
		if err != unix.EINTR {
			return n, err
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
}

// Watch is a path, and the events of inotify(7) there.
type Watch struct {
	Path   string
	Events uint32
}

// lookInterval is how often Becomes looks where nothing tells it of events.
const lookInterval = 100 * time.Millisecond

// Becomes waits until something is so that one of these events may have changed, for so
// long at most or until ctx ends, and reports whether it is. A user has a limit of
// watches: without one it looks each 100 ms.
func Becomes(ctx context.Context, limit time.Duration, so func() bool, watches ...Watch) bool {
	most := limit
	events, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err == nil {
		defer unix.Close(events)
	}
	for _, w := range watches {
		if err == nil {
			_, err = unix.InotifyAddWatch(events, w.Path, w.Events)
		}
	}
	if err != nil {
		most = min(limit, lookInterval)
	}
	for deadline := time.Now().Add(limit); !so(); {
		left := time.Until(deadline)
		if left <= 0 {
			return false
		}
		if _, err := Poll(ctx, []unix.PollFd{{Fd: int32(events), Events: unix.POLLIN}}, min(left, most)); err != nil {
			return so()
		}
		_, _ = unix.Read(events, make([]byte, 4096)) // that something happened is all
	}
	return true
}
