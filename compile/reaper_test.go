package compile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/seccomp/bpf"
	"golang.org/x/sys/unix"
)

// TestReaperIsAwaited: the program's process waits for homerun's init after its filter is
// loaded, unless that forbids one of the calls that follow, or has a listener.
func TestReaperIsAwaited(t *testing.T) {
	but := func(nr uint32) []byte { // all calls but one
		return bpf.Bytes([]bpf.Instruction{{Op: bpf.LdW, K: bpf.OffsetNR}, {Op: bpf.JeqK, K: nr, JT: 1},
			{Op: bpf.RetK, K: bpf.Allow}, {Op: bpf.RetK, K: bpf.Errno | 1}})
	}
	for _, test := range []struct {
		name   string
		filter Filter
		last   bool
	}{
		{"another", Filter{Program: but(unix.SYS_REBOOT)}, true},
		{"the wait", Filter{Program: but(unix.SYS_RT_SIGTIMEDWAIT)}, false},
		{"the session", Filter{Program: but(unix.SYS_SETSID)}, false},
		{"the mask", Filter{Program: but(unix.SYS_RT_SIGPROCMASK)}, false},
		{"the terminal", Filter{Program: but(unix.SYS_IOCTL)}, false},
		{"listener", Filter{Program: but(unix.SYS_REBOOT), Flags: unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, Agent: "/run/agent"}, false},
	} {
		g := readGolden(t, readArchive(t, "testdata/run-reaper-filtered.txtar"))
		b, facts := g.input(t)
		w := g.wishes(t)
		w.Seccomp = &test.filter
		r, err := compileAnswered(b.Config, facts, w)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		filter, wait := -1, -1
		for i := range r.Plan.Len() {
			switch o := r.Plan.Step(i).Op.(type) {
			case plan.Seccomp:
				if string(o.Program) == string(test.filter.Program) {
					filter = i
				}
			case plan.AwaitSignal:
				wait = i
			}
		}
		if filter < 0 || wait < 0 || (wait > filter) != test.last {
			t.Errorf("%s: the filter is step %d, the wait %d", test.name, filter, wait)
		}
	}
}

// TestReaperLeavesNone: with one process allowed there is none for the program.
func TestReaperLeavesNone(t *testing.T) {
	for limit, refused := range map[int64]bool{1: true, 2: false, 0: true, -1: false} {
		for _, reaper := range []bool{true, false} {
			g := readGolden(t, readArchive(t, "testdata/limits-cgroupfs.txtar"))
			b, facts := g.input(t)
			b.Config.Linux.Resources.Pids.Limit = &limit
			w := g.wishes(t)
			w.Reaper = reaper
			_, err := compileAnswered(b.Config, facts, w)
			if want := reaper && refused; (err != nil) != want || want && !strings.HasPrefix(err.Error(), fmt.Sprintf("put an init beside the program (linux.resources.pids.limit): %d leaves none for the program", limit)) {
				t.Errorf("%d, reaper %t: %v", limit, reaper, err)
			}
		}
	}
}
