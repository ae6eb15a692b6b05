package soak

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// clients is how many there are.
const clients = 4

// roundLimit is how long they work until it is looked what is left.
const roundLimit = 10 * time.Second

// day is what happens from beginning to end.
type day struct {
	t      *testing.T
	place  *place
	seed   uint64
	rounds int
	// eachHas is how many ids a client has.
	eachHas int
	slots   []*slot
	storms  storms
	// empty is what there was before the first container, and before what there is between
	// rounds.
	empty, before []string
	// others are containers that nobody touches.
	others map[string]*other
	// busKilled is when.
	busKilled time.Time
	roundEnds time.Time
	stop      chan struct{}
	// patience is how long a status may take, and complain hears of what is broken.
	patience time.Duration
	complain func(args ...any)

	faults, done counts
	mu           sync.Mutex
	log          []string
	file         *os.File
	began        time.Time
}

// other is a container that nobody touches: its init, and how many processes it and what
// is beside it had, with how many descriptors.
type other struct {
	pid                    int
	processes, descriptors int
}

// counts counts by name.
type counts struct {
	mu sync.Mutex
	of map[string]int
}

func (c *counts) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = make(map[string]int)
	}
	c.of[name]++
}

func (c *counts) get(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[name]
}

func (c *counts) total() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range c.of {
		n += of
	}
	return n
}

func (c *counts) String() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(c.of)) {
		list = append(list, fmt.Sprintf("%s %d", name, c.of[name]))
	}
	return fmt.Sprintf("%d (%s)", c.total(), strings.Join(list, ", "))
}

func newDay(t *testing.T, p *place, seed uint64) *day {
	d := &day{t: t, place: p, seed: seed, others: make(map[string]*other), stop: make(chan struct{}), began: time.Now(),
		patience: settleLimit, complain: t.Error}
	if name := os.Getenv(journalVariable); name != "" {
		var err error
		d.file, err = os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		must(t, err)
	}
	d.eachHas = 4
	if p.scopes { // where each verb takes longer
		d.eachHas = 2
	}
	for n := range clients * d.eachHas {
		s := &slot{id: fmt.Sprintf("soak-%d-%d", os.Getpid(), n), number: n, kind: n % kinds, status: absent, code: -1}
		d.slots = append(d.slots, s)
		p.bundle(t, s)
	}
	return d
}

// journal notes what happened. What a test that fails prints of it is about the id.
func (d *day) journal(who string, s *slot, format string, args ...any) {
	id := ""
	if s != nil {
		id = fmt.Sprintf(" %s (%s)", s.id, s.status)
	}
	line := fmt.Sprintf("%9.3f %d %s%s: %s", time.Since(d.began).Seconds(), d.rounds, who, id, fmt.Sprintf(format, args...))
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.log = append(d.log, line); len(d.log) > 10000 {
		d.log = d.log[5000:]
	}
	if d.file != nil {
		fmt.Fprintln(d.file, line)
	}
}

// broken is for an invariant that does not hold. It prints what happened to the container,
// or to those that the message names, or to all.
func (d *day) broken(s *slot, format string, args ...any) {
	d.journal("BROKEN", s, format, args...)
	message, about, most := fmt.Sprintf(format, args...), []string{""}, 30
	if s != nil {
		message, about = s.id+": "+message, []string{s.id}
	} else if ids := regexp.MustCompile(`soak-\d+-(other)?\d+\b`).FindAllString(message, -1); ids != nil {
		slices.Sort(ids)
		about, most = slices.Compact(ids), 100
	}
	text := []string{message}
	for _, id := range about {
		text = append(text, d.linesOf(id, most)...)
	}
	d.complain(strings.Join(text, "\n"))
}

// linesOf are the last lines of the journal about an id, or "" for all, and about what
// troubled everybody.
func (d *day) linesOf(id string, most int) (list []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, line := range d.log {
		if id == "" || strings.Contains(line, " "+id+" ") || strings.Contains(line, " trouble: ") {
			list = append(list, line)
		}
	}
	return list[max(0, len(list)-most):]
}

