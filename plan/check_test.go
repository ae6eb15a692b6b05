package plan

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"
)

// breach is a plan that breaks one rule, at one step, and its nearest
// neighbour that does not.
type breach struct {
	name      string
	rule      string
	step      int // that is to blame, counted from 0; -1 for none
	bad, good func(b *Builder)
}

func TestCheck(t *testing.T) {
	for _, c := range breaches() {
		t.Run(c.rule+"/"+c.name, func(t *testing.T) { c.test(t) })
	}
}

func (c breach) test(t *testing.T) {
	_, err := built(c.bad)
	var broken *fault.Error
	if !errors.As(err, &broken) {
		t.Fatalf("the bad plan passes: %v", err)
	}
	want := "BUG: plan check: rule " + c.rule
	if c.step >= 0 {
		want += fmt.Sprintf(": step %d, ", c.step+1)
	}
	if broken.Code != c.rule || broken.Why == "" || !errors.Is(err, ErrRule) || !strings.HasPrefix(broken.What, want) ||
		(len(broken.What) > len(want)) != (c.step >= 0) {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err := built(c.good); err != nil {
		t.Errorf("the good neighbour: %v", err)
	}
}

func built(fill func(b *Builder)) (*Plan, error) {
	b := NewBuilder(3)
	fill(b)
	return b.Build()
}

// TestSecurityRulesAreIndependent wants a plan that breaks a security rule to
// break no other: the structural ones, on which the others rely, come first.
func TestSecurityRulesAreIndependent(t *testing.T) {
	for _, c := range breaches() {
		b := NewBuilder(3)
		c.bad(b)
		p := lower(b)
		for _, r := range rules() {
			_, why := r.check(p)
			if r.name == c.rule {
				if why == "" {
					t.Errorf("%s/%s: passes", c.rule, c.name)
				}
				if isStructural(r.name) {
					break
				}
			} else if why != "" {
				t.Errorf("%s/%s breaks rule %s too: %s", c.rule, c.name, r.name, why)
			}
		}
	}
}

func isStructural(rule string) bool {
	for i, r := range rules() {
		if r.name == rule {
			return i < 6
		}
	}
	return false
}

func TestEveryRuleHasABreach(t *testing.T) {
	broken := map[string]bool{}
	for _, c := range breaches() {
		broken[c.rule] = true
	}
	for _, r := range rules() {
		if !broken[r.name] {
			t.Errorf("no test breaks rule %s", r.name)
		}
		delete(broken, r.name)
	}
	for name := range broken {
		t.Errorf("there is no rule %s", name)
	}
}

func breaches() []breach {
	var all []breach
	for _, list := range [][]breach{endBreaches(), slotBreaches(), handshakeBreaches(), partBreaches(), mountBreaches(), hidingBreaches(), pathBreaches(), processBreaches(), reaperBreaches()} {
		all = append(all, list...)
	}
	return all
}

func exit(b *Builder) { b.Do(ExitGroup{}) }

func hide(b *Builder) { b.Do(Prctl{Option: unix.PR_SET_DUMPABLE}) }

func program(b *Builder) {
	b.Do(CloseRange{First: 3, Flags: unix.CLOSE_RANGE_CLOEXEC})
	b.Do(Execve{Path: "/bin/true", Args: []string{"true"}})
}

// do makes a function that adds operations and ends the plan.
func do(list ...Operation) func(b *Builder) {
	return func(b *Builder) {
		for _, op := range list {
			b.Do(op)
		}
		exit(b)
	}
}

func endBreaches() []breach {
	const rule = "ends-with-exec-or-exit"
	return []breach{
		{"empty", rule, -1, func(*Builder) {}, exit},
		{"runs out", rule, 0, func(b *Builder) { b.Do(Umask{}) }, do(Umask{})},
		{"exec may fail", rule, 2, func(b *Builder) {
			hide(b)
			b.Do(CloseRange{First: 3, Flags: unix.CLOSE_RANGE_CLOEXEC})
			b.Try(Execve{Path: "/bin/true"}, Ignore(unix.ENOENT)...)
		}, func(b *Builder) { hide(b); program(b) }},
		{"too many", rule, -1, repeat(1 << 15), repeat(1<<15 - 1)},

		{"backward", "skips-go-forward", 1, func(b *Builder) {
			l := b.Label()
			b.Place(l)
			b.Do(Umask{})
			b.Add(Step{Op: Umask{}, OnZero: l})
			exit(b)
		}, skipTo(2)},
		{"to itself", "skips-go-forward", 0, skipTo(0), skipTo(1)},
		{"past the end", "skips-go-forward", 0, skipTo(3), skipTo(2)},
		{"never placed", "skips-go-forward", 0, func(b *Builder) {
			b.Add(Step{Op: Umask{}, OnNonzero: b.Label()})
			exit(b)
		}, skipTo(1)},
		{"of another builder", "skips-go-forward", 0, func(b *Builder) {
			b.Try(Umask{}, Errno{unix.ENOENT, 9})
			exit(b)
		}, skipTo(1)},
		{"five errors", "skips-go-forward", 0, tolerating(unix.ENOENT, unix.EPERM, unix.EIO, unix.EACCES, unix.EBUSY),
			tolerating(unix.ENOENT, unix.EPERM, unix.EIO, unix.EACCES)},
		{"no error", "skips-go-forward", 0, tolerating(0), tolerating(unix.ENOENT)},

		{"path", "strings-without-nul", 0, do(Chdir{"/a\x00b"}), do(Chdir{"/ab"})},
		{"environment", "strings-without-nul", 2, environment("A=\x00"), environment("A=")},
	}
}

func environment(entry string) func(b *Builder) {
	return func(b *Builder) {
		hide(b)
		b.Do(CloseRange{First: 3, Flags: unix.CLOSE_RANGE_CLOEXEC})
		b.Do(Execve{Path: "/bin/true", Env: []string{entry}})
	}
}

func repeat(n int) func(b *Builder) {
	return func(b *Builder) {
		for range n {
			b.Do(Umask{})
		}
		exit(b)
	}
}

func tolerating(list ...unix.Errno) func(b *Builder) {
	return func(b *Builder) {
		b.Try(Umask{}, Ignore(list...)...)
		exit(b)
	}
}

// skipTo skips from step 0 to another of three, after success or an error.
func skipTo(target int) func(b *Builder) {
	return func(b *Builder) {
		l := b.Label()
		for i, s := range []Step{{Op: Umask{}, OnNonzero: l, Tolerate: []Errno{{unix.ENOENT, l}}}, {Op: Umask{}}, {Op: ExitGroup{}}} {
			if i == target {
				b.Place(l)
			}
			b.Add(s)
		}
		if target == 3 {
			b.Place(l)
		}
	}
}

func slotBreaches() []breach {
	const set, home = "slots-set-before-use", "slots-live-in-one-place"
	open := Openat2{DirFD: AtCWD(), Path: "x", Flags: unix.O_CLOEXEC}
	return []breach{
		{"never set", set, 0, func(b *Builder) { b.Close(b.Slot("x")); exit(b) },
			func(b *Builder) { b.Close(b.Input("x", 4)); exit(b) }},
		{"set later", set, 0, func(b *Builder) { s := b.Slot("x"); b.Close(s); b.Add(Step{Op: open, Result: s}); exit(b) },
			func(b *Builder) { b.Close(b.Get("x", open)); exit(b) }},
		{"open may fail", set, 1, func(b *Builder) {
			s := b.Slot("x")
			b.Add(Step{Op: open, Result: s, Tolerate: Ignore(unix.ENOENT)})
			b.Close(s)
			exit(b)
		}, func(b *Builder) {
			s, end := b.Slot("x"), b.Label()
			b.Add(Step{Op: open, Result: s, Tolerate: []Errno{{unix.ENOENT, end}}})
			b.Close(s)
			b.Place(end)
			exit(b)
		}},
		{"set on one of two ways", set, 2, twoWays(false), twoWays(true)},
		{"set on one of two ways that skip", set, 4, twoSkips(false), twoSkips(true)},
		{"inside memory", set, 0, func(b *Builder) { b.Do(Signal{FD: Int(3), Value: b.Slot("pid")}); exit(b) },
			func(b *Builder) { b.Do(Signal{FD: Int(3), Value: b.Input("pid", 1)}); exit(b) }},
		{"inside a message", set, 0, func(b *Builder) { b.Do(SendFD{Int(3), b.Slot("master"), "m"}); exit(b) },
			func(b *Builder) { b.Do(SendFD{Int(3), b.Input("master", 1), "m"}); exit(b) }},
		{"unreachable", set, 1, func(b *Builder) { exit(b); exit(b) }, exit},

		{"two signals", home, 1, func(b *Builder) {
			s := b.Input("pid", 4)
			b.Do(Signal{FD: Int(3), Value: s})
			b.Do(Signal{FD: Int(3), Value: s})
			exit(b)
		}, func(b *Builder) {
			s := b.Input("pid", 4)
			b.Do(Signal{FD: Int(3), Value: s})
			b.Do(Signal{FD: s.Ref()})
			exit(b)
		}},
		{"signal and message", home, 1, func(b *Builder) {
			s := b.Input("fd", 4)
			b.Do(Signal{FD: Int(3), Value: s})
			b.Do(SendFD{Int(3), s, "m"})
			exit(b)
		}, func(b *Builder) {
			s := b.Input("fd", 4)
			b.Do(SendFD{Int(3), s, "m"})
			b.Close(s)
			exit(b)
		}},
	}
}

// twoWays sets a slot on one way to its use, or on both.
func twoWays(both bool) func(b *Builder) {
	return func(b *Builder) {
		s, use := b.Slot("x"), b.Label()
		first := Step{Op: Socket{unix.AF_UNIX, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC, 0}, OnNonzero: use}
		if both {
			first.Result = s
		}
		b.Add(first)
		b.Add(Step{Op: Socket{unix.AF_UNIX, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC, 0}, Result: s})
		b.Place(use)
		b.Close(s)
		exit(b)
	}
}

// twoSkips has two steps skip to the use of a slot that the first of them sets, and the
// other only with both.
func twoSkips(both bool) func(b *Builder) {
	return func(b *Builder) {
		s, other, use := b.Slot("x"), b.Label(), b.Label()
		socket := Socket{unix.AF_UNIX, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC, 0}
		b.Add(Step{Op: socket, OnZero: other})
		b.Add(Step{Op: socket, Result: s, OnZero: use, OnNonzero: use})
		b.Place(other)
		second := Step{Op: socket, OnNonzero: use}
		if both {
			second.Result = s
		}
		b.Add(second)
		b.Add(Step{Op: socket, Result: s})
		b.Place(use)
		b.Close(s)
		exit(b)
	}
}

// TestFlowIsShort: what a way has set is forgotten where it arrives, else each step would
// be compared with all skips before it.
func TestFlowIsShort(t *testing.T) {
	b := NewBuilder(3)
	for range 10 {
		after := b.Label()
		b.Add(Step{Op: Chdir{"/"}, OnNonzero: after})
		b.Do(Chdir{"/"})
		b.Place(after)
	}
	exit(b)
	b.lower()
	f := &flow{plan: &b.plan, now: b.plan.noBits()}
	for i := range b.plan.steps {
		f.arrive(i)
		f.step(i)
		if len(f.ahead) > 1 || len(f.free) > 1 {
			t.Fatalf("step %d: %d steps ahead, %d sets that are free", i, len(f.ahead), len(f.free))
		}
	}
}

func handshakeBreaches() []breach {
	const rule = "handshake-has-two-sides"
	signal := Step{Op: Signal{FD: Int(3)}, Signals: "ready"}
	await := Step{Op: Read{FD: Int(4), Size: 1}, Awaits: "go"}
	sides := func(steps []Step, runtime ...RuntimeStep) func(b *Builder) {
		return func(b *Builder) {
			for _, s := range steps {
				b.Add(s)
			}
			for _, s := range runtime {
				b.Runtime(s)
			}
			exit(b)
		}
	}
	good := sides([]Step{signal, await}, RuntimeStep{Action: Await{"ready"}}, RuntimeStep{Action: Answer{"go"}})
	return []breach{
		{"nobody listens", rule, -1, sides([]Step{signal}), good},
		{"nobody signals", rule, -1, sides([]Step{await}), good},
		{"the runtime waits in vain", rule, -1, sides(nil, RuntimeStep{Action: Await{"ready"}}), good},
		{"the runtime signals in vain", rule, -1, sides(nil, RuntimeStep{Action: Answer{"go"}}), good},
		{"another name", rule, -1, sides([]Step{await}, RuntimeStep{Action: Answer{"went"}}), good},
		{"twice", rule, -1, sides([]Step{await, await}, RuntimeStep{Action: Answer{"go"}}), good},
	}
}

// TestLengths: a path that the kernel would not take is an error of who asked for it.
func TestLengths(t *testing.T) {
	for length, long := range map[int]bool{4095: false, 4096: true} {
		_, err := built(func(b *Builder) {
			b.At("process.cwd", "enter the working directory")
			b.Do(Chdir{strings.Repeat("x", length)})
			exit(b)
		})
		if !long && err != nil {
			t.Errorf("%d bytes: %v", length, err)
		}
		var e *fault.Error
		if long && (!errors.As(err, &e) || errors.Is(err, ErrRule) || e.Place != "process.cwd" || e.Errno != unix.ENAMETOOLONG || len(e.Error()) > 300) {
			t.Errorf("%d bytes: %v", length, err)
		}
	}
}
