package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// floorName stands for the bare system calls in the tables.
const floorName = "floor"

// turn is what one runtime does in a round.
type turn struct {
	name string
	do   func(*samples) error
}

// measure runs the rounds of each verb in each scene.
func (b *bench) measure(o options, s *samples) error {
	for _, b.scene = range scenes(o) {
		for _, verb := range o.verbs {
			if !b.scene.measures(verb) {
				continue
			}
			if err := b.measureVerb(verb, o.rounds, s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) measureVerb(verb string, n int, s *samples) error {
	turns, end, err := b.turns(verb)
	if end != nil {
		defer end()
	}
	if err != nil {
		return err
	}
	row := min(n, inARow)
	if verb == "crowd" {
		n, row = max(1, n/8), 1
	}
	return rounds(n, row, able(verb, turns), s)
}

// able leaves out who cannot do it at all, on this host or not yet, and says so.
func able(verb string, turns []turn) []turn {
	var list []turn
	for _, t := range turns {
		if err := t.do(newSamples()); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s left out of %s: %v\n", t.name, verb, err)
			continue
		}
		list = append(list, t)
	}
	return list
}

// inARow is how often a program runs before the next has its turn. Alternating each time, each finds the processor's
// caches full of the other's, which favours the smaller, and makes the times of both less steady.
const inARow = 5

// rounds lets all take their turns, of row runs, until each has run n times, another one first each time.
func rounds(n, row int, turns []turn, s *samples) error {
	for i := range 1 + (n+row-1)/row {
		into := s
		if i == 0 { // which only warms up
			into = newSamples()
		}
		for j := range turns {
			t := turns[(i+j)%len(turns)]
			for range row {
				if err := t.do(into); err != nil {
					return fmt.Errorf("%s: %w", t.name, err)
				}
			}
		}
	}
	return nil
}

// turns lists who takes part in measuring a verb; end undoes what it needed.
func (b *bench) turns(verb string) (turns []turn, end func(), err error) {
	switch verb {
	case "run":
		if b.scene.plain() {
			turns = append(turns, turn{floorName, func(s *samples) error { return b.take(s, verb, floorName, b.floor()...) }})
		}
		for _, c := range b.runtimes {
			turns = append(turns, turn{c.name, func(s *samples) error { return b.take(s, verb, c.name, b.runTrue(c)...) }})
		}
	case "person":
		for _, c := range b.runtimes {
			turns = append(turns, turn{c.name, func(s *samples) error { return b.take(s, verb, c.name, b.sandbox(c)...) }})
		}
	case "lifecycle":
		for _, c := range b.runtimes {
			turns = append(turns, turn{c.name, func(s *samples) error { return b.lifecycle(c, s) }})
		}
	case "crowd":
		if b.scene.plain() {
			turns = append(turns, turn{floorName, func(s *samples) error { return b.crowd(s, floorName, b.floor()) }})
		}
		for _, c := range b.runtimes {
			turns = append(turns, turn{c.name, func(s *samples) error { return b.crowd(s, c.name, b.runTrue(c)) }})
		}
	case "exec", "state", "kill":
		return b.inContainers(verb)
	default:
		err = fmt.Errorf("no verb %q", verb)
	}
	return turns, nil, err
}

// floor is the command of the bare system calls.
func (b *bench) floor() []string {
	cgroups := "cgroup1"
	if isCgroup2("/sys/fs/cgroup") {
		cgroups = "cgroup2"
	}
	return []string{filepath.Join(b.programs, "floor"), b.file("rootfs"), cgroups, b.id()}
}

// runTrue is the command that runs an empty program in a container.
func (b *bench) runTrue(c contender) []string {
	return b.command(c, "run", "-b", b.file(b.scene.bundle("true")), b.id())
}

// sandbox is a command on the host's own files in namespaces of its own, without a
// network: what a person types, of homerun and of bwrap(1).
func (b *bench) sandbox(c contender) []string {
	if c.name == "bwrap" {
		return []string{c.path, "--unshare-all", "--ro-bind", "/", "/", "true"}
	}
	return b.command(c, "run", "--rootfs", "/", "--net", "none", "--", "true")
}

// crowdSize is how many containers are run at once.
const crowdSize = 50

// crowd runs a command crowdSize times at once. The command's last argument is a name, to which
// spawn adds a number.
func (b *bench) crowd(s *samples, name string, command []string) error {
	got, err := b.spawn(crowdSize, command...)
	if err == nil {
		s.add(b.scene, fmt.Sprintf("%d at once", crowdSize), name, got)
	}
	return err
}

// lifecycle takes a container from create to delete. It waits for its end in
// between, so that delete finds it stopped.
func (b *bench) lifecycle(c contender, s *samples) error {
	id, pidFile := b.id(), b.file("pid")
	if err := b.take(s, "create", c.name, b.command(c, "create", "-b", b.file(b.scene.bundle("true")), "--pid-file", pidFile, id)...); err != nil {
		return err
	}
	if err := b.take(s, "start", c.name, b.command(c, "start", id)...); err != nil {
		return err
	}
	if err := waitForEnd(pidFile); err != nil {
		return err
	}
	if err := b.take(s, "delete", c.name, b.command(c, "delete", id)...); err != nil {
		return err
	}
	s.sum(b.scene, "create+start+delete", c.name, "create", "start", "delete")
	return nil
}

// inContainers measures a verb on containers that stay for all rounds.
func (b *bench) inContainers(verb string) (turns []turn, end func(), err error) {
	arguments := map[string][]string{"exec": {"/bin/true"}, "state": nil, "kill": {"CONT"}}[verb]
	var started [][]string
	end = func() {
		for _, deletion := range started {
			if _, err := b.spawn(1, deletion...); err != nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
			}
		}
	}
	for _, c := range b.runtimes {
		id := b.id()
		if err := b.startPausing(c, id); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s left out of %s: %v\n", c.name, verb, err)
			continue
		}
		started = append(started, b.command(c, "delete", "--force", id))
		args := append(b.command(c, verb, id), arguments...)
		turns = append(turns, turn{c.name, func(s *samples) error { return b.take(s, verb, c.name, args...) }})
	}
	return turns, end, nil
}

func (b *bench) startPausing(c contender, id string) error {
	if _, err := b.spawn(1, b.command(c, "create", "-b", b.file(b.scene.bundle("pause")), id)...); err != nil {
		return err
	}
	_, err := b.spawn(1, b.command(c, "start", id)...)
	return err
}

// take measures a command.
func (b *bench) take(s *samples, what, who string, args ...string) error {
	got, err := b.spawn(1, args...)
	if err != nil {
		return err
	}
	s.add(b.scene, what, who, got)
	return nil
}

// command is a runtime's command line.
func (b *bench) command(c contender, verb string, args ...string) []string {
	head := append([]string{c.path, "--root", b.file("state-" + c.name)}, b.scene.global(c.name)...)
	return slices.Concat(head, []string{verb}, args)
}

func (b *bench) id() string {
	b.next++
	return fmt.Sprintf("bench-%d-%d", os.Getpid(), b.next)
}

// waitForEnd waits until the container's init is gone. Whose child it became
// differs; a zombie that nobody collected counts as gone, as it does for the
// runtimes.
func waitForEnd(pidFile string) error {
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return err
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int((10 * time.Second).Milliseconds()))
	if err == nil && n == 0 {
		err = fmt.Errorf("process %d does not end", pid)
	}
	return err
}
