package bites

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	full = flag.Bool("bites", false, "take out each defence and run its test, which takes minutes")
	only = flag.String("mutant", "", "regular expression: those mutants alone")
	// A test that fails anyhow would prove nothing of a mutant.
	unmutated = flag.Bool("unmutated", true, "run each test with all defences, too, which must pass; a run of all tests says the same")
)

// testLimit is how long one test may take: one that hangs is no failed test.
const testLimit = 2 * time.Minute

// verdict is what running a test showed.
type verdict string

const (
	passed verdict = "passed"
	failed verdict = "failed"
	broken verdict = "broken"
)

// pattern is the test anchored, element by element.
func (m *mutant) pattern() string {
	return "^" + strings.ReplaceAll(m.test, "/", "$/^") + "$"
}

// judge reads the output of a test binary. Only the named test, run to its end,
// counts, be it its failure or its success.
func (m *mutant) judge(output string, status int) verdict {
	name := regexp.MustCompile(`[^/]+`).ReplaceAllString(m.test, "($0)")
	ended := func(how string) bool {
		return regexp.MustCompile(`(?m)^ *--- ` + how + `: ` + name + `(/\S*)? \(`).MatchString(output)
	}
	switch {
	case strings.Contains(output, "\npanic: "), ended("SKIP"):
		return broken
	case status == 1 && ended("FAIL"):
		return failed
	case status == 0 && ended("PASS"):
		return passed
	}
	return broken
}

// trial is one test to run with one build.
type trial struct {
	*mutant
	// binary is the test's, homerun the one it shall test, env for what the
	// test builds itself.
	binary, homerun string
	env             []string
	// healthy is true for a test that has to pass in spite of the mutant.
	healthy bool
	build   time.Duration
}

// alive is the test that an ordinary container still runs: a homerun that does
// nothing would fail any test. It is nil for what is no mutant of homerun, or not
// for the security tests.
func (tr *trial) alive() *trial {
	if tr.healthy || tr.pkg != "./tests/security" {
		return nil
	}
	m := mutant{name: tr.name, pkg: tr.pkg, test: "TestContainerRuns/root"}
	return &trial{mutant: &m, binary: tr.binary, homerun: tr.homerun, env: tr.env, healthy: true}
}

