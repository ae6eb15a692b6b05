// Testrun runs the tests where they can run, and counts a test that ran
// nowhere as failed when CI=true.
//
// A test that finds its host lacking (no systemd, no cgroup v2, no user
// session, not root) calls t.Skip and says what it misses. Testrun runs all
// tests on this host first. The skipped ones are then compiled, taken to the
// test machine (hack/machine) and run there by its ordinary user, and those
// skipped there too by its root. Those that say they need a stock kernel, or
// SELinux, run beside these, in machines that have it. So no list says which
// test needs what, and a test that nobody ever runs is seen.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

func main() {
	machine := flag.String("machine", "hack/machine", "program that runs a command in the test machine; empty for none")
	flag.Parse()
	r := runner{out: os.Stdout, machine: *machine, strict: os.Getenv("CI") == "true"}
	if err := r.run(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "testrun:", err)
		os.Exit(1)
	}
}

// runner runs tests in one place after the other.
type runner struct {
	out     io.Writer
	machine string
	strict  bool
	results results
	// lock is for the output of a package, and what it says: machines run side by side.
	lock sync.Mutex
}

// run returns an error unless every test passed somewhere.
func (r *runner) run(packages []string) error {
	r.results = results{}
	fmt.Fprintln(r.out, "== this host")
	if err := r.host(packages); err != nil {
		return err
	}
	if r.machine != "" {
		r.inMachines()
	}
	return r.conclude()
}

// inMachines runs what was skipped on this host.
func (r *runner) inMachines() {
	var group sync.WaitGroup
	defer group.Wait()
	special, _ := r.skipped()
	group.Go(func() {
		for _, k := range kernels {
			r.elsewhere(k.name+" kernel, as root", special[k.name], func(tests []test) error { return r.onKernel(k.name, tests) })
		}
	})
	for _, user := range []string{"dev", "root"} {
		_, tests := r.skipped()
		r.elsewhere("test machine, as "+user, tests, func(tests []test) error { return r.inMachine(user, tests) })
	}
}

// skipped is what has not run yet: the tests that need one of kernels, by its name, and the others.
func (r *runner) skipped() (special map[string][]test, others []test) {
	r.lock.Lock()
	defer r.lock.Unlock()
	special = map[string][]test{}
	for _, t := range r.results.skipped() {
		if name := kernelFor(r.results[t].reason); name != "" {
			special[name] = append(special[name], t)
		} else {
			others = append(others, t)
		}
	}
	return special, others
}

// kernelFor is the name of the kernel that a test needs which skipped for this reason; empty for any.
func kernelFor(reason string) string {
	for _, k := range kernels {
		if strings.Contains(reason, k.reason) {
			return k.name
		}
	}
	return ""
}

// elsewhere runs these tests in another place, if there are any.
func (r *runner) elsewhere(where string, tests []test, run func([]test) error) {
	if len(tests) == 0 {
		return
	}
	r.say("== %s: %d tests that could not run so far", where, len(tests))
	if err := run(tests); err != nil {
		r.say("%s: the test machine did not run: %v", where, err)
	}
}

// say prints a line while machines may run.
func (r *runner) say(format string, args ...any) {
	r.lock.Lock()
	defer r.lock.Unlock()
	fmt.Fprintf(r.out, format+"\n", args...)
}

// conclude prints what the machines that watch builds look for: a last line
// with both counts.
func (r *runner) conclude() error {
	passed, failed, skipped := r.results.count(pass), r.results.count(fail), r.results.skipped()
	for _, t := range skipped {
		fmt.Fprintf(r.out, "not run anywhere: %s: %s\n", t, r.results[t].reason)
	}
	if r.strict {
		failed += len(skipped)
	}
	fmt.Fprintf(r.out, "%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return fmt.Errorf("%d tests failed", failed)
	}
	return nil
}
