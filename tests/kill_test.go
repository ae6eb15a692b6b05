package tests

import (
	"fmt"
	"os/exec"
	"strconv"
	"time"
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
