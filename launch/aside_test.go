package launch

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/homerun-oci/homerun/compile"
	"golang.org/x/sys/unix"
)

// An init that is let go on while this process compiles is kept from its CPU as long; one
// that is another process's child is let alone.
func TestAside(t *testing.T) {
	all := runtime.NumCPU()
	for name, test := range map[string]struct {
		busy, stays bool
		want        int // CPUs while the rest is compiled
	}{
		"compiles":            {true, false, max(all-1, 1)},
		"does not compile":    {false, false, all},
		"another one's child": {true, true, all},
	} {
		t.Run(name, func(t *testing.T) {
			pid, _ := child(t)
			count := func() int {
				var cpus unix.CPUSet
				if err := unix.SchedGetaffinity(pid, &cpus); err != nil {
					t.Fatal(err)
				}
				return cpus.Count()
			}
			var during int
			l := New(Options{Rest: func(context.Context) (*compile.Result, error) { during = count(); return nil, unix.EDOM }})
			l.init, l.stays = pid, test.stays
			if err := l.answer(test.busy); err != nil {
				t.Error(err)
			}
			if err := l.compileRest(t.Context()); !errors.Is(err, unix.EDOM) {
				t.Error(err)
			}
			if after := count(); during != test.want || after != all {
				t.Errorf("%d of %d CPUs while it compiles, %d after", during, all, after)
			}
		})
	}
}
