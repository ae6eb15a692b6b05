// Engines spends a day with each container engine, on homerun and on the runtime that the engine has by itself, and compares
// step by step what came of it: podman (of a user, and of root), docker, containerd's own client and nerdctl, Kubernetes'
// interface (CRI) of containerd, and the tools around podman.
//
// A part is a file of shell functions in tests/engines, which the script `run` there runs in the test machine: once on each runtime, in two
// machines at a time. A step fails when its exit status is not what the script wants, or when on homerun it ends otherwise, says
// something else or leaves more than on the other runtime does. What differs and may is in the file `differences`, with a reason.
//
//	go run ./hack/engines [-part NAME,...] [-group PATTERN] [-again] [-v]
//
// Results go to .out/conformance/engines-PART-RUNTIME.json, of which `go run ./hack/conformance` makes docs/conformance.md.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
)

// part is what some files of steps are about.
type part struct {
	name string
	// user of the test machine.
	user string
	// peer is the runtime that the engine has by itself.
	peer string
	// scripts are the files' names, with commas.
	scripts string
}

func parts() []part {
	return []part{
		{name: "podman", user: "dev", peer: "crun", scripts: "podman"},
		{name: "podman-root", user: "root", peer: "crun", scripts: "podman"},
		{name: "tools", user: "dev", peer: "crun", scripts: "tools"},
		{name: "docker", user: "root", peer: "runc", scripts: "docker"},
		{name: "containerd", user: "root", peer: "runc", scripts: "containerd"},
		{name: "nerdctl", user: "root", peer: "runc", scripts: "nerdctl"},
		{name: "cri", user: "root", peer: "runc", scripts: "cri"},
	}
}

func main() {
	only := flag.String("part", "", "run these parts alone: names with commas")
	group := flag.String("group", "", "run the groups alone that match this regular expression; what is kept of the others stays, for -again")
	out := flag.String("out", ".out/conformance", "directory for the results")
	verbose := flag.Bool("v", false, "show all steps side by side, not only those that differ")
	again := flag.Bool("again", false, "compare what the last run printed, which is kept in .out/engines")
	flag.Parse()
	d := day{out: os.Stdout, results: *out, kept: ".out/engines", again: *again, group: *group, verbose: *verbose, limit: 50 * time.Minute}
	chosen, err := choose(parts(), *only)
	good := err == nil
	complain(err)
	for _, p := range chosen {
		ok, err := d.spend(p)
		complain(err)
		good = good && ok && err == nil
	}
	if !good {
		os.Exit(1)
	}
}

func complain(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "engines:", err)
	}
}

// choose returns the parts with these names, which stand with commas between them; without any it is all parts.
func choose(all []part, names string) (chosen []part, err error) {
	if names == "" {
		return all, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		at := slices.IndexFunc(all, func(p part) bool { return p.name == name })
		if at < 0 {
			var known []string
			for _, p := range all {
				known = append(known, p.name)
			}
			return nil, fmt.Errorf("-part %s: no part %q; the parts are %s", names, name, strings.Join(known, ", "))
		}
		chosen = append(chosen, all[at])
	}
	return chosen, nil
}

// day is how a day is spent.
type day struct {
	out     io.Writer
	results string
	kept    string
	again   bool
	group   string
	verbose bool
	limit   time.Duration
}

// spend runs a part on both runtimes, prints the steps side by side, and writes the results down. It reports whether all was well.
func (d day) spend(p part) (bool, error) {
	known, err := readDifferences("tests/engines/differences", p.name)
	if err != nil {
		return false, err
	}
	begin := time.Now()
	ours, theirs, err := d.both(p)
	if err != nil {
		return false, err
	}
	r := compare(ours.steps, theirs.steps, known)
	r.print(d.out, p, d.verbose)
	fmt.Fprintf(d.out, "%s: %d passed, %d differing as listed, %d failed, %.0f s\n", p.name, len(r.passed), len(r.differing), len(r.failed),
		time.Since(begin).Seconds())
	if d.group == "" {
		if missing := slices.Concat(ours.lacks(), theirs.lacks()); len(missing) > 0 {
			return false, fmt.Errorf("%s: groups that did not run to their end, so this is no result: %q", p.name, missing)
		}
		if unused := r.unused(known); len(unused) > 0 {
			return false, fmt.Errorf("%s: listed in differences, and the same on both: %q", p.name, unused)
		}
		if err := d.save(p, ours, theirs, r); err != nil {
			return false, err
		}
	}
	return len(r.failed) == 0 && len(r.passed) > 0, nil
}

// normal takes out of a line what differs from one run to the next, and the runtime's name.
func normal(line string) string {
	for _, n := range []struct{ expression, name string }{
		{`[0-9a-f]{64}`, "ID"},
		{`\b[0-9a-f]{12}\b`, "ID"},
		{`/var/tmp/engines\.\w+`, "WORK"},
		{`(/[\w./-]+/)?\b(homerun|crun|runc)\b`, "RUNTIME"},
		{`\d{4}-\d\d-\d\d[T ][\d:.]+( ?[+-]\d{4} UTC|Z)?`, "TIME"},
	} {
		line = regexp.MustCompile(n.expression).ReplaceAllString(line, n.name)
	}
	return line
}

func sameLines(a, b []string) bool {
	return slices.EqualFunc(a, b, func(x, y string) bool { return normal(x) == normal(y) })
}