// takeOut runs, for each mutant, its test without the defence, which must
// fail; and each such test with all defences, which must pass, unless -unmutated=false.
func takeOut(t *testing.T, list []*mutant) {
	wanted := regexp.MustCompile(*only)
	list = slices.DeleteFunc(slices.Clone(list), func(m *mutant) bool { return !wanted.MatchString(m.name) })
	dir, err := filepath.Abs(filepath.Join(repository, "bin/test/mutants"))
	if err == nil {
		err = errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	b := &builder{dir: dir, dependencies: map[string]string{}}
	var bit, lacking int
	queues := map[place][]*trial{}
	for _, m := range list {
		if m.place() == nowhere {
			fmt.Printf("%-40s not run: needs %s, which is nowhere here\n", m.name, strings.Join(m.needs, ", "))
			lacking++
			continue
		}
		bit++
		queues[m.place()] = append(queues[m.place()], &trial{mutant: m})
	}
	start := time.Now()
	var machines sync.WaitGroup
	for _, p := range []place{machineUser, machineRoot, onHost} {
		var trials []*trial
		for tr := range b.buildAll(t, queues[p]) {
			if p != onHost {
				trials = append(trials, tr)
				continue
			}
			output, status, took := tr.run()
			tr.report(t, output, status, took)
		}
		if len(trials) > 0 { // most of its time a machine waits: what is next is built and runs beside it
			machines.Go(func() { inMachine(t, p, b.dir, trials) })
		}
	}
	machines.Wait()
	fmt.Printf("%d mutants in %.0f s; %d not run\n", bit, time.Since(start).Seconds(), lacking)
}

// baseline has the tests of a queue to run with all defences: that of several mutants once.
func baseline(queue []*trial) []*trial {
	var list []*trial
	seen := map[string]bool{}
	for _, tr := range queue {
		if key := tr.pkg + " " + tr.test; !seen[key] {
			seen[key] = true
			m := mutant{name: "unmutated", pkg: tr.pkg, test: tr.test}
			list = append(list, &trial{mutant: &m, healthy: true})
		}
	}
	return list
}

// buildAll builds what belongs in one place, the next while one runs; what has all
// defences comes first.
func (b *builder) buildAll(t *testing.T, queue []*trial) <-chan *trial {
	if *unmutated {
		queue = slices.Concat(baseline(queue), queue)
	}
	built := make(chan *trial, 4)
	go func() {
		defer close(built)
		for _, tr := range queue {
			start := time.Now()
			if err := b.build(tr); err != nil {
				t.Errorf("%s: %v", tr.name, err)
				continue
			}
			tr.build = time.Since(start)
			built <- tr
			if alive := tr.alive(); alive != nil {
				built <- alive
			}
		}
	}()
	return built
}

// report prints one line for each trial, and what a test said that behaved
// otherwise than it should.
func (tr *trial) report(t *testing.T, output string, status int, took time.Duration) {
	want := failed
	if tr.healthy {
		want = passed
	}
	got := tr.judge(output, status)
	if got == want && tr.healthy && tr.build == 0 {
		return
	}
	fmt.Printf("%-40s %-6s  built in %4.1f s, ran %4.1f s  %s %s\n", tr.name, got, tr.build.Seconds(), took.Seconds(), tr.pkg, tr.test)
	switch {
	case got == want:
	case got == passed:
		t.Errorf("%s: %s %s passes without the defence: %s", tr.name, tr.pkg, tr.test, tr.title)
	default:
		t.Errorf("%s: %s %s: %s (status %d), want it %s\n%s", tr.name, tr.pkg, tr.test, got, status, want, tail(output))
	}
}

func tail(text string) string {
	const most = 8 << 10
	if len(text) > most {
		return "..." + text[len(text)-most:]
	}
	return text
}

// run runs a trial here. The mounts that it makes end with it, whatever its
// defences let through. Its binary is alone in a directory: a test that puts a
// program beside itself would otherwise put it beside another trial, too.
func (tr *trial) run() (output string, status int, took time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), testLimit+10*time.Second)
	defer cancel()
	dir, err := os.MkdirTemp(filepath.Dir(tr.binary), "alone-")
	if err != nil {
		return err.Error(), -1, 0
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, filepath.Base(tr.binary))
	if err := os.Link(tr.binary, binary); err != nil {
		return err.Error(), -1, 0
	}
	cmd := exec.CommandContext(ctx, binary, tr.arguments()...)
	cmd.Dir = filepath.Join(repository, tr.pkg)
	cmd.Env = append(os.Environ(), tr.env...)
	cmd.WaitDelay = time.Second
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	start := time.Now()
	err = cmd.Run()
	if cmd.ProcessState == nil {
		return err.Error(), -1, 0
	}
	return out.String(), cmd.ProcessState.ExitCode(), time.Since(start)
}

func (tr *trial) arguments() []string {
	return []string{"-test.v", "-test.count=1", "-test.timeout=" + testLimit.String(), "-test.run=" + tr.pattern()}
}

// builder builds what trials need; go's cache makes that quick.
type builder struct {
	dir string
	// dependencies has for each package's tests the folders they are built of.
	dependencies map[string]string
}

