package oom

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"
)

// write says in a fake cgroup how many were killed.
func write(t *testing.T, dir string, kills int) {
	t.Helper()
	text := fmt.Sprintf("low 0\nhigh 0\nmax 3\noom 2\noom_kill %d\noom_group_kill 9\n", kills)
	if err := os.WriteFile(filepath.Join(dir, "memory.events"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// scope makes a slice with a scope in it; the counts are theirs.
func scope(t *testing.T, slice, own int) (above, dir string) {
	t.Helper()
	above = t.TempDir()
	dir = filepath.Join(above, "x.scope")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, above, slice)
	write(t, dir, own)
	return above, dir
}

// vanish makes a watch's own cgroup unreadable, as one that systemd has taken away.
func vanish(t *testing.T, w *Watch) {
	t.Helper()
	empty, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		err = unix.Dup2(empty, w.fd)
	}
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(empty)
}

// process is one that has ended, or lives, as a pidfd.
func process(t *testing.T, lives bool) int {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(pidfd); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if !lives {
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
	}
	return pidfd
}

// The count is the highest that was seen, of the cgroup alone as long as it is there.
func TestCount(t *testing.T) {
	above, dir := scope(t, 7, 2)
	for _, test := range []struct {
		known uint64
		want  uint64
	}{{0, 2}, {2, 2}, {5, 5}} {
		w := New(dir, true, test.known)
		w.Close()
		if w.Kills != test.want {
			t.Errorf("%d known: %d, want %d", test.known, w.Kills, test.want)
		}
	}
	w := New(dir, true, 0)
	defer w.Close()
	write(t, dir, 4)
	write(t, above, 20)
	if ended, err := w.Wait(context.Background(), process(t, false), -1); !ended || err != nil || w.Kills != 4 {
		t.Errorf("at the end: %v, %v, %d kills", ended, err, w.Kills)
	}
	write(t, dir, 1)
	if ended, err := w.Wait(context.Background(), process(t, false), -1); !ended || err != nil || w.Kills != 4 {
		t.Errorf("the count went down: %v, %v, %d kills", ended, err, w.Kills)
	}
}

// Of a scope that is gone at the end the slice knows, if the last look at both was a
// moment ago.
func TestGoneScope(t *testing.T) {
	for name, test := range map[string]struct {
		above bool
		ago   time.Duration
		slice int
		want  uint64
	}{
		"a kill":            {true, 0, 8, 3},
		"no kill":           {true, 0, 7, 2},
		"less, as never":    {true, 0, 4, 2},
		"long ago":          {true, 2 * recent, 9, 2},
		"no scope":          {false, 0, 9, 2},
		"somebody else too": {true, recent / 4, 17, 12},
	} {
		above, dir := scope(t, 7, 2)
		w := New(dir, test.above, 0)
		w.seen = time.Now().Add(-test.ago)
		vanish(t, w)
		write(t, above, test.slice)
		if ended, err := w.Wait(context.Background(), process(t, false), -1); !ended || err != nil || w.Kills != test.want {
			t.Errorf("%s: %v, %v, %d kills, want %d", name, ended, err, w.Kills, test.want)
		}
		w.Close()
	}
	// A slice that counts less than its scope, by a kill between the two looks.
	above, dir := scope(t, 1, 2)
	w := New(dir, true, 0)
	defer w.Close()
	w.seen = time.Now()
	vanish(t, w)
	write(t, above, 3)
	if ended, _ := w.Wait(context.Background(), process(t, false), -1); !ended || w.Kills != 3 {
		t.Errorf("%v, %d kills", ended, w.Kills)
	}
}

// Without files nothing is counted, and the wait is one for the process alone.
func TestNothingToCount(t *testing.T) {
	above, dir := scope(t, 7, 2)
	if err := os.Remove(filepath.Join(dir, "memory.events")); err != nil {
		t.Fatal(err)
	}
	for name, w := range map[string]*Watch{"no cgroup": New("", true, 3), "no memory controller": New(dir, true, 3), "gone": New(above+"/none", true, 3)} {
		if w.fd != -1 || w.above != -1 {
			t.Errorf("%s: %+v", name, w)
		}
		w.seen = time.Now()
		if ended, err := w.Wait(context.Background(), process(t, false), -1); !ended || err != nil || w.Kills != 3 {
			t.Errorf("%s: %v, %v, %d", name, ended, err, w.Kills)
		}
		begun := time.Now()
		if ended, err := w.Wait(context.Background(), process(t, true), 20*time.Millisecond); ended || err != nil || time.Since(begun) < 15*time.Millisecond {
			t.Errorf("%s: %v, %v after %v", name, ended, err, time.Since(begun))
		}
		w.Close()
	}
	for _, text := range []string{"", "oom_kill", "oom_kill x\n", "oom_kills 5\n", "oom_group_kill 5\n"} {
		if err := os.WriteFile(filepath.Join(dir, "memory.events"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		w := New(dir, false, 0)
		if kills, ok := readKills(w.fd); ok || kills != 0 || w.Kills != 0 {
			t.Errorf("%q: %d, %v", text, kills, ok)
		}
		w.Close()
	}
}

// A cgroup whose file is ready for ever, since it is gone, is not looked at again; a
// notice of one that is there is remembered.
func TestNotices(t *testing.T) {
	// What the kernel gives notices of, and anybody can have: POLLPRI without an end.
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(pair[1]) // POLLHUP, as of a cgroup that is gone
	w := &Watch{fd: pair[0], above: -1}
	live := process(t, true)
	if ended, err := w.Wait(context.Background(), live, -1); ended || err != nil || w.fd != -1 {
		t.Errorf("%v, %v, %d", ended, err, w.fd)
	}
	begun := time.Now()
	if ended, err := w.Wait(context.Background(), live, 20*time.Millisecond); ended || err != nil || time.Since(begun) < 15*time.Millisecond {
		t.Errorf("%v, %v after %v", ended, err, time.Since(begun))
	}
	if ended, err := w.Wait(context.Background(), -1, 0); ended || err != nil {
		t.Errorf("no process: %v, %v", ended, err)
	}
}

// A start that failed is told from one that failed for want of memory.
func TestExplain(t *testing.T) {
	failed := errors.New("it failed")
	for _, test := range []struct {
		limit int64
		kills uint64
		died  bool
		want  string
	}{
		{1 << 30, 0, false, "it failed"},
		{1 << 30, 0, true, "it failed"},
		{1 << 30, 1, false, "out of memory (OOM): the kernel killed init before the container's program ran, since it needs more than 1073741824 bytes"},
		{1 << 20, 0, true, "it failed (it may need more than linux.resources.memory.limit, 1048576 bytes)"},
		{1<<20 + 1, 0, true, "it failed"},
		{0, 0, false, "it failed"},
		{0, 0, true, "it failed (it may"},
	} {
		err := Explain(failed, test.limit, test.kills, test.died)
		if !strings.HasPrefix(err.Error(), test.want) || !errors.Is(err, failed) {
			t.Errorf("%+v: %v", test, err)
		}
		var e *fault.Error
		if errors.As(err, &e) != (err.Error() != "it failed") || e != nil && e.Hint != "raise linux.resources.memory.limit" {
			t.Errorf("%+v: %+v", test, e)
		}
	}
}
