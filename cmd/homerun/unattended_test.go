package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// unattendedVariable is set in the processes that TestUnattended starts: signals are caught early
// once in a process.
const unattendedVariable = "HOMERUN_TEST_UNATTENDED"

// TestUnattended: what ends programs ends a start that nobody stays with, before os/signal
// takes over and after, but for what is ignored; and a signal does what it did once the start is over.
func TestUnattended(t *testing.T) {
	if how := os.Getenv(unattendedVariable); how != "" {
		beUnattended(t, how)
		return
	}
	for _, how := range []string{"SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGABRT", "at once", "step", "nohup", "none", "slow", "meanwhile", "listened", "late", "after", "others"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "sh", "-c", `[ "$1" != nohup ] || trap "" HUP; shift; exec "$@"`, "sh", how, os.Args[0], "-test.run=^TestUnattended$")
			cmd.Env = append(os.Environ(), unattendedVariable+"="+how)
			out, err := cmd.CombinedOutput()
			if end := map[string]string{"late": "terminated", "after": "terminated"}[how]; end != "" {
				if err == nil || !strings.HasSuffix(err.Error(), ": "+end) {
					t.Errorf("%v, want %s: %s", err, end, out)
				}
			} else if err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

func beUnattended(t *testing.T, how string) {
	runtime.GOMAXPROCS(1) // as entry has it
	if how == "nohup" {
		// As entry has it in bin/homerun, where the caller ignores these, too.
		callerIgnores = 1<<(unix.SIGTERM-1) | 1<<(unix.SIGQUIT-1)
		leaveIgnored()
	}
	start, err := startUnattended(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	send := func(list ...unix.Signal) {
		for _, n := range list {
			if err := unix.Kill(unix.Getpid(), n); err != nil {
				t.Fatal(err)
			}
		}
	}
	o, broken := &options{}, errors.New("broken")
	want := unix.SIGTERM
	start.pass(t, how)
	switch how {
	case "none", "slow", "listened":
		begun := time.Now()
		if err := o.endedBy(start.cause(), broken); !errors.Is(err, broken) || o.exitStatus() != 1 {
			t.Errorf("without a signal: %v, status %d", err, o.exitStatus())
		}
		if took := time.Since(begun); how != "listened" && took >= awaited {
			t.Errorf("it took %v, and no signal can be on its way", took)
		}
		return
	case "after", "late": // it gives the signals back, whoever has them
		start.end()
		start.listen() // at the same moment
		send(unix.SIGTERM)
		time.Sleep(10 * time.Second)
		return
	case "others": // they do what they did before
		send(unix.SIGUSR1)
		time.Sleep(signalLook)
		if start.Err() != nil {
			t.Error(context.Cause(start))
		}
		return
	case "at once": // a start that fails before os/signal takes over
		send(unix.SIGTERM)
		for !start.caught.Came(unix.SIGTERM) && !start.listens() {
		}
	case "step": // a slow start's next one asks before the next look does, a quick one's does not
		send(unix.SIGTERM)
		for !start.caught.Came(unix.SIGTERM) && !start.listens() {
		}
		if time.Since(start.begun) < signalLook/2 && start.Err() != nil {
			t.Error("a quick start is ended")
		}
		start.begun = start.begun.Add(-signalLook)
		if start.Err() == nil || !errors.Is(context.Cause(start.Context), interrupted(unix.SIGTERM)) {
			t.Errorf("the context's error is %v, for %v", start.Err(), context.Cause(start.Context))
		}
	case "nohup":
		want = unix.SIGABRT
		send(unix.SIGHUP, unix.SIGTERM, unix.SIGQUIT, unix.SIGABRT)
		awaitDone(t, start)
	default:
		if how != "meanwhile" {
			want = unix.SignalNum(how)
		}
		send(want)
		awaitDone(t, start)
	}
	if err := o.endedBy(start.cause(), broken); !errors.Is(err, interrupted(want)) || o.exitStatus() != 128+int(want) {
		t.Errorf("%v, status %d; want an end by %s", err, o.exitStatus(), unix.SignalName(want))
	}
	start.end()
}

// pass lets the time pass that comes before what is tried.
func (u *unattended) pass(t *testing.T, how string) {
	begun := time.Now()
	switch how {
	case "slow", "meanwhile":
		if time.Sleep(2 * signalLook); u.listens() {
			t.Fatal("os/signal has taken over without a signal")
		}
	case "listened", "late", "others":
		for !u.listens() {
			if time.Sleep(time.Millisecond); time.Since(begun) > 20*time.Second {
				t.Fatal("os/signal never takes over")
			}
		}
		if took := time.Since(begun); took < listenAfter || runtime.GOMAXPROCS(0) != processors {
			t.Fatalf("os/signal has taken over after %v, with %d processors", took, runtime.GOMAXPROCS(0))
		}
	}
}

func awaitDone(t *testing.T, ctx context.Context) {
	t.Helper()
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end")
	}
}
