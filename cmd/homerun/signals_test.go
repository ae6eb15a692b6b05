package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/cmd/homerun/early"
	"golang.org/x/sys/unix"
)

// collecting are signals that no system sends.
func collecting() *signals {
	s := &signals{caught: &early.Signals{}}
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
	for _, n := range []os.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGABRT, unix.SIGUSR1} {
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
		ends := n != unix.SIGUSR1
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

// recorder is a receiver that remembers what it was asked.
type recorder struct {
	drops func() bool
	heeds bool
	asked []string
}

func (r *recorder) Signal(s unix.Signal) { r.asked = append(r.asked, unix.SignalName(s)) }
func (r *recorder) EndBy(s unix.Signal)  { r.asked = append(r.asked, "end by "+unix.SignalName(s)) }
func (r *recorder) Drops(s unix.Signal) bool {
	r.asked = append(r.asked, unix.SignalName(s)+"?")
	return r.drops()
}
func (r *recorder) Heeds(s unix.Signal) bool {
	r.asked = append(r.asked, "heeds "+unix.SignalName(s)+"?")
	return r.heeds
}

// TestForward: a signal that ends programs ends one that has no use for it, which is asked
// before it is sent; others are passed on, and those of this process itself are not.
func TestForward(t *testing.T) {
	for _, c := range []struct {
		signals []unix.Signal
		drops   bool
		want    string // N is the signal
	}{
		{[]unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGABRT}, true, "N? N end by N"},
		{[]unix.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGABRT}, false, "N? N"},
		{[]unix.Signal{unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGCONT, unix.SIGTSTP, unix.SIGWINCH, 35}, true, "N"},
		{[]unix.Signal{unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE}, true, ""},
	} {
		for _, n := range c.signals {
			r := &recorder{drops: func() bool { return c.drops }}
			(&signals{caught: &early.Signals{}}).forward(n, r, &terminal{})
			if got, want := strings.Join(r.asked, " "), strings.ReplaceAll(c.want, "N", unix.SignalName(n)); got != want {
				t.Errorf("%v, drops %t: %q, want %q", n, c.drops, got, want)
			}
		}
	}
	master, _ := pty(t)
	r := &recorder{}
	(&signals{}).forward(unix.SIGWINCH, r, &terminal{master: master})
	if len(r.asked) > 0 {
		t.Errorf("the kernel tells of a terminal's size: %q", r.asked)
	}
}

// TestDropSIGCHLD: the end of a child is no signal to who starts a container, whoever it
// is for.
func TestDropSIGCHLD(t *testing.T) {
	if who := os.Getenv(starterVariable); who != "" {
		before := handlesSIGCHLD(t)
		if who == "create" {
			if err := (&options{}).create(t.Context(), &createFlags{}, "x"); err == nil {
				t.Fatal("created without options")
			}
		} else if _, err := catchSignals(who == "detached"); err != nil {
			t.Fatal(err)
		}
		if !before || handlesSIGCHLD(t) {
			t.Errorf("a handler before: %v, and after: %v", before, handlesSIGCHLD(t))
		}
		return
	}
	for _, who := range []string{"attached", "detached", "create"} { // each in a process in which nobody has dropped it
		cmd := exec.Command(os.Args[0], "-test.run=^TestDropSIGCHLD$")
		cmd.Env = append(os.Environ(), starterVariable+"="+who)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", who, err, out)
		}
	}
}

// starterVariable is set in the processes that TestDropSIGCHLD starts.
const starterVariable = "HOMERUN_TEST_STARTER"

func handlesSIGCHLD(t *testing.T) bool {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(status), "SigCgt:")
	caught, err := strconv.ParseUint(strings.Fields(text)[0], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return caught>>(unix.SIGCHLD-1)&1 != 0
}

// nohupVariable is set in the process that TestIgnored starts.
const nohupVariable = "HOMERUN_TEST_NOHUP"

