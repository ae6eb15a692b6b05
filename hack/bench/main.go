// Bench compares container runtimes with each other and with a floor: a C
// program that makes the system calls the container needs and nothing else.
//
// All runtimes get the same bundles. They take turns of a few runs, so that
// whatever else the machine does hits them alike, and ratios from one run mean
// something where milliseconds from two runs do not.
//
//	go run ./hack/bench [-n ROUNDS] [-verbs LIST] [-cgroups scope,none] [-configs spec,podman] [-runtimes [NAME=]PATH,...]
//	                    [-users dev,root] [-place machine] [-cpus 0] [-json] [-write FILE.md]
//	go run ./hack/bench -growth . [-n ROUNDS] [-runtimes homerun,crun] ...
//
// Scopes need a service manager. Root's default place is therefore a throw-away
// machine on the host's own kernel (hack/machine run --native), where it measures
// once for each user; everybody else's is here, as who calls. The tables are Markdown.
// -write puts them between the two marks in a file, and a chart beside it (FILE.svg).
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// options are what the command line says.
type options struct {
	rounds   int
	verbs    []string
	cgroups  []string
	configs  []string
	runtimes []string
	users    []string
	place    string
	cpus     string
	programs string
	json     bool
	write    string
	growth   string
}

func main() {
	if err := run(parse()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse() options {
	var o options
	flag.IntVar(&o.rounds, "n", 0, "how often each command is run (default 40, with -growth 10)")
	lists := map[*[]string]*string{
		&o.verbs:    flag.String("verbs", "run,lifecycle,exec,state,kill,crowd", "what is measured; lifecycle is create, start and delete, crowd 50 runs at once, person a command on the host's own files (with -runtimes homerun,bwrap)"),
		&o.cgroups:  flag.String("cgroups", "scope,none", "whether the service manager makes a scope for each container"),
		&o.configs:  flag.String("configs", "spec,podman", "what the containers have: spec's default, or what podman asks for"),
		&o.runtimes: flag.String("runtimes", "homerun,crun", "names or [NAME=]PATHs; the first is compared with the others"),
		&o.users:    flag.String("users", "dev,root", "in the machine: who measures"),
	}
	place := "here"
	if os.Geteuid() == 0 {
		place = "machine"
	}
	flag.StringVar(&o.place, "place", place, "machine or here")
	flag.StringVar(&o.cpus, "cpus", "", "pin everything to these CPUs, such as 0 or 0,1 (default: no pinning)")
	flag.StringVar(&o.programs, "programs", "", "where the C programs are, compiled (default: does so)")
	flag.BoolVar(&o.json, "json", false, "print JSON, no tables")
	flag.StringVar(&o.write, "write", "", "a Markdown file for the tables, and beside it a chart")
	flag.StringVar(&o.growth, "growth", "", "of what matches this regular expression (all: .), how the first two runtimes grow with mounts, masks, the environment, containers, and the host's mounts")
	flag.Parse()
	if o.rounds == 0 && o.growth != "" {
		o.rounds = 10
	} else if o.rounds == 0 {
		o.rounds = 40
	}
	for list, text := range lists {
		*list = strings.Split(*text, ",")
	}
	return o
}

func run(o options) error {
	if err := pin(o.cpus); err != nil {
		return err
	}
	// An interrupt reaches the whole process group: let the rounds fail and the clean-up run.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM)
	dir, err := os.MkdirTemp("", "homerun-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.programs == "" {
		o.programs = dir + "/programs"
		if err := compilePrograms(o.programs); err != nil {
			return err
		}
	}
	var r results
	if o.growth != "" {
		return growthOf(o, dir)
	}
	if o.place == "machine" {
		r, err = inMachine(o)
	} else {
		r, err = here(o, dir)
	}
	if err != nil {
		return err
	}
	return tell(o, r)
}

// here measures as the user who calls.
func here(o options, dir string) (results, error) {
	b, err := prepare(dir, o)
	if err != nil {
		return results{}, err
	}
	s := newSamples()
	if err := b.measure(o, s); err != nil {
		return results{}, err
	}
	return b.results(s), nil
}

// growthOf prints a table; in the machine, the first user's.
func growthOf(o options, dir string) error {
	if o.place == "machine" {
		cmd, err := machine(o, o.users[0])
		if err != nil {
			return err
		}
		cmd.Stdout = os.Stdout
		return cmd.Run()
	}
	b, err := prepare(dir, o)
	if err != nil {
		return err
	}
	return b.measureGrowth(os.Stdout, o)
}

// tell prints the results, and writes them where they were asked for.
func tell(o options, r results) error {
	if o.write != "" {
		if err := write(o.write, r); err != nil {
			return err
		}
	}
	if !o.json {
		_, err := fmt.Print(r.tables())
		return err
	}
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "\t")
	return e.Encode(r)
}
