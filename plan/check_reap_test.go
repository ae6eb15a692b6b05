package plan

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// reaping is a plan with a reaper: the operations before it makes its child, those of
// the reaper itself, and those of the child.
func reaping(before, own, child []Operation) func(b *Builder) {
	return func(b *Builder) {
		hide(b)
		for _, op := range before {
			b.Do(op)
		}
		other := b.Label()
		pid := b.Slot("program")
		b.Add(Step{Op: Clone3{ExitSignal: int(unix.SIGCHLD)}, Result: pid, OnZero: other})
		for _, op := range own {
			b.Do(op)
		}
		b.Do(Reap{pid.Ref()})
		b.Place(other)
		do(child...)(b)
	}
}

// bare is what a reaper needs before, itself, and of its child.
func bare() (before, own, child []Operation) {
	return []Operation{BlockSignals{}},
		[]Operation{Capset{Effective: 1 << unix.CAP_KILL, Permitted: 1 << unix.CAP_KILL}, Prctl{Option: unix.PR_SET_NO_NEW_PRIVS, Arg2: 1},
			CloseRange{First: 3, Flags: unix.CLOSE_RANGE_UNSHARE}, Prctl{Option: unix.PR_SET_DUMPABLE, Arg2: 1}, Seccomp{Program: make([]byte, 8)}},
		[]Operation{AwaitSignal{Signal: int(unix.SIGCONT)}, UnblockSignals{}}
}

func reaperBreaches() []breach {
	const rule, filter = "reaper-has-nothing", "no-new-privs-before-seccomp"
	before, own, child := bare()
	good := reaping(before, own, child)
	at := func(i int, op Operation) func(b *Builder) { // another one in place of own[i]
		changed := slices.Clone(own)
		changed[i] = op
		return reaping(before, changed, child)
	}
	moved := func(from, to int) func(b *Builder) {
		op := own[from]
		return reaping(before, slices.Insert(slices.Delete(slices.Clone(own), from, from+1), to, op), child)
	}
	load := Seccomp{Program: make([]byte, 8)}
	return []breach{
		{"no child", rule, 2, func(b *Builder) {
			l, pid := b.Label(), b.Input("pid", 5)
			b.Do(BlockSignals{})
			b.Add(Step{Op: Umask{}, OnZero: l})
			b.Do(Reap{pid.Ref()})
			b.Place(l)
			exit(b)
		}, good},
		{"two", rule, 9, func(b *Builder) {
			l, pid := b.Label(), b.Input("pid", 5)
			reaping(before, slices.Concat(own, []Operation{Umask{}}), nil)(b)
			b.plan.steps[8].OnZero = l
			b.plan.steps[10].Op = UnblockSignals{}
			next := b.Label()
			b.Add(Step{Op: Umask{}, OnZero: next})
			b.Place(l)
			b.Do(Reap{pid.Ref()})
			b.Place(next)
			exit(b)
		}, good},
		{"signals kill it", rule, 7, reaping(nil, own, child), good},
		{"signals kill it at first", rule, 8, reaping(nil, slices.Concat([]Operation{BlockSignals{}}, own), child), good},
		{"deaf child", rule, 8, reaping(before, own, child[:1]), good},
		{"hasty child", rule, 8, reaping(before, own, child[1:]), good},
		{"child that waited before", rule, 9, reaping(slices.Concat(before, child[:1]), own, child[1:]), good},
		{"deaf child, heard before", rule, 9, reaping(slices.Concat(before, child[1:]), own, child[:1]), good},
		{"capabilities", rule, 6, at(0, Capset{Effective: 1 << unix.CAP_KILL, Permitted: 1<<unix.CAP_KILL | 1<<unix.CAP_CHOWN}), good},
		{"inheritable capabilities", rule, 6, at(0, Capset{Inheritable: 1 << unix.CAP_CHOWN}), at(0, Capset{})},
		{"capabilities as before", rule, 6, at(0, Umask{}), good},
		{"capabilities later", rule, 5, moved(0, 4), moved(0, 1)},
		{"new privileges", rule, 6, at(1, Umask{}), good},
		{"open files", rule, 6, at(2, CloseRange{First: 4}), at(2, CloseRange{First: 3})},
		{"some open files", rule, 6, at(2, CloseRange{First: 3, Last: 9}), good},
		{"closed at execve", rule, 6, at(2, CloseRange{First: 3, Flags: unix.CLOSE_RANGE_CLOEXEC}), good},
		{"shown while files are open", rule, 5, moved(3, 2), good},
		{"hidden", rule, 8, at(3, Prctl{Option: unix.PR_SET_DUMPABLE}), good},
		{"no filter", rule, 8, at(4, Umask{}), good},
		{"tolerant", rule, 8, tolerant(own), good},

		{"the reaper's privileges", filter, 12, reaping(before, own, slices.Concat(child, []Operation{Capset{}, load})),
			reaping(before, own, slices.Concat(child, []Operation{load, Capset{}}))},
	}
}

// tolerant lets the plan go on after the reaper, where the child goes on.
func tolerant(own []Operation) func(b *Builder) {
	return func(b *Builder) {
		hide(b)
		b.Do(BlockSignals{})
		other := b.Label()
		pid := b.Slot("program")
		b.Add(Step{Op: Clone3{ExitSignal: int(unix.SIGCHLD)}, Result: pid, OnZero: other})
		for _, op := range own {
			b.Do(op)
		}
		b.Try(Reap{pid.Ref()}, Errno{unix.ENOSYS, other})
		b.Place(other)
		do(AwaitSignal{Signal: int(unix.SIGCONT)}, UnblockSignals{})(b)
	}
}

// TestListenerBesideAReaper: the program's process, too, shares its descriptors with
// whoever passes the listener on.
func TestListenerBesideAReaper(t *testing.T) {
	listener := Seccomp{Program: make([]byte, 8), Flags: unix.SECCOMP_FILTER_FLAG_NEW_LISTENER}
	_, own, child := bare()
	for _, flags := range []uint64{0, unix.CLONE_FILES} {
		_, err := built(func(b *Builder) {
			hide(b)
			b.Do(BlockSignals{})
			b.Do(Clone3{Flags: unix.CLONE_FILES})
			other, pid := b.Label(), b.Slot("program")
			b.Add(Step{Op: Clone3{Flags: flags}, Result: pid, OnZero: other})
			for _, op := range own {
				b.Do(op)
			}
			b.Do(Reap{pid.Ref()})
			b.Place(other)
			do(slices.Concat(child, []Operation{listener})...)(b)
		})
		if (err == nil) != (flags != 0) {
			t.Errorf("flags %d: %v", flags, err)
		}
	}
}
