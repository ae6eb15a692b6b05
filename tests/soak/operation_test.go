package soak

import (
	"math/rand/v2"
	"slices"
	"strconv"
)

// operation is a verb, as clients use it.
type operation struct {
	name string
	args func(*slot, *place) []string
	// from are the statuses from which it succeeds, to is the one to which it leads; ""
	// is the same.
	from []string
	to   string
	// makes: it makes a container. cgroup: it needs one.
	makes, cgroup bool
	// code is with what the program ends by it.
	code int
	// output is what it prints, and status its exit status where that is not 0.
	output string
	status int
	// weights say how often it is done, by status.
	weights map[string]int
}

func verb(words ...string) func(*slot, *place) []string {
	return func(s *slot, _ *place) []string { return append(slices.Clone(words), s.id) }
}

// within is a verb that has a command after the id.
func within(words []string, command ...string) func(*slot, *place) []string {
	return func(s *slot, _ *place) []string { return slices.Concat(words, []string{s.id}, command) }
}

// makeArgs are the arguments of run and create.
func makeArgs(words ...string) func(*slot, *place) []string {
	return func(s *slot, p *place) []string {
		if s.kind != onRootfs {
			return append(slices.Clone(words), "-b", p.bundleOf(s.id), s.id)
		}
		return append(slices.Clone(words), "-q", "--name", s.id, "--rootfs", p.rootfs, "--overlay", "-v", p.shared(s.id)+":/ids", "--net", "none", "--", "/bin/sh", "-c", program)
	}
}

// short is `run` in the foreground of a program that ends by itself, or is killed with it.
func short(s *slot, p *place) []string {
	return []string{"run", "-q", "--name", s.id, "--rootfs", p.rootfs, "--net", "none", "--", "/bin/sh", "-c", "sleep 0.05; echo said " + s.id + "; exit 9"}
}

var (
	alive  = []string{created, running}
	exists = []string{created, running, paused, stopped}
	often  = map[string]int{created: 1, running: 1, paused: 1, stopped: 1}
)

// operations are all that clients do, in an order that the seed counts on.
func operations() []*operation {
	return []*operation{
		{name: "create", args: makeArgs("create"), makes: true, from: []string{absent}, to: created,
			weights: map[string]int{absent: 5, running: 1, stopped: 1, creating: 1}},
		{name: "run -d", args: makeArgs("run", "-d", "--log-driver", "file"), makes: true, from: []string{absent}, to: running,
			weights: map[string]int{absent: 6, created: 1, stopped: 1}},
		{name: "run", args: short, makes: true, from: []string{absent}, to: absent, status: 9, output: "said ", weights: map[string]int{absent: 4, running: 1}},
		{name: "start", args: verb("start"), from: []string{created}, to: running, weights: map[string]int{created: 6, absent: 1, running: 1, stopped: 1, creating: 1}},
		{name: "exec", args: within([]string{"exec"}, "/bin/echo", "inside"), from: alive, output: "inside\n", weights: map[string]int{created: 1, running: 4, paused: 1, stopped: 1, absent: 1}},
		{name: "exec status", args: within([]string{"exec"}, "/bin/sh", "-c", "exit 5"), from: alive, status: 5, weights: map[string]int{running: 2}},
		{name: "exec -d", args: within([]string{"exec", "-d"}, "/bin/sleep", "100000"), from: alive, weights: map[string]int{running: 2, created: 1}},
		{name: "kill TERM", args: within([]string{"kill"}, "TERM"), from: []string{running}, to: stopped, code: 7, weights: map[string]int{running: 2, stopped: 1}},
		{name: "kill KILL", args: within([]string{"kill"}, "KILL"), from: []string{created, running, paused}, to: stopped, code: 137,
			weights: map[string]int{created: 1, running: 2, paused: 1, stopped: 1, absent: 1}},
		{name: "pause", args: verb("pause"), from: []string{running}, to: paused, cgroup: true, weights: map[string]int{running: 3, stopped: 1}},
		{name: "resume", args: verb("resume"), from: []string{paused}, to: running, cgroup: true, weights: map[string]int{paused: 5, running: 1}},
		{name: "update", args: verb("update", "--pids-limit", "100"), from: []string{created, running, paused}, cgroup: true, weights: map[string]int{created: 1, running: 2}},
		{name: "stop", args: verb("stop", "-t", "8"), from: []string{created, running, paused}, to: stopped, code: 7, weights: map[string]int{running: 3, paused: 2, created: 1}},
		{name: "stop again", args: verb("stop"), from: []string{stopped}, weights: map[string]int{stopped: 1}},
		{name: "delete", args: verb("delete"), from: []string{created, stopped}, to: absent, weights: map[string]int{created: 1, running: 1, stopped: 4, absent: 1, creating: 1}},
		{name: "rm", args: verb("rm"), from: []string{stopped}, to: absent, weights: map[string]int{running: 1, stopped: 3}},
		{name: "delete --force", args: verb("delete", "--force"), from: []string{absent, creating, created, running, paused, stopped, damaged}, to: absent,
			weights: map[string]int{absent: 1, created: 1, running: 1, paused: 1, stopped: 1, creating: 4, damaged: 4}},
		{name: "wait", args: verb("wait"), from: []string{stopped}, weights: map[string]int{stopped: 2}},
		{name: "ps", args: verb("ps"), from: exists, weights: often},
		{name: "top", args: verb("top"), from: exists, weights: map[string]int{running: 1}},
		{name: "inspect", args: verb("inspect"), from: exists, weights: often},
		{name: "logs", args: verb("logs"), from: []string{running, paused, stopped}, output: "up\n", weights: map[string]int{running: 1, stopped: 1}},
		{name: "stats", args: verb("stats", "--no-stream"), from: []string{running}, weights: map[string]int{running: 1}},
		{name: "list", args: func(*slot, *place) []string { return []string{"list"} }, from: []string{absent, creating, created, running, paused, stopped, damaged},
			weights: map[string]int{absent: 1, creating: 1, created: 1, running: 1, paused: 1, stopped: 1, damaged: 1}},
	}
}

// may reports whether the operation makes sense for the kind of container, and can be
// judged.
func (o *operation) may(s *slot) bool {
	switch o.name {
	case "create":
		return s.kind != onRootfs
	case "wait":
		return s.detached && s.code >= 0
	case "logs":
		return s.detached && !s.weak && !s.hurt.Load()
	case "kill TERM":
		return s.status != created
	case "kill KILL": // it ends what init has left, where that may be
		return s.status != stopped || s.kind != noPIDNamespace
	}
	return true
}

// choose takes an operation by the weights.
func choose(list []*operation, s *slot, random *rand.Rand) *operation {
	total := 0
	for _, o := range list {
		if o.may(s) {
			total += o.weights[s.status]
		}
	}
	n := random.IntN(total)
	for _, o := range list {
		if !o.may(s) {
			continue
		}
		if n -= o.weights[s.status]; n < 0 {
			return o
		}
	}
	panic("weights of " + s.status + " have " + strconv.Itoa(total))
}
