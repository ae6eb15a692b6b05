// Package oci runs the validation programs of OCI runtime-tools, which other people
// wrote, against homerun. KNOWN.md has the ones that fail, and why. The programs
// are tools of the module in suite, so that homerun's own has nothing of them.
//
// RUNTIME names another runtime, such as crun. What it then fails at is no failure of
// the test. HOMERUN_CONFORMANCE is a directory for the result: tests/conformance.
package oci

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/again"
	"github.com/homerun-oci/homerun/tests/conformance"
)

const (
	programs = "../../bin/test/oci"
	homerun  = "../../bin/homerun"
	module   = "github.com/opencontainers/runtime-tools"
	// sideBySide is how many programs run at a time: most of their time they sleep.
	sideBySide = 12
)

func TestMain(m *testing.M) { os.Exit(again.Alone(m.Run)) }

// TestValidation runs all programs and compares what failed with KNOWN.md.
func TestValidation(t *testing.T) {
	version := build(t)
	if os.Getuid() != 0 || os.Getenv("HOMERUN_TEST_MACHINE") == "" {
		t.Skip("not root of the test machine: what fails depends on cgroups, capabilities and the kernel")
	}
	runtime := runtime(t)
	says, err := exec.Command(runtime, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	r := conformance.New("OCI runtime-tools", version, filepath.Base(runtime), string(says))
	known, err := conformance.ReadKnown("KNOWN.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all(t) {
		if failures := p.failures(); len(failures) > 0 {
			r.Failed = append(r.Failed, conformance.Finding{Name: p.name, Reason: strings.Join(failures, "\n")})
		} else {
			r.Passed++
		}
	}
	if r.Runtime == "homerun" {
		if err := known.Explain(&r); err != nil {
			t.Error(err)
		}
	}
	if dir := os.Getenv("HOMERUN_CONFORMANCE"); dir != "" {
		if err := r.Save(dir); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d passed, %d failed", r.Passed, len(r.Failed))
}

// build makes the programs, the one that they run inside, and the files that they
// look for, and returns the version. Without a go command they must be there.
func build(t *testing.T) (version string) {
	versionFile := filepath.Join(programs, "VERSION")
	if _, err := exec.LookPath("go"); err != nil {
		text, err := os.ReadFile(versionFile)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	run := func(arguments ...string) string {
		cmd := exec.Command("go", arguments...)
		cmd.Dir, cmd.Env, cmd.Stderr = "suite", append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", cmd, err)
		}
		return strings.TrimSpace(string(out))
	}
	target := absolute(t, programs)
	if err := os.MkdirAll(target, 0o755); err != nil {
		t.Fatal(err)
	}
	run("build", "-trimpath", "-ldflags=-s -w", "-o", target+"/", "tool")
	dir, version, _ := strings.Cut(run("list", "-m", "-f", "{{.Dir}} {{.Version}}", module), " ")
	archives, err := filepath.Glob(filepath.Join(dir, "rootfs-*.tar.gz"))
	if err != nil || len(archives) == 0 {
		t.Fatalf("no root file system in %s: %v", dir, err)
	}
	for _, archive := range archives {
		text, err := os.ReadFile(archive)
		if err == nil {
			err = os.WriteFile(filepath.Join(target, filepath.Base(archive)), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(versionFile, []byte(version+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return version
}

// runtime is the command of the one that is tested.
func runtime(t *testing.T) string { return cmp.Or(os.Getenv("RUNTIME"), absolute(t, homerun)) }

func absolute(t *testing.T, path string) string {
	t.Helper()
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// program is one of them, and what it said.
type program struct {
	name           string
	stdout, stderr bytes.Buffer
	err            error
}

// races has the programs that do not wait for the container's own program to come as far
// as they suppose, and what they say when it has not: on any runtime, now and then. One
// sends signals to a shell that may not have run trap yet; the other one wants the shell's
// line in a file before that of a hook, which comes when the shell has been executed.
var races = map[string]string{
	"killsig":   "`kill` operation MUST send the specified signal to the container process",
	"poststart": "The post-start hooks MUST be called after the user-specified process is executed",
}

// raced reports whether a program failed in that way, and in no other.
func (p *program) raced() bool {
	words, failures := races[p.name], p.failures()
	return words != "" && len(failures) > 0 && !slices.ContainsFunc(failures, func(f string) bool { return !strings.Contains(f, words) })
}

// hurried are the programs that give a step of theirs no more than seconds: they run alone,
// when the others have ended.
var hurried = []string{"hooks_stdin", "linux_ns_path"}

// sharesCgroup reports whether a program uses the cgroup `cgrouptest`, which several do:
// beside another one it would fail for that, and not for what it is about.
func (p *program) sharesCgroup() bool {
	return strings.HasPrefix(p.name, "linux_cgroups_") || strings.HasSuffix(p.name, "_resources")
}

// all runs all programs, once. One that has lost a race runs a second time.
func all(t *testing.T) []*program {
	entries, err := os.ReadDir(programs)
	if err != nil {
		t.Fatal(err)
	}
	var list []*program
	var group sync.WaitGroup
	places := make(chan struct{}, sideBySide)
	var ofOne sync.Mutex
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode().Perm()&0o111 == 0 || entry.Name() == "runtimetest" {
			continue
		}
		p := &program{name: entry.Name()}
		if list = append(list, p); slices.Contains(hurried, p.name) {
			continue
		}
		group.Go(func() {
			if p.sharesCgroup() {
				ofOne.Lock()
				defer ofOne.Unlock()
			}
			places <- struct{}{}
			defer func() { <-places }()
			p.run(t)
			if p.raced() {
				t.Logf("%s was too early, and runs once more: %q", p.name, p.failures())
				p.run(t)
			}
		})
	}
	group.Wait()
	for _, p := range list {
		if slices.Contains(hurried, p.name) {
			p.run(t)
		}
	}
	if len(list) < 50 {
		t.Fatalf("only %d programs in %s", len(list), programs)
	}
	return list
}

func (p *program) run(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	p.stdout.Reset()
	p.stderr.Reset()
	cmd := exec.CommandContext(ctx, absolute(t, filepath.Join(programs, p.name)))
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = programs, &p.stdout, &p.stderr, 10*time.Second
	cmd.Env = append(os.Environ(), "RUNTIME="+runtime(t))
	p.err = cmd.Run()
}

// failures are the points that are not ok; one that says no more than a runtime's exit
// status has homerun's words as well. Some programs have no points, and print an error, or
// their status is one. Containers have random ids there: ID.
func (p *program) failures() (all []string) {
	points := conformance.ParseTAP(p.stdout.String())
	stderr := containerID.ReplaceAllString(p.stderr.String(), "ID")
	for _, point := range points {
		switch {
		case !point.Failed:
		case exitStatus.MatchString(point.Name) && strings.Contains(stderr, said):
			for line := range strings.Lines(stderr) {
				if strings.HasPrefix(line, said) {
					all = append(all, point.Name+" -- "+strings.TrimSpace(line))
				}
			}
		default:
			all = append(all, point.Name)
		}
	}
	for line := range strings.Lines(p.stdout.String()) {
		if text, is := strings.CutPrefix(strings.TrimSpace(line), `"error": "`); is && len(points) == 0 {
			text, _, _ = strings.Cut(text, `\n`)
			all = append(all, strings.Trim(text, `"`))
		}
	}
	switch text := strings.ReplaceAll(strings.TrimSpace(stderr), "\n", "; "); {
	case p.err == nil:
	case text != "" && errors.As(p.err, new(*exec.ExitError)):
		all = append(all, text)
	default: // its output stayed open, say
		all = append(all, p.err.Error())
	}
	return slices.Compact(all)
}

// said begins each of homerun's errors.
const said = "homerun: "

var (
	containerID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	exitStatus  = regexp.MustCompile(`exit status \d+$`)
)

// TestFailures: what a program says of a runtime that failed is what that said.
func TestFailures(t *testing.T) {
	const id = "67ddde01-ff72-4563-b423-c976b95778d6"
	for _, test := range []struct{ stdout, stderr, want string }{
		{"ok 1 - x\n", "", ""},
		{"ok 1 - it fails\n  {\n    \"error\": \"exit status 1\",\n", "", ""},
		{"1..0\n  \"error\": \"Hooks MUST be called\\nRefer to: x\",\n", "", "Hooks MUST be called"},
		{"not ok 1 - find pids cgroup\n", "homerun: warning: x\n", "find pids cgroup"},
		{"not ok 1 - exit status 1\n", "", "exit status 1"},
		{"not ok 1 - exit status 1\n", "failed to create the container\nhomerun: create " + id + ": no\n", "exit status 1 -- homerun: create ID: no"},
		{"not ok 1 - run: exit status 1\nnot ok 2 - run: exit status 1\n", "homerun: create " + id + ": no\nhomerun: create " + id + ": ever\n",
			"run: exit status 1 -- homerun: create ID: ever|run: exit status 1 -- homerun: create ID: no"},
	} {
		p := &program{}
		p.stdout.WriteString(test.stdout)
		p.stderr.WriteString(test.stderr)
		got := p.failures()
		slices.Sort(got)
		if got := strings.Join(slices.Compact(got), "|"); got != test.want {
			t.Errorf("%q: %q, not %q", test.stdout+test.stderr, got, test.want)
		}
	}
	p := &program{err: &exec.ExitError{}}
	if p.stderr.WriteString("failed to create the container\nhomerun: create " + id + ": no\n"); p.failures()[0] != "failed to create the container; homerun: create ID: no" {
		t.Errorf("%q", p.failures())
	}
}

// TestRaced: no failure but that of a race is tried once more.
func TestRaced(t *testing.T) {
	const signal, order = "not ok 1 - " + "`kill` operation MUST send the specified signal to the container process\n", "The post-start hooks MUST be called after the user-specified process is executed"
	for _, test := range []struct {
		name, stdout, stderr string
		want                 bool
	}{
		{"killsig", "ok 1 - x\n", "", false},
		{"killsig", signal, "", true},
		{"kill", signal, "", false},
		{"killsig", signal + "not ok 2 - something else\n", "", false},
		{"killsig", signal, "the status is 1", false},
		{"poststart", `  "error": "` + order + `\nRefer to: x",`, "", true},
		{"poststart", `  "error": "The poststart hooks MUST be invoked by the runtime\nRefer to: x",`, "", false},
	} {
		p := &program{name: test.name}
		p.stdout.WriteString(test.stdout)
		if p.stderr.WriteString(test.stderr); test.stderr != "" {
			p.err = &exec.ExitError{}
		}
		if got := p.raced(); got != test.want {
			t.Errorf("%s: %q: %v, not %v", test.name, test.stdout+test.stderr, got, test.want)
		}
	}
}
