package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/homerun-oci/homerun/cmd/homerun/early"
	"github.com/homerun-oci/homerun/container"
	"golang.org/x/sys/unix"
)

// unattended is a start that nobody stays with. A signal that ends programs ends it, unless
// it was ignored, as with nohup(1).
//
// os/signal, with its goroutines and a thread, would take as long as a quarter of the start. So it
// takes over at a look (signalLook) that finds a signal, or when the start has taken listenAfter. A signal
// waits for that, or after the first look for the start's next step, which asks for the context's error. It
// has come too late if the start is over first.
type unattended struct {
	// Context is the start's. Its cause is the signal.
	context.Context
	cancel context.CancelCauseFunc
	begun  time.Time
	caught *early.Signals
	// lock guards came, and has listen see whether ended is closed, which end does.
	lock  sync.Mutex
	came  chan os.Signal // os/signal's; nil before that takes over
	ended chan struct{}
}

// startUnattended begins to catch signals. End it.
func startUnattended(ctx context.Context) (*unattended, error) {
	var list []unix.Signal
	for _, n := range container.Endings() {
		if !signal.Ignored(n) { // it would not be any more
			list = append(list, n)
		}
	}
	caught, err := early.Catch(list...)
	if err != nil {
		return nil, err
	}
	u := &unattended{begun: time.Now(), caught: caught, ended: make(chan struct{})}
	u.Context, u.cancel = context.WithCancelCause(ctx)
	time.AfterFunc(signalLook, func() {
		if waitUntilWorth(caught, u.ended) {
			u.listen()
		}
	})
	return u, nil
}

// Err is the context's error. In a start that takes longer than signalLook it looks for a signal, as the
// looks do, and ends the context at one. A quick start is over before it could be undone in good order:
// the program runs already, or what it replaces is half removed.
func (u *unattended) Err() error {
	if time.Since(u.begun) < signalLook {
		return u.Context.Err()
	}
	for _, n := range container.Endings() {
		if u.caught.Came(n) {
			u.cancel(interrupted(n))
		}
	}
	return u.Context.Err()
}

// listen has os/signal take over, unless the start is over.
func (u *unattended) listen() {
	u.lock.Lock()
	defer u.lock.Unlock()
	select {
	case <-u.ended:
		return
	default:
	}
	u.came = make(chan os.Signal, 64)
	go u.await(u.came)
	u.caught.HandOverCaught(u.came)
}

// await ends the start at a signal, and this process if that takes longer.
func (u *unattended) await(came <-chan os.Signal) {
	select {
	case n := <-came:
		u.cancel(interrupted(n.(unix.Signal)))
		select {
		case <-time.After(patience):
			exitBy(n, unix.SignalName(n.(unix.Signal)))
		case <-u.ended:
		}
	case <-u.ended:
	}
}

// cause is what ended a start that has failed, nil if no signal did. A terminal sends it to all
// that it runs, and what the start made may end before this process has it from os/signal.
func (u *unattended) cause() error {
	for end := time.Now().Add(awaited); ; time.Sleep(time.Millisecond) {
		for _, n := range container.Endings() {
			if u.caught.Came(n) {
				return interrupted(n)
			}
		}
		if err := context.Cause(u); err != nil || !u.listens() || time.Now().After(end) {
			return err
		}
	}
}

// listens reports whether os/signal has taken over.
func (u *unattended) listens() bool {
	u.lock.Lock()
	defer u.lock.Unlock()
	return u.came != nil
}

// end gives the signals back. What comes from now on does what it did before the start.
func (u *unattended) end() {
	u.lock.Lock()
	defer u.lock.Unlock()
	if u.came != nil {
		signal.Stop(u.came)
	} else {
		u.caught.Release()
	}
	u.cancel(nil)
	close(u.ended)
}

// startDetached is signals.starting for one that nobody stays with.
func (o *options) startDetached(ctx context.Context) (begun context.Context, started func(error) error, err error) {
	start, err := startUnattended(ctx)
	if err != nil {
		return nil, nil, err
	}
	return start, func(err error) error {
		defer start.end()
		if err != nil {
			return o.endedBy(start.cause(), err)
		}
		return nil
	}, nil
}

// endedBy is the error of a start that failed with another one, once its context has ended
// by this cause. Its status is the signal's if that was one.
func (o *options) endedBy(cause, err error) error {
	if n, ok := cause.(interrupted); ok {
		o.signaled = unix.Signal(n)
		return n
	}
	return err
}