// begin makes the containers that nobody touches, and takes note of what there is.
func (d *day) begin() {
	go d.place.reap(d.stop)
	ways := [][]string{{"run", "-d", "--log-driver", "file"}, {"create"}}
	var slots []*slot
	for n := range ways {
		s := &slot{id: fmt.Sprintf("soak-%d-other%d", os.Getpid(), n), number: clients*d.eachHas + n, kind: usually, status: running}
		if n == 0 {
			s.kind = networked
		}
		d.place.bundle(d.t, s)
		slots = append(slots, s)
	}
	d.empty = d.place.snapshot(nil)
	for n, s := range slots {
		list := [][]string{makeArgs(ways[n]...)(s, d.place)}
		if ways[n][0] == "create" {
			list = append(list, []string{"start", s.id})
		}
		for _, args := range list {
			if done := d.place.plainly(args...); done.status != 0 {
				d.t.Fatalf("%s: status %d: %s", strings.Join(args, " "), done.status, done.text())
			}
		}
		seen, err := d.place.statusOf(s.id, false)
		must(d.t, err)
		d.others[s.id] = &other{pid: seen.Pid}
	}
	time.Sleep(200 * time.Millisecond)
	for id, o := range d.others {
		o.processes, o.descriptors = d.place.beside(id, o.pid)
	}
	d.before = d.place.snapshot(d.still())
}

// still are the processes that stay from round to round.
func (d *day) still() (list []int) {
	mine := below(tree(), os.Getpid(), nil)
	for id, o := range d.others {
		list = append(append(list, o.pid), d.place.helpers(id, mine, o.pid)...)
	}
	return list
}

// beside counts a container's processes, with those of homerun's beside it, and their
// descriptors.
func (p *place) beside(id string, init int) (processes, descriptors int) {
	all := tree()
	list := append(append(p.helpers(id, below(all, os.Getpid(), nil), init), init), below(all, init, nil)...)
	for _, pid := range list {
		open, _ := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
		descriptors += len(open)
	}
	return len(list), descriptors
}

// round has all clients work, and looks what is left.
func (d *day) round(limit time.Duration) {
	d.rounds++
	d.roundEnds = time.Now().Add(limit)
	stop := make(chan struct{})
	var clientsEnd, troubleEnds sync.WaitGroup
	troubleEnds.Go(func() { d.trouble(d.random(0), stop) })
	for n := range clients {
		clientsEnd.Go(func() {
			random := d.random(1 + n)
			for !time.Now().After(d.roundEnds) {
				d.act(d.slots[n*d.eachHas+random.IntN(d.eachHas)], random)
			}
		})
	}
	clientsEnd.Wait()
	close(stop)
	troubleEnds.Wait()
	for n := range clients {
		clientsEnd.Go(func() {
			for _, s := range d.slots[n*d.eachHas : (n+1)*d.eachHas] {
				d.settle(s)
			}
		})
	}
	clientsEnd.Wait()
	d.nothingLeft()
	d.untouched()
}

// random is that of a client in this round, or of the trouble.
func (d *day) random(who int) *rand.Rand {
	return rand.New(rand.NewPCG(d.seed, uint64(d.rounds*100+who)))
}

// untouched looks at the containers that nobody touches.
func (d *day) untouched() {
	for id, o := range d.others {
		seen, err := d.place.statusOf(id, true)
		if err != nil || seen.Status != running || seen.Pid != o.pid {
			d.broken(nil, "%s, which nobody touches, is %+v: %v", id, seen, err)
		}
		if done := d.place.plainly("exec", id, "/bin/echo", "inside"); done.out != "inside\n" || done.status != 0 {
			d.broken(nil, "%s, which nobody touches, does not answer: %d %s", id, done.status, done.text())
		}
		for tries := 0; ; tries++ {
			processes, open := d.place.beside(id, o.pid)
			if processes == o.processes && open <= o.descriptors {
				break
			} else if tries == 100 {
				d.broken(nil, "%s, which nobody touches, has %d processes with %d descriptors, and had %d with %d", id, processes, open, o.processes, o.descriptors)
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// end removes what nobody touched, which may leave nothing either.
func (d *day) end() {
	for id := range d.others {
		if done := d.place.plainly("delete", "--force", id); done.status != 0 || done.text() != "" {
			d.broken(nil, "delete --force %s: %d %s", id, done.status, done.text())
		}
	}
	clear(d.others)
	d.before = d.empty
	d.nothingLeft()
}

// report says what was done, and ends what is left of a day that was broken.
func (d *day) report() {
	for id := range d.others {
		d.place.plainly("delete", "--force", id)
	}
	for _, s := range d.slots {
		if s.status != absent {
			d.place.plainly("delete", "--force", s.id)
		}
	}
	close(d.stop)
	summary := fmt.Sprintf("%d rounds in %.0f s, seed %d, broken: %t\noperations: %s\nfaults: %s", d.rounds, time.Since(d.began).Seconds(), d.seed,
		d.t.Failed(), &d.done, &d.faults)
	d.journal("summary", nil, "%s", summary)
	d.t.Log(summary)
	if d.file != nil {
		d.file.Close()
	}
}