// build makes the test binary, and for end-to-end tests homerun.
func (b *builder) build(tr *trial) error {
	dir := filepath.Join(b.dir, tr.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	overlay, err := tr.overlay(dir)
	if err != nil {
		return err
	}
	endToEnd := strings.HasPrefix(tr.pkg, "./tests")
	if endToEnd {
		if tr.homerun, err = b.homerun(tr, dir, overlay); err != nil {
			return err
		}
		tr.env = append(tr.env, "HOMERUN="+tr.homerun)
	}
	if len(overlay) > 0 {
		tr.env = append(tr.env, "GOFLAGS="+overlay[0])
	}
	own := dir
	if touched, err := b.touches(tr); err != nil {
		return err
	} else if !touched { // the unmutated one serves
		own, overlay = filepath.Join(b.dir, "unmutated"), nil
		if err := os.MkdirAll(own, 0o755); err != nil {
			return err
		}
	}
	tr.binary = filepath.Join(own, strings.ReplaceAll(strings.TrimPrefix(tr.pkg, "./"), "/", "_")+".test")
	if _, err := os.Stat(tr.binary); err == nil {
		return nil
	}
	return b.goTool(append(append([]string{"test", "-c", "-ldflags=-s -w", "-o", tr.binary}, overlay...), tr.pkg))
}

// overlay writes what go build -overlay takes.
func (tr *trial) overlay(dir string) ([]string, error) {
	files, err := tr.mutated()
	if err != nil || len(files) == 0 {
		return nil, err
	}
	replace := map[string]string{}
	for name, text := range files {
		from, err := filepath.Abs(filepath.Join(repository, name))
		if err != nil {
			return nil, err
		}
		to := filepath.Join(dir, strings.ReplaceAll(name, "/", "_")+".txt") // not a .go file, which would be part of ./...
		if err := os.WriteFile(to, []byte(text), 0o644); err != nil {
			return nil, err
		}
		replace[from] = to
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "overlay.json")
	return []string{"-overlay=" + path}, os.WriteFile(path, text, 0o644)
}

// homerun builds the command, and those of its helpers that the mutant is in.
func (b *builder) homerun(tr *trial, dir string, overlay []string) (string, error) {
	for _, name := range []string{"homerun", "homerun-net", "homerun-seccomp"} {
		out := filepath.Join(dir, name)
		if _, err := os.Stat(out); err == nil {
			continue
		}
		// What a mutant is not in, make has built. homerun-seccomp is C in part, and not everywhere.
		if name == "homerun-seccomp" || name == "homerun-net" && !tr.in("cmd/"+name, "netns/") {
			err := os.Link(filepath.Join(repository, "bin", name), out)
			if err != nil && (name != "homerun-seccomp" || !errors.Is(err, os.ErrNotExist)) {
				return "", err
			}
			continue
		}
		arguments := append([]string{"build", "-ldflags=-s -w", "-o", out}, overlay...)
		if name == "homerun" {
			arguments[1] += " -E main.entry"
		}
		if err := b.goTool(append(arguments, "./cmd/"+name)); err != nil {
			return "", err
		}
	}
	return filepath.Join(dir, "homerun"), nil
}

// in reports whether the mutant changes a file below one of the folders.
func (tr *trial) in(folders ...string) bool {
	return slices.ContainsFunc(tr.hunks, func(h hunk) bool {
		return slices.ContainsFunc(folders, func(f string) bool { return strings.HasPrefix(h.file, f) })
	})
}

// touches reports whether the mutant is in the test binary itself.
func (b *builder) touches(tr *trial) (bool, error) {
	if b.dependencies[tr.pkg] == "" {
		cmd := exec.Command("go", "list", "-test", "-deps", "-f", "{{.Dir}}", tr.pkg)
		cmd.Dir = repository
		text, err := cmd.Output()
		if err != nil {
			return false, fmt.Errorf("go list %s: %w", tr.pkg, err)
		}
		b.dependencies[tr.pkg] = string(text)
	}
	for _, h := range tr.hunks {
		dir, err := filepath.Abs(filepath.Join(repository, filepath.Dir(h.file)))
		if err != nil {
			return false, err
		}
		if strings.Contains(b.dependencies[tr.pkg], dir+"\n") {
			return true, nil
		}
	}
	return false, nil
}

func (b *builder) goTool(arguments []string) error {
	cmd := exec.Command("go", arguments...)
	cmd.Dir = repository
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(arguments, " "), err, text)
	}
	return nil
}
