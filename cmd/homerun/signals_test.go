package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/cmd/homerun/early"
	"golang.org/x/sys/unix"
)

// collecting are signals that no system sends.
func collecting() *signals {
	s := &signals{}
	s.relay.Do(func() {})
	return s
}

// TestSignalsWait: what comes before the program goes to it, once each, and one
// signal alone gives nothing up.
func TestSignalsWait(t *testing.T) {
	s := collecting()
	ctx, started := s.starting(context.Background())
	for _, n := range []os.Signal{unix.SIGUSR1, unix.SIGTERM, unix.SIGUSR1, unix.SIGHUP, unix.SIGHUP} {
		s.pass(n)
	}
	if err := started(nil); err != nil || ctx.Err() != nil {
		t.Fatalf("%v, %v", err, ctx.Err())
	}
	s.pass(unix.SIGTERM) // the program runs, and is not told yet
	var got []os.Signal
	s.passTo(func(n os.Signal) { got = append(got, n) })
	s.pass(unix.SIGTERM)
	s.pass(unix.SIGTERM)
	if want := []os.Signal{unix.SIGUSR1, unix.SIGTERM, unix.SIGHUP, unix.SIGTERM, unix.SIGTERM}; !slices.Equal(got, want) {
		t.Errorf("passed %v, want %v", got, want)
	}
	if s.late(unix.SIGTERM); ctx.Err() != nil || s.last != nil {
		t.Error("signals for the program gave it up")
	}
}

// TestSignalTooLate: one signal is enough to end a start that takes longer than
// the program could have been told of it.
func TestSignalTooLate(t *testing.T) {
	broken := errors.New("broken")
	for _, n := range []os.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP} {
		s := collecting()
		ctx, started := s.starting(context.Background())
		begun := time.Now()
		s.pass(n)
		select {
		case <-ctx.Done():
			if took := time.Since(begun); took < grace || took > grace+patience {
				t.Errorf("%v: given up after %v, want %v", n, took, grace)
			}
		case <-time.After(2 * grace):
		}
		ends := n != unix.SIGHUP
		if given := ctx.Err() != nil; given != ends {
			t.Errorf("%v: given up %t, want %t", n, given, ends)
		}
		if err := started(broken); errors.Is(err, broken) == ends {
			t.Errorf("%v: error %v", n, err)
		}
		if s.last != nil && s.last.Stop() {
			t.Errorf("%v: this process would end", n)
		}
	}
}

// TestSignalsGiveUp: the second one ends the start, with that as its error; but
// not a program that runs all the same.
func TestSignalsGiveUp(t *testing.T) {
	broken := errors.New("broken")
	for _, pair := range [][2]os.Signal{{unix.SIGTERM, unix.SIGTERM}, {unix.SIGINT, unix.SIGTERM}, {unix.SIGINT, unix.SIGINT}} {
		s := collecting()
		ctx, started := s.starting(context.Background())
		s.pass(pair[0])
		if ctx.Err() != nil {
			t.Errorf("%v alone gives up", pair[0])
		}
		if err := started(broken); !errors.Is(err, broken) {
			t.Errorf("%v: error %v", pair[0], err)
		}
		s.pass(pair[1])
		if ctx.Err() == nil {
			t.Errorf("%v: not given up", pair)
		}
		if err := started(broken); errors.Is(err, broken) || err == nil {
			t.Errorf("%v: error %v", pair, err)
		}
		if err := started(nil); err != nil {
			t.Errorf("%v: error %v of a program that runs", pair, err)
		}
		if s.last.Stop() {
			t.Errorf("%v: this process would end", pair)
		}
	}
}

// TestInterrupted: a start that fails has the status of a signal that ends programs, if one
// came meanwhile, which may be on its way yet.
func TestInterrupted(t *testing.T) {
	for want, held := range map[unix.Signal][]os.Signal{
		0: nil, unix.SIGTERM: {unix.SIGUSR1, unix.SIGTERM}, unix.SIGINT: {unix.SIGHUP, unix.SIGINT}, unix.SIGHUP: {unix.SIGWINCH, unix.SIGHUP},
	} {
		s := &signals{caught: &early.Signals{}, held: held}
		if got := s.fatal(); got != want {
			t.Errorf("%v: %v, not %v", held, got, want)
		}
	}
	s := &signals{caught: &early.Signals{}}
	s.handed.Store(true)
	if begun := time.Now(); s.fatal() != 0 || time.Since(begun) < awaited {
		t.Errorf("what may be on its way is waited for only %v", time.Since(begun))
	}
	s.held = []os.Signal{unix.SIGQUIT}
	o := &options{}
	broken := errors.New("broken")
	if err := o.startError(broken, s); errors.Is(err, broken) || o.exitStatus() != 128+int(unix.SIGQUIT) {
		t.Errorf("%v, status %d", err, o.exitStatus())
	}
	if err := o.startError(broken, nil); !errors.Is(err, broken) {
		t.Error(err)
	}
}
