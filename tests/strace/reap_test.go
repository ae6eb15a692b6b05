package strace

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// inNamespace finds a process whose id in its PID namespace is all that its parent was
// told: the first one that begins with the step, after the process that made it.
func (p *process) inNamespace(plan printed, calls []call) int {
	want := expected(plan.Steps[p.step].Call, p.slots)
	seen := map[int]bool{}
	for _, c := range calls {
		if !seen[c.pid] && normal(c.text) == want {
			return c.pid
		}
		seen[c.pid] = true
	}
	return 0
}

// loop is what each turn of a reaper may call: plan.ReaperCalls.
var loop = regexp.MustCompile(`^(?:rt_sigtimedwait\(~\[\], NULL, NULL, 8\)|kill\((\d+), SIG\w+\)|wait4\(-1, (?:\[.*\]|0x[0-9a-f]+), WNOHANG\|__WALL, NULL\))$`)

// reaps holds what a reaper calls against what it may: "reap(2, 0x480000, 16777216)".
func reaps(text string, calls []call) error {
	child, rest, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(text, "reap("), ")"), ", ")
	if len(calls) == 0 || calls[0].text != "munmap("+rest+")" {
		return fmt.Errorf("the reaper does not begin with munmap(%s): %v", rest, calls)
	}
	for _, c := range calls[1:] {
		m := loop.FindStringSubmatch(c.text)
		switch {
		case m != nil && (m[1] == "" || m[1] == child):
		case strings.HasPrefix(c.text, "exit_group("):
			return nil
		default:
			return fmt.Errorf("the reaper calls\n%s", c.text)
		}
	}
	return fmt.Errorf("the reaper does not end")
}

func TestReaps(t *testing.T) {
	begin := call{text: "munmap(0x480000, 16777216)"}
	wait, end := call{text: "rt_sigtimedwait(~[], NULL, NULL, 8)"}, call{text: "exit_group(0)"}
	reap := call{text: "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 0}], WNOHANG|__WALL, NULL)"}
	for name, test := range map[string]struct {
		calls []call
		want  string
	}{
		"as it is":          {[]call{begin, wait, reap, {text: "kill(2, SIGTERM)"}, {text: "wait4(-1, 0x41000c, WNOHANG|__WALL, NULL)"}, end}, ""},
		"keeps the plan":    {[]call{wait, reap, end}, "does not begin"},
		"kills another":     {[]call{begin, wait, {text: "kill(-1, SIGTERM)"}, end}, "kill(-1"},
		"blocks":            {[]call{begin, {text: "wait4(-1, [0], __WALL, NULL)"}, end}, "wait4"},
		"does another call": {[]call{begin, wait, {text: "getpid()"}, end}, "getpid"},
		"stays":             {[]call{begin, wait, reap}, "does not end"},
	} {
		err := reaps("reap(2, 0x480000, 16777216)", test.calls)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
	}
}

// TestPlanWithReaperIsTheStrace compares a container with homerun's init.
func TestPlanWithReaperIsTheStrace(t *testing.T) {
	for name, rootless := range map[string]bool{"root": false, "subordinate ids": true} {
		for _, create := range []bool{false, true} {
			t.Run(name+map[bool]string{false: ", run", true: ", create and start"}[create], func(t *testing.T) {
				b := newBox(t, rootless)
				b.global = []string{"--cgroup-manager", "disabled"}
				b.flags = []string{"--init"}
				b.fill()
				if create {
					b.compareCreate()
				} else {
					b.compareRun()
				}
			})
		}
	}
}
