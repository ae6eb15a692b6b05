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

// machines is how many run side by side, each with one processor, besides those of kernels.
const machines = 2

// kernels are those that a test may need which no other machine has. The reason with which it skips elsewhere begins so;
// it goes to the machine with that kernel (hack/machine run --kernel), and to no other.
var kernels = [...]struct{ reason, name string }{{"needs a stock kernel", "stock"}, {"needs SELinux", "selinux"}}

// inMachine runs these tests. All that a machine runs share one boot, which costs more than
// most tests.
func (r *runner) inMachine(user string, tests []test) error {
	jobs, err := r.compile(user, byPackage(tests))
	if err != nil {
		return err
	}
	parts := share(jobs, machines)
	failed := make([]error, len(parts))
	var group sync.WaitGroup
	for i, part := range parts {
		group.Go(func() { failed[i] = r.boot(fmt.Sprint(user, i), script(part), "--user", user) })
	}
	group.Wait()
	return errors.Join(failed...)
}

// onKernel runs these tests in one machine with a kernel of that name, as its root, who can become anybody: it boots slowly.
func (r *runner) onKernel(name string, tests []test) error {
	jobs, err := r.compile(name, byPackage(tests))
	if err != nil {
		return err
	}
	return r.boot(name, "export HOMERUN_TEST_KERNEL="+name+"\n"+script(jobs), "--kernel", name, "--user", "root")
}

// share deals the tests of each package out to the machines in turn: one package has tests
// that together wait for longer than those of all others.
func share(jobs []job, n int) (parts [][]job) {
	dealt := 0
	parts = make([][]job, n)
	for _, j := range jobs {
		hands := make([][]string, n)
		for _, t := range j.tests {
			hands[dealt%n] = append(hands[dealt%n], t)
			dealt++
		}
		for i, tests := range hands {
			if part := j; len(tests) > 0 {
				part.tests = tests
				parts[i] = append(parts[i], part)
			}
		}
	}
	return parts[:min(n, dealt)]
}

// boot runs a script of tests in a machine with these options.
func (r *runner) boot(name, text string, options ...string) error {
	path, err := writeScript(name, text)
	if err != nil {
		return err
	}
	cmd := exec.Command(r.machine, append(append([]string{"run"}, options...), "--timeout", "900", "--", "sh", path)...)
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

// compile builds the test binary of each package, in a directory of the place they are
// for: another machine may be running its own.
func (r *runner) compile(place string, tests map[string][]string) ([]job, error) {
	var jobs []job
	for _, pkg := range slices.Sorted(maps.Keys(tests)) {
		dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", pkg).Output()
		if err != nil {
			return nil, fmt.Errorf("go list %s: %w", pkg, err)
		}
		binary, err := filepath.Abs(filepath.Join(binaries, place, strings.ReplaceAll(pkg, "/", "_")))
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

// writeScript writes what a machine runs.
func writeScript(name, text string) (string, error) {
	path, err := filepath.Abs(filepath.Join(binaries, name+".sh"))
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(path, []byte(text), 0o644)
}

// script runs the tests of these packages. It ends well whatever they do, so that a bad
// exit status means that the machine itself failed.
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
