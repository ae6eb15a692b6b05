// Bench compares container runtimes with each other and with a floor: a C
// program that makes the system calls the container needs and nothing else.
//
// All runtimes get the same bundle. They take turns within each round, so that
// whatever else the machine does hits them alike, and ratios from one run mean
// something where milliseconds from two runs do not.
//
//	go run ./hack/bench [-n ROUNDS] [-verbs run,lifecycle,exec,state,kill] [-cpus 0] [-runtimes LIST] [-user NAME]
//	go run ./hack/bench -growth . [-n ROUNDS] [-runtimes homerun,crun] ...
//
// It works as root and as an unprivileged user. The table is Markdown.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// options are what the command line says.
type options struct {
	rounds   int
	verbs    []string
	cpus     string
	runtimes []string
	user     string
	keep     bool
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
	flag.IntVar(&o.rounds, "n", 0, "how often each command is run (default 200, with -growth 10)")
	verbs := flag.String("verbs", "run,lifecycle,exec,state,kill", "what is measured; lifecycle is create, start and delete")
	flag.StringVar(&o.cpus, "cpus", "", "pin everything to these CPUs, such as 0 or 0,1 (default: no pinning)")
	runtimes := flag.String("runtimes", "homerun,crun,runc", "names or paths; those not installed are left out")
	flag.StringVar(&o.user, "user", "", "as root: measure as this user")
	flag.BoolVar(&o.keep, "keep", false, "keep the bundle and say where it is")
	flag.StringVar(&o.growth, "growth", "", "of what matches this regular expression (all: .), how the first two runtimes grow with mounts, masks, the environment, containers, and the host's mounts")
	flag.Parse()
	if o.rounds == 0 && o.growth != "" {
		o.rounds = 10
	} else if o.rounds == 0 {
		o.rounds = 200
	}
	o.verbs, o.runtimes = strings.Split(*verbs, ","), strings.Split(*runtimes, ",")
	return o
}

func run(o options) error {
	if err := pin(o.cpus); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := showUnified(); err != nil {
			return err
		}
		if o.user != "" {
			return again(o.user)
		}
	}
	dir, err := os.MkdirTemp("", "homerun-bench-")
	if err != nil {
		return err
	}
	if o.keep {
		fmt.Fprintln(os.Stderr, "bundle in", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	// An interrupt reaches the whole process group: let the rounds fail and the clean-up run.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM)
	b, err := prepare(dir, findRuntimes(o.runtimes))
	if err != nil {
		return err
	}
	if o.growth != "" {
		return b.measureGrowth(os.Stdout, o)
	}
	s := newSamples()
	if err := b.measure(o, s); err != nil {
		return err
	}
	return report(os.Stdout, o, s)
}

// again runs this program as another user, who then sees what was prepared.
func again(name string) error {
	who, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	if err != nil {
		return err
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "HOME="+who.HomeDir, "USER="+name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return cmd.Run()
}
