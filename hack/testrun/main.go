// Testrun runs the tests where they can run, and counts a test that ran
// nowhere as failed when CI=true.
//
// A test that finds its host lacking (no systemd, no cgroup v2, no user
// session, not root) calls t.Skip and says what it misses. Testrun runs all
// tests on this host first. The skipped ones are then compiled, taken to the
// test machine (hack/machine) and run there by its ordinary user, and those
// skipped there too by its root. So no list says which test needs what, and
// a test that nobody ever runs is seen.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
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
	for _, user := range []string{"dev", "root"} {
		if r.machine == "" || len(r.results.skipped()) == 0 {
			break
		}
		fmt.Fprintf(r.out, "== test machine, as %s: %d tests that could not run so far\n", user, len(r.results.skipped()))
		if err := r.inMachine(user); err != nil {
			fmt.Fprintf(r.out, "the test machine did not run: %v\n", err)
		}
	}
	return r.conclude()
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
