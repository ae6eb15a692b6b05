package plan

import "golang.org/x/sys/unix"

// forked is the index of the last step by which a reaper makes its child; without a
// reaper it is -1.
func (p *Plan) forked() int {
	for i := p.first(is[Reap]); i >= 0; i-- {
		if is[Clone3](p.steps[i].Op) || is[Clone](p.steps[i].Op) {
			return i
		}
	}
	return -1
}

// checkReaper: a reaper lives beside the program for as long as that does, and the
// program may trace it. So it has nothing that the program has not: no descriptor but
// the streams, no capability but CAP_KILL, a filter of its own. It may be looked at,
// for exec joins it, but not before all that. No signal may reach it, or kill it,
// before it waits for signals, and the program must not have them blocked, nor run
// before the reaper says that all this is so.
func checkReaper(p *Plan) (int, string) {
	at, fork := p.first(is[Reap]), p.forked()
	switch {
	case at < 0:
		return 0, ""
	case fork < 0 || p.last(is[Reap]) != at:
		return at, "is not the one reaper, of a child"
	case p.first(is[BlockSignals]) < 0 || p.first(is[BlockSignals]) > fork:
		return at, "signals are not blocked before its child is made"
	case p.last(is[UnblockSignals]) < at:
		return at, "its child has all signals blocked"
	case p.last(is[AwaitSignal]) < at:
		return at, "its child does not wait for it"
	}
	s := p.steps[at]
	if len(s.Tolerate) > 0 || s.Result != 0 || s.Want != nil || s.OnZero != 0 || s.OnNonzero != 0 {
		return at, "may not go on"
	}
	return p.checkReaperHas(fork, at)
}

// checkReaperHas looks at what the reaper does after it has made its child.
func (p *Plan) checkReaperHas(fork, at int) (int, string) {
	var r reaper
	for i := fork + 1; i < at; i++ {
		if r.does(p.steps[i].Op); r.shown && !r.bare() {
			return i, "the reaper may be looked at before it has nothing"
		}
	}
	if !r.bare() || !r.filtered || !r.shown {
		return at, "the reaper has more than the program, or nobody may join it"
	}
	return 0, ""
}

// reaper is what is known of one.
type reaper struct{ capabilities, closed, bound, filtered, shown bool }

// bare reports whether it has nothing that the program has not, but for a filter.
func (r *reaper) bare() bool { return r.capabilities && r.closed && r.bound }

func (r *reaper) does(operation Operation) {
	switch o := operation.(type) {
	case Capset:
		r.capabilities = (o.Effective|o.Permitted|o.Inheritable)&^(1<<unix.CAP_KILL) == 0
	case CloseRange:
		r.closed = r.closed || o.First == 3 && o.Last == 0 && o.Flags&unix.CLOSE_RANGE_CLOEXEC == 0
	case Seccomp:
		r.filtered = true
	case Prctl:
		r.bound = r.bound || o.Option == unix.PR_SET_NO_NEW_PRIVS && o.Arg2 == 1
		if o.Option == unix.PR_SET_DUMPABLE {
			r.shown = o.Arg2 == 1
		}
	}
}
