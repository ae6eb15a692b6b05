package plan

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFlow: checkSlots says of plans at random what a plain account of all ways says.
func TestFlow(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	said := map[string]int{}
	for n := range 5000 {
		p := randomPlan(random)
		wantAt, want := slowSlots(p)
		at, why := checkSlots(p)
		if at != wantAt || why != want {
			for i := range p.steps {
				t.Log(i, p.Line(i))
			}
			t.Fatalf("plan %d: step %d %q, want step %d %q", n, at, why, wantAt, want)
		}
		said[want]++
	}
	for _, why := range []string{"", "no way leads here", "slot $x may not be set", "slot $x2 may not be set"} {
		if said[why] < 100 {
			t.Errorf("too few plans of which it says %q: %v", why, said)
		}
	}
}

// randomPlan has a few steps that set slots, use them, skip, and do not come back.
func randomPlan(random *rand.Rand) *Plan {
	b := NewBuilder(3)
	slots := []Slot{0, b.Slot("x"), b.Slot("x")}
	steps := 3 + random.IntN(8)
	skip := func(i int) Label {
		if i == steps-1 || random.IntN(3) > 0 {
			return 0
		}
		l := b.Label()
		b.plan.labels[l] = i + 1 + random.IntN(steps-i-1)
		return l
	}
	for i := range steps {
		s := Step{Op: Umask{}}
		switch random.IntN(9) {
		case 0:
			if i > 0 {
				s.Op = Close{FD: slots[1+random.IntN(2)].Ref()}
			}
		case 1:
			s.Op = []Operation{ExitGroup{}, Execve{Path: "/x"}, Reap{}}[random.IntN(3)]
		default:
			s.Result = slots[random.IntN(3)]
			s.OnZero, s.OnNonzero = skip(i), skip(i)
		}
		for range random.IntN(3) {
			s.Tolerate = append(s.Tolerate, Errno{unix.ENOENT, skip(i)})
		}
		b.Add(s)
	}
	b.lower()
	return &b.plan
}

// slowSlots is checkSlots with a set for each step: nil where no way leads.
func slowSlots(p *Plan) (int, string) {
	sets := make([]bits, len(p.steps)+1)
	sets[0] = p.noBits()
	for i := range p.steps {
		s, now := &p.steps[i], sets[i]
		if now == nil {
			return i, "no way leads here"
		}
		if slot, bad := unset(&p.calls[i], now); bad {
			return i, "slot " + p.SlotName(slot) + " may not be set"
		}
		lead := func(l Label) {
			to := i + 1
			if l != 0 {
				to = p.target(l)
			}
			if sets[to] == nil {
				sets[to] = append(bits(nil), now...)
			}
			sets[to].meet(now)
		}
		for _, e := range s.Tolerate {
			lead(e.To)
		}
		if s.Result != 0 {
			now.set(s.Result)
		}
		if !is[ExitGroup](s.Op) && !is[Execve](s.Op) && !is[Reap](s.Op) {
			lead(s.OnZero)
			lead(s.OnNonzero)
		}
	}
	return 0, ""
}
