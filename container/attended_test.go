package container_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/container"
	"golang.org/x/sys/unix"
)

// watchers are the states of those of our children that attend to an init.
func watchers(t *testing.T) (states []string) {
	t.Helper()
	eachWatcher(t, func(_ int, state string) { states = append(states, state) })
	return states
}

func signalWatchers(t *testing.T, signal unix.Signal) {
	t.Helper()
	eachWatcher(t, func(pid int, _ string) {
		if err := unix.Kill(pid, signal); err != nil {
			t.Error(err)
		}
	})
}

// eachWatcher calls f for each of them.
func eachWatcher(t *testing.T, f func(pid int, state string)) {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(lists) == 0 {
		t.Fatal(err, "no list of children")
	}
	for _, name := range lists {
		data, _ := os.ReadFile(name)
		for _, pid := range strings.Fields(string(data)) {
			stat, _ := os.ReadFile("/proc/" + pid + "/stat")
			if _, after, found := strings.Cut(string(stat), "(homerun:watch) "); found {
				number, _ := strconv.Atoi(pid)
				f(number, after[:1])
			}
		}
	}
}

// isLetGo waits until who attends to an init has ended.
func isLetGo(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); strings.Join(watchers(t), "") != "Z"; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after Wait: %q, want one that has ended", watchers(t))
		}
	}
}

// TestAttendantIsStopped: one that somebody has stopped does not keep Close waiting, and
// ends init.
func TestAttendantIsStopped(t *testing.T) {
	runtime, bundle, remove := scratch("sleep", "60")
	defer remove()
	p, err := runtime.Run(t.Context(), container.Request{ID: "a", Bundle: bundle, Streams: container.OwnStreams(), EndsWithCaller: true})
	if err != nil {
		t.Fatal(err)
	}
	for list := watchers(t); strings.Join(list, "") != "T"; list = watchers(t) {
		if len(list) != 1 {
			t.Fatalf("beside init: %q, want one", list)
		}
		signalWatchers(t, unix.SIGSTOP)
	}
	closed := make(chan struct{})
	go func() { p.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("Close waits for one that is stopped")
		signalWatchers(t, unix.SIGCONT)
		<-closed
	}
	if list := watchers(t); len(list) > 0 {
		t.Errorf("after Close: %q", list)
	}
	if err := runtime.ForceDelete(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}

// TestAttendantIsLetGo: who attends to an init ends once Wait has reaped that, though
// nobody calls Close for long, and Close reaps it. Of an init that lives, Close ends both.
func TestAttendantIsLetGo(t *testing.T) {
	runtime, bundle, remove := scratch("true")
	defer remove()
	p, err := runtime.Run(t.Context(), container.Request{ID: "a", Bundle: bundle, Streams: container.OwnStreams(), EndsWithCaller: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	isLetGo(t)
	if err := p.Delete(t.Context()); err != nil || len(watchers(t)) > 0 {
		t.Error(err, watchers(t))
	}
	bundle.Config.Process.Args = []string{"sleep", "60"}
	p, err = runtime.Run(t.Context(), container.Request{ID: "b", Bundle: bundle, Streams: container.OwnStreams(), EndsWithCaller: true})
	if err != nil {
		t.Fatal(err)
	}
	if list := watchers(t); len(list) != 1 || list[0] == "Z" {
		t.Errorf("beside init: %q, want one that lives", list)
	}
	p.Close()
	if list := watchers(t); len(list) > 0 {
		t.Errorf("after Close: %q", list)
	}
	if err := runtime.ForceDelete(t.Context(), "b"); err != nil {
		t.Error(err)
	}
}

// TestAttendantWaitsForTheEnd: where Wait cannot see when init ends, who attends to it is
// let go after that, and not before: it would kill init.
func TestAttendantWaitsForTheEnd(t *testing.T) {
	runtime, bundle, remove := scratch("sleep", "1")
	defer remove()
	p, err := runtime.Run(t.Context(), container.Request{ID: "a", Bundle: bundle, Streams: container.OwnStreams(), EndsWithCaller: true})
	if err != nil {
		t.Fatal(err)
	}
	var before unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, nil, &before); err != nil {
		t.Fatal(err)
	}
	// Fewer than poll(2) is asked about.
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1, Max: before.Max}, nil); err != nil {
		t.Fatal(err)
	}
	status, err := p.Wait(t.Context())
	if err := unix.Prlimit(0, unix.RLIMIT_NOFILE, &before, nil); err != nil {
		t.Fatal(err)
	}
	if status != 0 || err != nil {
		t.Errorf("status %d, %v", status, err)
	}
	isLetGo(t)
	if err := p.Delete(t.Context()); err != nil || len(watchers(t)) > 0 {
		t.Error(err, watchers(t))
	}
}
