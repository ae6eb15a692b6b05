package stage

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/seccomp/bpf"
	"golang.org/x/sys/unix"
)

// reaping is a plan whose process becomes a reaper, and the orphans' parent as it
// would be in a PID namespace of its own. The child adds the steps of the other one,
// which has all signals blocked.
func reaping(child func(b *plan.Builder)) func(b *plan.Builder) {
	return func(b *plan.Builder) {
		b.Do(plan.Prctl{Option: unix.PR_SET_DUMPABLE})
		b.Try(plan.Prctl{Option: unix.PR_SET_CHILD_SUBREAPER, Arg2: 1}, plan.Ignore(unix.EINVAL)...) // which an emulator does not know
		b.Do(plan.BlockSignals{})
		sibling(b, 20*time.Millisecond)
		other, program := b.Label(), b.Slot("program")
		b.Add(plan.Step{Op: plan.Clone{Flags: uint64(unix.SIGCHLD)}, Result: program, OnZero: other})
		b.Try(plan.Capset{}, plan.Ignore(unix.EFAULT)...) // an emulator writes to its header
		b.Do(plan.Prctl{Option: unix.PR_SET_NO_NEW_PRIVS, Arg2: 1})
		b.Do(plan.CloseRange{First: 3})
		b.Do(plan.Prctl{Option: unix.PR_SET_DUMPABLE, Arg2: 1})
		pause(b)
		calls := plan.ReaperCalls()
		b.Try(plan.Seccomp{Program: bpf.Bytes(bpf.Only(bpf.NativeAudit, calls[:]...))}, plan.Ignore(unix.EINVAL, unix.ENOSYS)...) // an emulator has none
		b.Do(plan.Kill{PID: program.Ref(), Signal: int(unix.SIGCONT)})
		b.Do(plan.Reap{Child: program.Ref()})
		b.Place(other)
		b.Do(plan.Setsid{})
		b.Do(plan.AwaitSignal{Signal: int(unix.SIGCONT)})
		child(b)
	}
}

// pause lets the child come to where it waits for a signal: an emulator loses one that
// is blocked, and that nobody waits for yet.
func pause(b *plan.Builder) { b.Do(plan.Ppoll{Timeout: 50 * time.Millisecond}) }

// sibling makes another child of the process, which ends after a time.
func sibling(b *plan.Builder, after time.Duration) {
	parent := b.Label()
	b.Add(plan.Step{Op: plan.Clone{Flags: uint64(unix.SIGCHLD)}, OnNonzero: parent})
	b.Do(plan.Ppoll{Timeout: after})
	b.Do(plan.ExitGroup{Status: 9})
	b.Place(parent)
}

// unblocked are the steps of a child that has its signals.
func unblocked(child func(b *plan.Builder)) func(b *plan.Builder) {
	return reaping(func(b *plan.Builder) {
		b.Do(plan.UnblockSignals{})
		child(b)
	})
}

// kills sends a signal to all of the child's process group, which is its own.
func kills(signal unix.Signal) func(b *plan.Builder) {
	return unblocked(func(b *plan.Builder) {
		b.Do(plan.Kill{Signal: int(signal)})
		b.Do(plan.Ppoll{}) // never comes back
		leave(b)
	})
}

func reapExperiments() []experiment {
	return []experiment{
		{"a reaper ends as its child", unblocked(func(b *plan.Builder) { signal(b, 1); leave(b) }), 5, tagged(1)},
		{"with the largest status", unblocked(func(b *plan.Builder) { b.Do(plan.ExitGroup{Status: 255}) }), 255, nil},
		{"with none", unblocked(exitZero), 0, nil},
		{"with 128 and a signal", kills(unix.SIGTERM), 128 + 15, nil},
		{"with 128 and the signal that nobody catches", kills(unix.SIGKILL), 128 + 9, nil},
		{"its child says what fails", unblocked(func(b *plan.Builder) { b.Do(missing()); leave(b) }), 255, failed(18, unix.ENOENT)},
		{"an orphan's end is not its child's", unblocked(orphans), 5, tagged(3)},
	}
}

