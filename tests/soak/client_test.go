package soak

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"
)

// settleLimit is how long it may take until a status is what it will be.
const settleLimit = 30 * time.Second

// act does one operation on an id, and looks what came of it.
func (d *day) act(s *slot, random *rand.Rand) {
	list := operations()
	o, f, byList := choose(list, s, random), chooseFault(random, d.place.scopes), random.IntN(2) == 0
	name := ""
	if f == nil {
		f = none()
	} else {
		name = " with " + f.name
	}
	d.done.add(o.name)
	if o.makes && s.status == absent {
		s.renew()
		_ = os.Remove(d.place.ups(s.id))
	}
	if f.name != "" && (o.makes || o.name == "start") && s.kind == noPIDNamespace && !d.place.scopes {
		s.mu.Lock()
		defer s.mu.Unlock()
		defer d.endUnknown(s)
	}
	since := d.storms.now()
	unsure := f.name != "" || s.status == creating || s.status == damaged || o.makes && s.left
	succeeds, _ := o.expect(s, d.place.scopes)
	result := f.run(d.place, d.place.verb(o.args(s, d.place)...))
	if result.struck || f.weak && succeeds && result.status != o.status {
		d.faults.add(f.kind)
	}
	d.journal("client", s, "%s%s: status %d: %.300s", o.name, name, result.status, result.text())
	if result.hung {
		d.broken(s, "%s%s does not end: %s", o.name, name, result.text())
	}
	if text := result.errs; strings.Contains(text, "panic: runtime error") || strings.Contains(text, "BUG") || strings.Contains(text, "goroutine ") && !f.hungry {
		d.broken(s, "%s%s says: %.3000s", o.name, name, text)
	}
	if f.weak && (o.makes || o.name == "start") || o.name == "run" && s.status != absent {
		s.weak = true
	}
	j := judgement{d: d, s: s, o: o, result: result, name: o.name + name, byList: byList}
	j.calm = func() bool { return !unsure && !s.weak && !s.hurt.Load() && d.storms.calm(since) }
	j.undone = f.name == "" && d.storms.calm(since)
	j.judge()
}

// endUnknown deletes a container without a cgroup and a PID namespace whose start broke
// off. By what its processes are known may not be recorded yet, so what init leaves
// would be left if that ended before anybody looks: docs/verbs.md.
func (d *day) endUnknown(s *slot) {
	if s.weak && s.status != absent && s.status != stopped { // also one that is created, whose program may begin yet
		done := d.place.plainly("delete", "--force", s.id)
		if d.journal("client", s, "its start broke off: delete --force: status %d: %s", done.status, done.text()); done.status != 0 {
			d.broken(s, "delete --force: status %d: %s", done.status, done.text())
		}
		s.status = absent
	}
}

// judgement is what an operation has come to.
type judgement struct {
	d      *day
	s      *slot
	o      *operation
	result done
	name   string
	byList bool
	calm   func() bool
	// undone: nothing disturbed the verb itself, whatever happened to the container.
	undone bool
}

func (j *judgement) judge() {
	s, o := j.s, j.o
	succeeds, after := o.expect(s, j.d.place.scopes)
	said := j.result.status == o.status // that it has done it
	if o.name == "wait" {
		said = j.result.status == s.code
	}
	if j.calm() && said != succeeds {
		time.Sleep(10 * time.Millisecond) // for who hurts it just now
		if j.calm() {
			j.d.broken(s, "%s of one that is %s: status %d: %s", j.name, s.status, j.result.status, j.result.text())
		}
	}
	for end := time.Now().Add(j.d.patience); o.name == "logs" && !strings.Contains(j.result.out, o.output) && j.calm() && time.Now().Before(end); {
		j.result = j.d.place.plainly("logs", s.id) // what was written is kept a moment later
	}
	if j.calm() && succeeds && o.output != "" && !strings.Contains(j.result.out, o.output) {
		j.d.broken(s, "%s prints %q", j.name, j.result.text())
	}
	if o.name == "delete --force" && j.undone && j.result.status != 0 {
		j.d.broken(s, "%s of one that is %s: status %d: %s", j.name, s.status, j.result.status, j.result.text())
	}
	may := []string{after}
	if !j.calm() && !(said && (o.to != "" || o.makes)) {
		may = o.disturbed(s, true, cmp.Or(o.to, s.status))
	}
	if said && o.to == absent && o.name != "run" {
		may = []string{absent}
	}
	j.observe(may, said)
}

