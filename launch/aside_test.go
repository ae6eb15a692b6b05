package launch

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/homerun-oci/homerun/compile"
	"golang.org/x/sys/unix"
)

// An init that is our child is kept from this process's CPU until the rest is compiled.
// Another process's child is let alone, and an init that is not known is not taken for
// this process.
func TestSetAside(t *testing.T) {
	runtime.LockOSThread() // whose CPUs are asked for
	defer runtime.UnlockOSThread()
	all := runtime.NumCPU()
	for name, test := range map[string]struct {
		known, stays bool
		want         int // CPUs while the rest is compiled
	}{
		"init":                {true, false, max(all-1, 1)},
		"another one's child": {true, true, all},
		"init not known":      {false, false, all},
	} {
		t.Run(name, func(t *testing.T) {
			l := New(Options{})
			l.stays = test.stays
			if test.known {
				l.init, _ = child(t)
			}
			count := func() int {
				var cpus unix.CPUSet
				if err := unix.SchedGetaffinity(l.init, &cpus); err != nil {
					t.Fatal(err)
				}
				return cpus.Count()
			}
			var during int
			l.Rest = func(context.Context) (*compile.Result, error) { during = count(); return nil, unix.EDOM }
			l.setAside()
			if err := l.compileRest(t.Context()); !errors.Is(err, unix.EDOM) {
				t.Error(err)
			}
			if after := count(); during != test.want || after != all || l.aside {
				t.Errorf("%d of %d CPUs while it compiles, %d after; is to be released: %v", during, all, after, l.aside)
			}
		})
	}
}

// An init that was not confined is not released either.
func TestNotReleased(t *testing.T) {
	if runtime.NumCPU() == 1 {
		t.Log("the one CPU is all of them")
		return
	}
	var one unix.CPUSet
	one.Set(0)
	l := New(Options{Rest: func(context.Context) (*compile.Result, error) { return nil, unix.EDOM }})
	l.init, _ = child(t)
	if err := unix.SchedSetaffinity(l.init, &one); err != nil {
		t.Fatal(err)
	}
	_ = l.compileRest(t.Context())
	var now unix.CPUSet
	if err := unix.SchedGetaffinity(l.init, &now); err != nil || now != one {
		t.Errorf("%v, %v", now, err)
	}
}

func TestCompilesNext(t *testing.T) {
	l := launching(t, "/bin/true")
	if l.next = len(l.Result.Plan.Runtime()) - 1; l.compilesNext() {
		t.Error("after the last step")
	}
}
