package proc

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPoll: a wait ends with an event, the time or the context, whichever is first.
func TestPoll(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	fds := func() []unix.PollFd { return []unix.PollFd{{Fd: int32(read.Fd()), Events: unix.POLLIN}} }
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx   func() (context.Context, context.CancelFunc)
		limit time.Duration
		want  error
	}{
		"ended before": {func() (context.Context, context.CancelFunc) { return ended, cancel }, -1, context.Canceled},
		"ends meanwhile": {func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(t.Context(), 20*time.Millisecond)
		}, -1, context.DeadlineExceeded},
		"time, context":        {func() (context.Context, context.CancelFunc) { return context.WithCancel(t.Context()) }, 20 * time.Millisecond, nil},
		"time":                 {func() (context.Context, context.CancelFunc) { return context.Background(), cancel }, 20 * time.Millisecond, nil},
		"no time, and a limit": {func() (context.Context, context.CancelFunc) { return context.Background(), cancel }, 0, nil},
	} {
		ctx, cancel := test.ctx()
		begun := time.Now()
		n, err := Poll(ctx, fds(), test.limit)
		cancel()
		if n != 0 || !errors.Is(err, test.want) || time.Since(begun) > time.Second {
			t.Errorf("%s: %d, %v after %s", name, n, err, time.Since(begun))
		}
	}
	if _, err := write.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	write.Close()
	list := fds()
	if n, err := Poll(t.Context(), list, -1); n != 1 || err != nil || list[0].Revents&unix.POLLIN == 0 {
		t.Errorf("an event: %d, %v, %+v", n, err, list)
	}
}

// TestWhenDone: what is called when the context ends has returned when stop does, and is
// not called after that.
func TestWhenDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	begun, ended := make(chan struct{}), false
	stop := WhenDone(ctx, func() {
		close(begun)
		time.Sleep(20 * time.Millisecond)
		ended = true
	})
	cancel()
	<-begun
	if !stop() || !ended {
		t.Error("it was not waited for")
	}
	ctx, cancel = context.WithCancel(t.Context())
	stop = WhenDone(ctx, func() { t.Error("called after stop") })
	if stop() {
		t.Error("it was called")
	}
	cancel()
	if WhenDone(context.Background(), func() { t.Error("called") })() {
		t.Error("a context that never ends has ended")
	}
}

// Where there is nothing to watch it is looked at again and again.
func TestBecomesWithoutWatch(t *testing.T) {
	begun := time.Now()
	so := func() bool { return time.Since(begun) > 150*time.Millisecond }
	if !Becomes(t.Context(), 10*time.Second, so, Watch{Path: "/nowhere", Events: unix.IN_DELETE}) || time.Since(begun) > 5*time.Second {
		t.Errorf("after %v", time.Since(begun))
	}
}

// ended is a context that has ended, without a word, once it is set.
type ended struct {
	context.Context
	now atomic.Bool
}

func (e *ended) Err() error {
	if e.now.Load() {
		return context.Canceled
	}
	return nil
}

// TestPollAsksAtSignal: a signal to the waiting thread ends the wait if the context has an error then, and else does not.
func TestPollAsksAtSignal(t *testing.T) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGUSR1)
	defer signal.Stop(c)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread := unix.Gettid()
	for _, sleeps := range []bool{true, false} { // a context that ends by itself has a descriptor
		base, cancel := context.WithCancel(context.Background())
		defer cancel()
		if sleeps {
			base = context.Background()
		}
		ctx := &ended{Context: base}
		stop := make(chan struct{})
		var sender sync.WaitGroup
		sender.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
				ctx.now.Store(n >= 3)
				_ = unix.Tgkill(unix.Getpid(), thread, unix.SIGUSR1)
			}
		})
		begun := time.Now()
		n, err := Poll(ctx, nil, 20*time.Second)
		if took := time.Since(begun); n != 0 || !errors.Is(err, context.Canceled) || took < 60*time.Millisecond || took > 10*time.Second {
			t.Errorf("%d, %v after %v", n, err, took)
		}
		close(stop)
		sender.Wait()
	}
}
