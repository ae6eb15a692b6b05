package probe

import (
	"os/signal"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestIgnoredSignals: also one that Go catches itself when a program starts, and
// one that it leaves alone. What sigaction(2) refuses to change is not ignored.
func TestIgnoredSignals(t *testing.T) {
	before := IgnoredSignals()
	signal.Ignore(unix.SIGUSR1, unix.SIGTSTP)
	now := IgnoredSignals()
	want := slices.Clone(before)
	for _, n := range []int{int(unix.SIGUSR1), int(unix.SIGTSTP)} {
		if !slices.Contains(want, n) {
			want = append(want, n)
		}
	}
	slices.Sort(want)
	if !slices.Equal(now, want) {
		t.Errorf("ignored: %v, want %v", now, want)
	}
}

func BenchmarkIgnoredSignals(b *testing.B) {
	for b.Loop() {
		IgnoredSignals()
	}
}
