package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// step is what one step of a script came to.
type step struct {
	name   string
	output []string
	status int
	want   int
	// words reports that the output is in a runtime's own words.
	words bool
	// left counts what there is after the step, by kind.
	left map[string]int
}

// record is what a part came to on one runtime.
type record struct {
	runtime string
	// says is what the runtime prints with --version.
	says string
	// version is the engine's.
	version string
	// day is that of the run: 2006-01-02. Of groups that ran on several it is the first.
	day string
	// groups are all that the part has.
	groups []string
	steps  []step
}

// both runs a part on homerun and its peer, each in a machine of its own.
func (d day) both(p part) (ours, theirs record, err error) {
	var group sync.WaitGroup
	var failed [2]error
	group.Go(func() { ours, failed[0] = d.one(p, "homerun") })
	group.Go(func() { theirs, failed[1] = d.one(p, p.peer) })
	group.Wait()
	return ours, theirs, errors.Join(failed[:]...)
}

// one runs a part on one runtime, and keeps what the script prints; or it reads what was kept. Groups that run alone take the
// place of their earlier selves there.
func (d day) one(p part, runtime string) (record, error) {
	kept := filepath.Join(d.kept, p.name+"-"+runtime)
	if d.again {
		file, err := os.Open(kept)
		if err != nil {
			return record{}, err
		}
		defer file.Close()
		r, err := read(file)
		r.runtime = runtime
		return r, err
	}
	if err := os.MkdirAll(d.kept, 0o755); err != nil {
		return record{}, err
	}
	fresh := kept
	if d.group != "" {
		fresh += ".groups"
	}
	r, err := d.run(p, runtime, fresh)
	if err != nil || d.group == "" {
		return r, err
	}
	return r, join(kept, fresh)
}

// run runs a part on one runtime, and writes what the script prints into a file.
func (d day) run(p part, runtime, path string) (record, error) {
	file, err := os.Create(path)
	if err != nil {
		return record{}, err
	}
	defer file.Close()
	ctx, cancel := context.WithTimeout(context.Background(), d.limit+2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "hack/machine", "run", "--user", p.user, "--timeout", strconv.Itoa(int(d.limit.Seconds())), "--",
		"tests/engines/run", p.scripts, runtime, d.group)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return record{}, err
	}
	if err := cmd.Start(); err != nil {
		return record{}, err
	}
	r, readErr := read(io.TeeReader(out, file))
	r.runtime = runtime
	if err := cmd.Wait(); err != nil {
		return r, fmt.Errorf("%s on %s: hack/machine: %w", p.name, runtime, err)
	}
	if readErr != nil {
		return r, fmt.Errorf("%s on %s: %w", p.name, runtime, readErr)
	}
	return r, nil
}

// read reads what ./run prints. A part that has no end was broken off.
func read(stream io.Reader) (r record, err error) {
	scan := bufio.NewScanner(stream)
	scan.Buffer(nil, 1<<24)
	var s step
	ended := false
	var other []string
	for scan.Scan() {
		line := scan.Text()
		key, rest, _ := strings.Cut(line, " ")
		switch key {
		case "#version":
			r.version = strings.TrimPrefix(r.version+", "+rest, ", ")
		case "#runtime":
			r.says = rest
		case "#day":
			if r.day == "" || rest < r.day {
				r.day = rest
			}
		case "#group":
			r.groups = append(r.groups, rest)
		case "#words":
			s.words = true
		case "#step":
			s.name = rest
		case "|":
			s.output = append(s.output, rest)
		case "#status":
			if _, err := fmt.Sscan(rest, &s.status, &s.want); err != nil {
				return r, fmt.Errorf("%q: %w", line, err)
			}
		case "#left":
			s.left = counts(rest)
			r.steps = append(r.steps, s)
			s = step{}
		case "#end":
			ended = true
		default:
			other = append(other, line)
		}
	}
	if !ended {
		return r, fmt.Errorf("broke off after %d steps, at %q\n%s", len(r.steps), s.name, strings.Join(other, "\n"))
	}
	return r, scan.Err()
}

// lacks are the groups that have not run to their end, of which the last step tells.
func (r record) lacks() (names []string) {
	for _, name := range r.groups {
		if !slices.ContainsFunc(r.steps, func(s step) bool { return s.name == name+": nothing is left" }) {
			names = append(names, name)
		}
	}
	return names
}

// counts reads KIND=N ...
func counts(text string) map[string]int {
	counted := map[string]int{}
	for _, field := range strings.Fields(text) {
		kind, n, _ := strings.Cut(field, "=")
		counted[kind], _ = strconv.Atoi(n)
	}
	return counted
}
