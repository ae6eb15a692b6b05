package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// binaries is where compiled tests go. The machine shows the repository at the
// path it has here, so they are found there.
const binaries = "bin/test"

// sectionMark begins the line that says in the machine's output which
// package's tests come next.
const sectionMark = "#testrun-package "

// job is one package's tests to run in the machine.
type job struct {
	pkg    string
	dir    string
	binary string
	tests  []string
}

// machines is how many run side by side: each has one processor.
const machines = 2

// inMachine runs the tests that were skipped so far. All packages of a machine share
// one boot, which costs more than most tests.
func (r *runner) inMachine(user string) error {
	jobs, err := r.compile(byPackage(r.results.skipped()))
	if err != nil {
		return err
	}
	parts := share(jobs, machines)
	failed := make([]error, len(parts))
	var group sync.WaitGroup
	for i, part := range parts {
		group.Go(func() { failed[i] = r.boot(user, i, part) })
	}
	group.Wait()
	return errors.Join(failed...)
}

// share gives each machine about as many tests as the others; those of a package stay
// together.
func share(jobs []job, n int) (parts [][]job) {
	jobs = slices.Clone(jobs)
	slices.SortStableFunc(jobs, func(a, b job) int { return len(b.tests) - len(a.tests) })
	parts, tests := make([][]job, min(n, len(jobs))), make([]int, n)
	for _, j := range jobs {
		least := slices.Index(tests, slices.Min(tests[:len(parts)]))
		parts[least] = append(parts[least], j)
		tests[least] += len(j.tests)
	}
	return parts
}

// boot runs the tests of one machine.
func (r *runner) boot(user string, number int, jobs []job) error {
	script, err := writeScript(fmt.Sprint(user, number), jobs)
	if err != nil {
		return err
	}
	cmd := exec.Command(r.machine, "run", "--user", user, "--timeout", "900", "--", "sh", script)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	readErr := r.readSections(out)
	if err := cmd.Wait(); err != nil {
		return err
	}
	return readErr
}

// compile builds the test binary of each package.
func (r *runner) compile(tests map[string][]string) ([]job, error) {
	var jobs []job
	for _, pkg := range slices.Sorted(maps.Keys(tests)) {
		dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", pkg).Output()
		if err != nil {
			return nil, fmt.Errorf("go list %s: %w", pkg, err)
		}
		binary, err := filepath.Abs(filepath.Join(binaries, strings.ReplaceAll(pkg, "/", "_")))
		if err != nil {
			return nil, err
		}
		if text, err := exec.Command("go", "test", "-c", "-o", binary, pkg).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("go test -c %s: %w\n%s", pkg, err, text)
		}
		jobs = append(jobs, job{pkg: pkg, dir: strings.TrimSpace(string(dir)), binary: binary, tests: tests[pkg]})
	}
	return jobs, nil
}

// writeScript writes what the machine runs. It ends well whatever the tests
// do, so that a bad exit status means that the machine itself failed.
func writeScript(name string, jobs []job) (string, error) {
	path, err := filepath.Abs(filepath.Join(binaries, name+".sh"))
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(path, []byte(script(jobs)), 0o644)
}

func script(jobs []job) string {
	var b strings.Builder
	for _, j := range jobs {
		fmt.Fprintf(&b, "echo; echo '%s%s'\n", sectionMark, j.pkg)
		fmt.Fprintf(&b, "cd '%s' && HOMERUN_TEST_MACHINE=1 HOMERUN_TEST_MAY_SKIP=1 '%s' -test.v=test2json -test.timeout 10m -test.run '^(%s)$' 2>&1\n",
			j.dir, j.binary, strings.Join(j.tests, "|"))
	}
	b.WriteString("exit 0\n")
	return b.String()
}

// readSections reads the machine's output, one package's after the other.
func (r *runner) readSections(stream io.Reader) error {
	scan := bufio.NewScanner(stream)
	scan.Buffer(nil, 1<<24)
	var pkg string
	var text bytes.Buffer
	for scan.Scan() {
		if next, ok := strings.CutPrefix(scan.Text(), sectionMark); ok {
			if err := r.section(pkg, &text); err != nil {
				return err
			}
			pkg = next
			continue
		}
		fmt.Fprintln(&text, scan.Text())
	}
	return cmp.Or(scan.Err(), r.section(pkg, &text))
}

// section lets go's own tool make sense of a test binary's output. An output
// that breaks off is a failure to it.
func (r *runner) section(pkg string, text *bytes.Buffer) error {
	r.lock.Lock()
	defer r.lock.Unlock()
	if pkg == "" {
		// What the machine says before the first test.
		if before := strings.TrimSpace(text.String()); before != "" {
			fmt.Fprintln(r.out, before)
		}
		text.Reset()
		return nil
	}
	cmd := exec.Command("go", "tool", "test2json", "-t", "-p", pkg)
	cmd.Stdin = bytes.NewReader(text.Bytes())
	text.Reset()
	events, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("test2json: %w", err)
	}
	return r.readEvents(bytes.NewReader(events))
}
