package tests

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cmdKilled runs the bundle N times and kills the runtime each time, a little
// later than the time before, from its first moment to LONGEST. The program
// must end by itself soon. Whatever else the runtime had started must too:
//
//	killed N LONGEST
func cmdKilled(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "killed N LONGEST")
	rounds, err := strconv.Atoi(args[0])
	ts.Check(err)
	longest, err := time.ParseDuration(args[1])
	ts.Check(err)
	survived := 0
	for i := range rounds {
		line := runnerOf(ts).runtime(ts, "run", fmt.Sprint("k", i))
		cmd := exec.Command("/usr/bin/env", line...)
		cmd.Dir, cmd.Env = ts.MkAbs("."), environ(ts)
		ts.Check(cmd.Start())
		time.Sleep(longest * time.Duration(i) / time.Duration(rounds))
		cmd.Process.Kill()
		if cmd.Wait() == nil {
			survived++
		}
		if left := endChildren(3 * time.Second); len(left) > 0 {
			ts.Fatalf("round %d of %d: left running: %q", i, rounds, left)
		}
	}
	ts.Logf("%s", fmt.Sprintf("%d of %d ended before they were killed", survived, rounds))
	if survived > rounds*9/10 {
		ts.Fatalf("only %d of %d were killed in time", rounds-survived, rounds)
	}
}

// cmdOutlives executes a program that no other signal ends in a container, with flags of
// exec, and kills the runtime when that runs. The program outlives it, or does not:
//
//	[!] outlives ID [FLAG...]
func cmdOutlives(ts *script, neg bool, args []string) {
	usage(ts, len(args) == 0, "[!] outlives ID [FLAG...]")
	ready := ts.MkAbs("out/ready")
	line := runnerOf(ts).runtime(ts, "exec", append(args[1:], args[0], "sh", "-c",
		`trap "" TERM INT HUP; echo >/out/ready; while sleep 0.05; do : outlives; done`)...)
	cmd := exec.Command("/usr/bin/env", line...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), environ(ts)
	ts.Check(cmd.Start())
	for limit := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(ready); err == nil {
			break
		} else if time.Now().After(limit) {
			ts.Fatalf("the program does not run")
		}
	}
	ts.Check(os.Remove(ready))
	cmd.Process.Kill()
	cmd.Wait()
	grace := time.Second
	if neg {
		grace *= 10
	}
	var left []child
	for limit := time.Now().Add(grace); ; time.Sleep(5 * time.Millisecond) {
		left = slices.DeleteFunc(children(), func(c child) bool { return !strings.Contains(c.text, ": outlives") })
		if len(left) == 0 || time.Now().After(limit) {
			break
		}
	}
	for _, c := range left {
		unix.Kill(c.pid, unix.SIGKILL)
		unix.Wait4(c.pid, nil, 0, nil)
	}
	if len(left) > 0 == neg {
		ts.Fatalf("%d programs outlive it", len(left))
	}
}
