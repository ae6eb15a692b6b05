package plan

import (
	"errors"
	"fmt"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/plain"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// Check is the only way to an encodable plan. A violation is a defect of
// homerun, never of a config.json, and it is found before anything runs. The
// structural rules keep the stage from acting on garbage; the security rules
// are the audit: each names a class of bugs that runtimes had, and makes a plan
// with that bug impossible to run.

type rule struct {
	name  string
	check func(p *Plan) (index int, why string)
}

// rules lists the rules by name, structural ones first: the others rely on them.
func rules() [17]rule {
	return [...]rule{
		{"ends-with-exec-or-exit", checkEnd},
		{"skips-go-forward", checkSkips},
		{"strings-without-nul", checkStrings},
		{"slots-live-in-one-place", checkHomes},
		{"slots-set-before-use", checkSlots},
		{"handshake-has-two-sides", checkHandshake},
		{"two-parts-meet-once", checkParts},
		{"not-dumpable-before-mounts", checkDumpable},
		{"not-dumpable-after-credentials", checkStillHidden},
		{"targets-resolved-in-root", checkTargets},
		{"no-host-path-after-pivot", checkHostPaths},
		{"no-directory-open-at-chdir", checkClosedBeforeChdir},
		{"groups-then-gid-then-uid", checkCredentialOrder},
		{"no-new-privs-before-seccomp", checkSeccomp},
		{"close-on-exec", checkCloexec},
		{"masks-after-mounts", checkMasks},
		{"reaper-has-nothing", checkReaper},
	}
}

// ErrRule is what errors.Is finds in each error of Check.
var ErrRule = errors.New("a rule of plans is broken")

// Check reports the first violation of a rule as a *fault.Error, whose code is the
// rule's name. One step is to blame, or none. A text that is too long for the kernel is
// an error of who asked for it, and breaks no rule.
func Check(p *Plan) error {
	if err := checkLengths(p); err != nil {
		return err
	}
	for _, r := range rules() {
		if i, why := r.check(p); why != "" {
			e := &fault.Error{What: "BUG: plan check: rule " + r.name, Why: why, Code: r.name, Cause: ErrRule}
			if i >= 0 {
				e.What += fmt.Sprintf(": step %d, %s", i+1, p.Text(i))
			}
			return e
		}
	}
	return nil
}

// last is the index of the last step whose operation satisfies f, or -1.
func (p *Plan) last(f func(Operation) bool) int {
	for i := len(p.steps) - 1; i >= 0; i-- {
		if f(p.steps[i].Op) {
			return i
		}
	}
	return -1
}

// first is the index of the first step whose operation satisfies f, or -1.
func (p *Plan) first(f func(Operation) bool) int {
	for i := range p.steps {
		if f(p.steps[i].Op) {
			return i
		}
	}
	return -1
}

// is reports whether an operation is of type T.
func is[T Operation](op Operation) bool {
	_, ok := op.(T)
	return ok
}

// MaxSteps is how many steps a plan may have.
const MaxSteps = 1 << 15

func checkEnd(p *Plan) (int, string) {
	if len(p.steps) == 0 {
		return -1, "no steps"
	}
	if len(p.steps) > MaxSteps {
		return -1, "too many steps"
	}
	i := len(p.steps) - 1
	if op := p.steps[i].Op; !is[Execve](op) && !is[ExitGroup](op) && !(p.part && is[Mmap](op)) {
		return i, "nothing follows it"
	}
	if s := p.steps[i]; len(s.Tolerate) > 0 || s.OnZero != 0 || s.OnNonzero != 0 {
		return i, "the last step may not go on"
	}
	return 0, ""
}

func checkSkips(p *Plan) (int, string) {
	for i := range p.steps {
		s := &p.steps[i]
		if len(s.Tolerate) > MaxErrnos {
			return i, "tolerates too many errors"
		}
		if p.badLabel(i, s.OnZero) || p.badLabel(i, s.OnNonzero) {
			return i, "skips backward or past the end"
		}
		for _, t := range s.Tolerate {
			if p.badLabel(i, t.To) || t.Errno == 0 {
				return i, "skips backward or past the end"
			}
		}
	}
	return 0, ""
}

func (p *Plan) badLabel(i int, l Label) bool {
	return l != 0 && (int(l) >= len(p.labels) || p.labels[l] <= i || p.labels[l] >= len(p.steps))
}

func checkStrings(p *Plan) (int, string) {
	for i := range p.calls {
		for n := range p.calls[i].Args {
			if why := p.calls[i].Args[n].badText(); why != "" {
				return i, why
			}
		}
	}
	return 0, ""
}

func (a *Arg) badText() string {
	const why = "a string holds a NUL"
	if a.text != nil && strings.IndexByte(*a.text, 0) >= 0 {
		return why
	}
	if a.memory == nil {
		return ""
	}
	for _, p := range a.memory.Pointers {
		if strings.IndexByte(p.Text, 0) >= 0 {
			return why
		}
	}
	return ""
}

// checkLengths refuses a path, or what stands in the place of one, that the kernel would
// not take: PATH_MAX counts the NUL at its end.
func checkLengths(p *Plan) error {
	for i := range p.calls {
		for n := range p.calls[i].Args {
			if text := p.calls[i].Args[n].text; text != nil && len(*text) >= unix.PathMax {
				e := &fault.Error{What: p.calls[i].Name, Why: fmt.Sprintf("%s is longer than the %d bytes that the kernel takes", plain.Short(*text, maxShown), unix.PathMax-1),
					Errno: unix.ENAMETOOLONG}
				if r := p.steps[i].Reason; r != nil {
					e.Place, e.What = r.Pointer, plain.Short(r.What, maxShown)
				}
				return e
			}
		}
	}
	return nil
}

// maxShown bounds, in bytes, what a message has of a text that is too long.
const maxShown = 60

// checkHandshake wants each await to have its one signal, on both sides.
func checkHandshake(p *Plan) (int, string) {
	signals, awaits := map[string]int{}, map[string]int{}
	for _, s := range p.runtime {
		switch a := s.Action.(type) {
		case Await:
			awaits[a.Signal]--
		case Answer:
			signals[a.Awaited]--
		}
	}
	for i := range p.steps {
		if name := p.steps[i].Awaits; name != "" {
			signals[name]++
		}
		if name := p.steps[i].Signals; name != "" {
			awaits[name]++
		}
	}
	for name, n := range signals {
		if n != 0 {
			return -1, "the stage's await " + name + " and the runtime's answer do not pair"
		}
	}
	for name, n := range awaits {
		if n != 0 {
			return -1, "the runtime's await " + name + " and the stage's signal do not pair"
		}
	}
	return 0, ""
}
