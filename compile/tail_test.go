package compile

import (
	"encoding/json"
	"testing"

	"golang.org/x/sys/unix"
)

// TestTail: what `start` says of a failure by what was recorded is what the plan
// itself says. Tried: each step after the wait, with errnos that are explained, others,
// and results that are none; and a record that is not there.
func TestTail(t *testing.T) {
	b, facts := golden{}.input(t)
	b.Config.Process.Cwd, b.Config.Process.User.UID = "/home/web", 5
	w := wishes()
	w.Create = true
	r, err := compileAnswered(b.Config, facts, w)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r.Tail())
	if err != nil {
		t.Fatal(err)
	}
	var tail Tail
	if err := json.Unmarshal(text, &tail); err != nil {
		t.Fatal(err)
	}
	if len(tail.Steps) < 10 || r.Plan.Step(r.Plan.Len()-len(tail.Steps)).Awaits != "start" {
		t.Fatalf("%d steps: %s", len(tail.Steps), text)
	}
	for i := range tail.Steps {
		for _, result := range []int{-int(unix.ENOENT), -int(unix.EACCES), -int(unix.EPERM), -int(unix.EINVAL), -int(unix.ENOEXEC), 0, 7} {
			index := r.Plan.Len() - len(tail.Steps) + i
			want, got := Explain(r.Plan, facts, index, result), tail.Explain(len(tail.Steps)-i, result)
			if *want != *got {
				t.Errorf("%s, %d:\n%+v, want\n%+v", r.Plan.Text(index), result, got, want)
			}
		}
	}
	if e := tail.Explain(len(tail.Steps)+1, -int(unix.EPERM)); e.Error() != "start the program: operation not permitted (EPERM)" {
		t.Errorf("%q", e.Error())
	}
	w.Create = false
	if r, err = compileAnswered(b.Config, facts, w); err != nil || len(r.Tail().Steps) > 0 {
		t.Errorf("%v: a plan that does not wait has the tail %+v", err, r.Tail())
	}
}
