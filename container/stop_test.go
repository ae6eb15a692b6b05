package container

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/store"
	"golang.org/x/sys/unix"
)

// What a container says of how it is stopped, and what the caller says instead.
func TestStopOptions(t *testing.T) {
	minute := time.Minute
	for _, c := range []struct {
		annotations map[string]string
		o           StopOptions
		signal      unix.Signal
		limit       time.Duration
		err         string
	}{
		{nil, StopOptions{}, unix.SIGTERM, 10 * time.Second, ""},
		{nil, StopOptions{unix.SIGINT, &minute}, unix.SIGINT, time.Minute, ""},
		{map[string]string{AnnotationStopSignal: "SIGQUIT", AnnotationStopTimeout: "3"}, StopOptions{}, unix.SIGQUIT, 3 * time.Second, ""},
		{map[string]string{AnnotationStopSignal: "QUIT", AnnotationStopTimeout: "-1"}, StopOptions{unix.SIGHUP, nil}, unix.SIGHUP, -time.Second, ""},
		{map[string]string{annotationImageSignal: "SIGRTMIN+3"}, StopOptions{}, 37, 10 * time.Second, ""},
		{map[string]string{annotationImageSignal: "2", AnnotationStopSignal: "15"}, StopOptions{}, unix.SIGTERM, 10 * time.Second, ""},
		{map[string]string{AnnotationStopSignal: "nosuch"}, StopOptions{}, 0, 0, `annotations: run.homerun.stop-signal: unknown signal "nosuch"`},
		{map[string]string{annotationImageSignal: "0"}, StopOptions{}, 0, 0, "annotations: org.opencontainers.image.stopSignal: signal 0 ends nothing"},
		{map[string]string{AnnotationStopSignal: "nosuch"}, StopOptions{Signal: unix.SIGINT}, unix.SIGINT, 10 * time.Second, ""},
		{map[string]string{AnnotationStopTimeout: "18446744074"}, StopOptions{}, unix.SIGTERM, 9223372036 * time.Second, ""},
		{map[string]string{AnnotationStopTimeout: "-18446744073"}, StopOptions{}, unix.SIGTERM, -time.Second, ""},
		{map[string]string{AnnotationStopTimeout: "5s"}, StopOptions{}, 0, 0, `annotations: run.homerun.stop-timeout: want whole seconds, not "5s"`},
		{map[string]string{AnnotationStopTimeout: "5s"}, StopOptions{Timeout: &minute}, unix.SIGTERM, time.Minute, ""},
	} {
		s, limit, err := c.o.choose(c.annotations)
		if c.err != "" {
			if err == nil || err.Error() != c.err {
				t.Errorf("%v: %v, want %s", c.annotations, err, c.err)
			}
			continue
		}
		if s != c.signal || limit != c.limit || err != nil {
			t.Errorf("%v: %v, %v, %v", c.annotations, s, limit, err)
		}
	}
}

// A paused container goes on for each of these, and one that waits for start ends by them.
func TestEnds(t *testing.T) {
	for s := range unix.Signal(65) {
		want := s == unix.SIGTERM || s == unix.SIGINT || s == unix.SIGHUP || s == unix.SIGQUIT || s == unix.SIGABRT
		if Ends(s) != want {
			t.Errorf("%v: %t", s, !want)
		}
	}
}

func TestParseSignal(t *testing.T) {
	for text, want := range map[string]unix.Signal{"9": 9, "KILL": 9, "sigkill": 9, "RTMIN": 34, "SIGRTMIN+3": 37, "RTMAX-1": 63, "0": 0, "64": 64} {
		if got, err := ParseSignal(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "65", "-1", "RTMIN+31", "RTMAX-31", "RTMIN+x", "no"} {
		if got, err := ParseSignal(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

// TestMeantSignals: what asks a program to end kills an init that waits for start, and no other one, nor does any other signal.
func TestMeantSignals(t *testing.T) {
	c, err := made(&Runtime{Options{Root: filepath.Join(t.TempDir(), "root")}}, "web")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	check := func(what string, kills bool) {
		t.Helper()
		for s, ends := range map[unix.Signal]bool{unix.SIGTERM: true, unix.SIGINT: true, unix.SIGHUP: true, unix.SIGQUIT: true, unix.SIGABRT: true,
			unix.SIGUSR1: false, unix.SIGSTOP: false, unix.SIGWINCH: false, 0: false} {
			want := s
			if ends && kills {
				want = unix.SIGKILL
			}
			got, done := c.meant(t.Context(), s)
			if done(); got != want {
				t.Errorf("%s: %d is sent as %d", what, s, got)
			}
		}
	}
	c.State.Pid = 1 << 22
	check("a program runs", false)
	fifo := c.dir.FilePath(store.StartFIFO)
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := unix.Open(fifo, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(reader)
	check("init waits", true)
	c.State.Pid = 0
	check("there is no init yet", false)
}