// TestIgnored: a signal that is ignored, as with nohup(1), did not end a start, and goes to
// a program that heeds it alone.
func TestIgnored(t *testing.T) {
	if os.Getenv(nohupVariable) != "" {
		s, err := catchSignals(false)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			signal, fatal unix.Signal
			heeds         bool
			asked         string
		}{
			{unix.SIGHUP, 0, false, "heeds SIGHUP?"},
			{unix.SIGHUP, 0, true, "heeds SIGHUP? SIGHUP"},
			{unix.SIGTERM, unix.SIGTERM, false, "SIGTERM? SIGTERM end by SIGTERM"},
			{unix.SIGABRT, unix.SIGTERM, false, "SIGABRT? SIGABRT end by SIGABRT"}, // after SIGTERM
		} {
			if err := unix.Kill(unix.Getpid(), c.signal); err != nil {
				t.Fatal(err)
			}
			for begun := time.Now(); !s.caught.Came(c.signal) && time.Since(begun) < 10*time.Second; time.Sleep(time.Millisecond) {
			}
			if got := s.fatal(); got != c.fatal || !s.caught.Came(c.signal) {
				t.Errorf("%v: %v, want %v", c.signal, got, c.fatal)
			}
			r := &recorder{drops: func() bool { return true }, heeds: c.heeds}
			if s.forward(c.signal, r, &terminal{}); strings.Join(r.asked, " ") != c.asked {
				t.Errorf("%v: %q, want %q", c.signal, r.asked, c.asked)
			}
		}
		return
	}
	cmd := exec.Command("sh", "-c", `trap "" HUP; exec "$@"`, "sh", os.Args[0], "-test.run=^TestIgnored$")
	cmd.Env = append(os.Environ(), nohupVariable+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// slowVariable is set in the processes that TestSlowStart starts, as unattendedVariable is.
const slowVariable = "HOMERUN_TEST_SLOW"

// TestSlowStart: os/signal takes over in a start once a signal has come, or after listenAfter, and never when
// the start is over. A program is waited for until handOver or a signal, whatever signal that is.
func TestSlowStart(t *testing.T) {
	if how := os.Getenv(slowVariable); how != "" {
		beSlow(t, how)
		return
	}
	for _, how := range []string{"signal", "other", "none", "over", "failed", "at once", "program", "program's", "program's other"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestSlowStart$")
			cmd.Env = append(os.Environ(), slowVariable+"="+how)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// slowly is what a child of TestSlowStart has.
type slowly struct {
	*testing.T
	*signals
	begun time.Time
	// looks are how long the program was waited for, each time.
	looks []time.Duration
}

// send sends this process a signal, and waits until some handler has it.
func (s *slowly) send(n unix.Signal) {
	s.Helper()
	if err := unix.Kill(unix.Getpid(), n); err != nil {
		s.Fatal(err)
	}
	s.until("the signal has come", func() bool { return s.caught.Any() || s.isHanded() })
}

func (s *slowly) until(what string, so func() bool) {
	s.Helper()
	for end := time.Now().Add(20 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.Fatal("never: " + what)
		}
	}
}

// isHanded reports whether os/signal has all that came.
func (s *slowly) isHanded() bool { return s.handed.Load() && !s.caught.Any() }

// ends waits for a program that ends at the look of that number.
func (s *slowly) ends(at int, meanwhile func()) bool {
	s.looks = nil
	return s.endsBeforeHandOver(func(ctx context.Context, limit time.Duration) bool {
		time.Sleep(time.Millisecond)
		s.looks = append(s.looks, limit)
		if err := ctx.Err(); err != nil {
			s.Errorf("the context's error is %v before a signal", err)
		}
		if meanwhile(); s.caught.Any() && len(s.looks) > 1 && ctx.Err() == nil {
			s.Error("the context has no error after a signal")
		}
		return len(s.looks) == at
	})
}

func beSlow(t *testing.T, how string) {
	runtime.GOMAXPROCS(1) // as entry has it
	caught, err := catchSignals(false)
	if err != nil {
		t.Fatal(err)
	}
	s := &slowly{T: t, signals: caught, begun: time.Now()}
	_, started := s.starting(t.Context())
	nothing := func() {}
	switch how {
	case "signal", "other":
		time.Sleep(2 * signalLook)
		if s.handed.Load() {
			t.Error("os/signal has taken over without a signal")
		}
		s.send(map[string]unix.Signal{"signal": unix.SIGUSR1, "other": unix.SIGALRM}[how])
		s.until("os/signal takes over", s.isHanded)
		if took := time.Since(s.begun); took >= listenAfter {
			t.Errorf("os/signal has taken over after %v", took)
		}
		if s.ends(2, nothing) || !slices.Equal(s.looks, []time.Duration{firstLook}) {
			t.Errorf("what os/signal has is passed on after %v", s.looks)
		}
	case "none":
		s.until("os/signal takes over", s.isHanded)
		if took := time.Since(s.begun); took < listenAfter || runtime.GOMAXPROCS(0) != processors {
			t.Errorf("os/signal has taken over after %v, with %d processors", took, runtime.GOMAXPROCS(0))
		}
	case "over", "failed":
		time.Sleep(signalLook + signalLook/2)
		_ = started(map[string]error{"failed": unix.EIO}[how])
		s.send(unix.SIGUSR1)
		time.Sleep(3 * signalLook)
		if s.handed.Load() {
			t.Error("os/signal has taken over though the start is over")
		}
	case "at once":
		_ = started(nil)
		s.send(unix.SIGUSR1)
		if !s.ends(1, nothing) || s.ends(2, nothing) || !slices.Equal(s.looks, []time.Duration{firstLook}) {
			t.Errorf("a signal that came before is passed on after %v", s.looks)
		}
	default:
		_ = started(nil)
		s.program(how)
	}
}

// program is beSlow for a start that was quick.
func (s *slowly) program(how string) {
	switch begun := time.Now(); how {
	case "program":
		if s.ends(0, func() {}) || s.looks[0] != firstLook || s.looks[len(s.looks)-1] != nextLook || time.Since(begun) < handOver {
			s.Errorf("a program that runs on: looks after %v, in %v", s.looks, time.Since(begun))
		}
		if !s.ends(2, func() {}) || len(s.looks) != 2 {
			s.Errorf("a program that ends: looks after %v", s.looks)
		}
	case "program's", "program's other":
		n := map[string]unix.Signal{"program's": unix.SIGUSR1, "program's other": unix.SIGALRM}[how]
		if s.ends(3, func() {
			if len(s.looks) == 2 {
				s.send(n)
			}
		}) || len(s.looks) != 2 {
			s.Errorf("a signal waits, looks after %v", s.looks)
		}
	}
}