func exitZero(b *plan.Builder) { b.Do(plan.ExitGroup{}) }

// orphans leaves two, with statuses of their own: one that ends at once, one later. The
// child outlives both.
func orphans(b *plan.Builder) {
	rest := b.Label()
	b.Add(plan.Step{Op: plan.Clone{Flags: uint64(unix.SIGCHLD)}, OnNonzero: rest})
	for _, after := range []time.Duration{time.Millisecond, 100 * time.Millisecond} {
		sibling(b, after)
	}
	b.Do(plan.ExitGroup{Status: 8})
	b.Place(rest)
	b.Do(plan.Ppoll{Timeout: 300 * time.Millisecond})
	signal(b, 3)
	leave(b)
}

// answering is a child that says so when it has got USR1, and one of the last signals.
func answering(b *plan.Builder) {
	signal(b, 1)
	b.Do(plan.AwaitSignal{Signal: int(unix.SIGUSR1)})
	signal(b, 2)
	b.Do(plan.AwaitSignal{Signal: int(lastSignal)})
	b.Do(plan.UnblockSignals{})
	leave(b)
}

// lastSignal is the last that has the same number in an emulator.
const lastSignal = unix.SIGSYS

// TestGoOnThenStop: a stop signal that comes before a process waits for SIGCONT takes that
// away; the process goes on all the same.
func TestGoOnThenStop(t *testing.T) {
	pid, _ := start(t, nothing(t), func(b *plan.Builder) {
		b.Do(plan.BlockSignals{})
		b.Do(plan.Setsid{}) // and a process group of its own
		for _, s := range []unix.Signal{unix.SIGCONT, unix.SIGTSTP} {
			b.Do(plan.Kill{Signal: int(s)}) // to the group
		}
		b.Do(plan.AwaitSignal{Signal: int(unix.SIGCONT)})
		b.Do(plan.ExitGroup{Status: 5})
	})
	late := time.AfterFunc(10*time.Second, func() { unix.Kill(pid, unix.SIGKILL) })
	defer late.Stop()
	if status := wait(t, pid); status.ExitStatus() != 5 {
		t.Errorf("ended with %v", status)
	}
}

func TestReaperPassesSignalsOn(t *testing.T) {
	pid, report := start(t, nothing(t), reaping(answering))
	exchange(t, pid, report)
	if status := wait(t, pid); status.ExitStatus() != 5 {
		t.Errorf("status %v, want 5", status)
	}
}

// exchange sends a reaper the signals that its child waits for.
func exchange(t *testing.T, pid int, report *os.File) {
	t.Helper()
	for tag, signal := range []unix.Signal{0, unix.SIGUSR1, lastSignal} {
		if tag == 0 {
			continue
		}
		if rec, err := ReadRecord(int(report.Fd())); err != nil || rec.Tag != uint32(tag) {
			t.Fatalf("record %v, %v, want a signal %d", rec, err, tag)
		}
		time.Sleep(50 * time.Millisecond) // see pause
		if err := unix.Kill(pid, signal); err != nil {
			t.Fatal(err)
		}
	}
}

// writeAnswering writes the image of TestReaperPassesSignalsOn for another machine.
func writeAnswering(dir string) error {
	p, err := build(reaping(answering))
	if err != nil {
		return err
	}
	img, _ := newImage(p, code())
	return img.save(filepath.Join(dir, "answering"))
}

// emulateAnswering runs it. The emulator passes signals on.
func emulateAnswering(ctx context.Context, t *testing.T, emulator, dir string) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.CommandContext(ctx, emulator, filepath.Join(dir, "answering"))
	cmd.ExtraFiles = []*os.File{w}
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	exchange(t, cmd.Process.Pid, r)
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 5 {
		t.Errorf("%v, want status 5", cmd.ProcessState)
	}
}