// observe waits until the status is one that may be, and takes note of it.
func (j *judgement) observe(may []string, said bool) {
	s, o := j.s, j.o
	var now seen
	var err error
	for end := time.Now().Add(j.d.patience); ; time.Sleep(10 * time.Millisecond) {
		if now, err = j.d.place.statusOf(s.id, j.byList); err != nil || s.fits(now.Status, may) || time.Now().After(end) {
			break
		}
	}
	if err != nil {
		j.d.broken(s, "after %s: %v", j.name, err)
		return
	}
	if !s.fits(now.Status, may) {
		if j.calm() || o.promises(said) || !slices.Contains(o.disturbed(s, true, cmp.Or(o.to, s.status)), now.Status) {
			j.d.broken(s, "after %s it is %q: may be %q", j.name, now.Status, may)
		}
	}
	before := s.status
	s.status = now.Status
	if o.makes && before == absent {
		s.detached = o.name == "run -d" && said
		s.left = o.name == "run" && now.Status != absent
		s.weak = s.weak || s.left
	}
	if now.Status == creating || now.Status == damaged || o.to != "" && now.Status != absent && !said && !j.calm() {
		s.weak = true // what was sent to it may come yet
	}
	if now.Status == running && (before == absent || before == created) {
		j.awaitUp(now)
	}
	j.keep(before, now, said)
}

// awaitUp waits for the program, which has begun.
func (j *judgement) awaitUp(now seen) {
	s := j.s
	s.pid = now.Pid
	for end := time.Now().Add(j.d.patience); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(j.d.place.ups(s.id)); err == nil || s.hurt.Load() || s.weak {
			return
		}
		if time.Now().After(end) {
			j.d.broken(s, "after %s its program does not begin", j.name)
			return
		}
	}
}

// keep holds what is seen against what is known of it: who runs, and with what it ended.
func (j *judgement) keep(before string, now seen, said bool) {
	s := j.s
	switch now.Status {
	case running, paused, created:
		if s.pid != 0 && now.Pid != s.pid && before != absent && before != created {
			j.d.broken(s, "after %s its init is %d, and was %d", j.name, now.Pid, s.pid)
		}
		s.pid = now.Pid
	case stopped:
		if before != stopped {
			s.code = -1
			if said && j.calm() && j.o.to == stopped {
				s.code = j.o.code
				if before == created {
					s.code = 137
				}
			}
		}
		if s.detached && s.code >= 0 && !s.hurt.Load() && !s.weak && (now.Exit == nil || now.Exit.Status != s.code) {
			j.d.broken(s, "after %s it has ended with %s, and did with %d", j.name, exitOf(now), s.code)
		}
	}
}

func exitOf(now seen) string {
	if now.Exit == nil {
		return "nothing that is known"
	}
	return fmt.Sprint(now.Exit.Status)
}

// settle looks at what a round has left of an id, when all trouble is over, and deletes
// it, and makes it once more at once.
func (d *day) settle(s *slot) {
	now, err := d.place.statusOf(s.id, s.number%2 == 0)
	unstable := s.status == creating || s.status == damaged
	if err != nil || !unstable && !s.fits(now.Status, []string{s.status}) {
		d.broken(s, "at the end it is %q, and was %q: %v", now.Status, s.status, err)
	}
	if now.Status == running && !s.weak && !s.hurt.Load() {
		if done := d.place.plainly("exec", s.id, "/bin/echo", "inside"); done.status != 0 || done.out != "inside\n" {
			d.broken(s, "it runs, and does not answer: status %d: %s", done.status, done.text())
		}
	}
	verbs := [][]string{{"delete", "--force", s.id}}
	if d.rounds%4 == s.number%4 && s.kind != onRootfs {
		verbs = append(verbs, makeArgs("create")(s, d.place), []string{"delete", "--force", s.id})
	}
	for _, words := range verbs {
		done := d.place.plainly(words...)
		d.journal("end", s, "%s: status %d: %.300s", words[0], done.status, done.text())
		if done.status != 0 {
			d.broken(s, "%s: status %d: %s", words[0], done.status, done.text())
		}
	}
	s.status = absent
	s.renew()
}
