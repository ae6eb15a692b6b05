package look

import (
	"bytes"
	"context"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/doctor"
)

// testLimit is how long the container may take.
const testLimit = 60 * time.Second

// Test runs a container, and reads from --debug how long its parts took. A state root
// that it made is removed.
func (l *Looker) Test(ctx context.Context, root doctor.Root) doctor.Test {
	ctx, cancel := context.WithTimeout(ctx, testLimit)
	defer cancel()
	args := []string{"--debug", "run", "--rootfs", "/", "--net", "none", "--", "true"}
	if l.StateRoot != "" {
		args = append([]string{"--root", l.StateRoot}, args...)
	}
	c := exec.CommandContext(ctx, l.Homerun, args...)
	var out bytes.Buffer
	c.Stdout, c.Stderr, c.WaitDelay = &out, &out, time.Second
	c.Cancel = func() error { return c.Process.Signal(unix.SIGTERM) }
	err := c.Run()
	if !root.There {
		_ = os.Remove(root.Path) // only if it is empty
	}
	t := doctor.Test{Done: true}
	if err == nil {
		t.Phases = phases(out.String())
		return t
	}
	if t.Trouble = complaint(out.String()); t.Trouble == "" {
		t.Trouble = err.Error()
	}
	return t
}

const debugLine = "homerun: debug:"

// complaint is the first line of what homerun says that is not for --debug, nor a note
// before the error.
func complaint(text string) string {
	found := ""
	for line := range strings.Lines(text) {
		if said, ok := strings.CutPrefix(line, "homerun: "); ok && !strings.HasPrefix(line, debugLine) {
			found = strings.TrimSpace(said)
		}
	}
	return found
}

// phases reads the lines of --debug, each of which has the time since the verb began
// at which a step does.
func phases(text string) []doctor.Phase {
	list := []doctor.Phase{{Name: "compile"}, {Name: "user namespace"}, {Name: "cgroup"}, {Name: "mounts"}, {Name: "program"}}
	const compile, user, cgroup, mounts, program = 0, 1, 2, 3, 4
	at, before := compile, 0.0
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, debugLine)
		number, what, found := strings.Cut(strings.TrimSpace(rest), " ms  ")
		now, err := strconv.ParseFloat(number, 64)
		if !ok || !found || err != nil {
			continue
		}
		if now < before { // what a host cannot do was left out, and it begins again
			at, before = compile, 0
			for i := range list {
				list[i].Milliseconds = 0
			}
		}
		list[at].Milliseconds += now - before
		before = now
		switch what = strings.TrimSpace(what); {
		case strings.HasPrefix(what, "start-stage"):
			at = user
		case strings.HasPrefix(what, "start-scope"), strings.HasPrefix(what, "await-scope"), strings.HasPrefix(what, "make-cgroup"), strings.HasPrefix(what, "write-cgroup"):
			at = cgroup
		case at == cgroup, strings.HasPrefix(what, "answer mapped"), strings.HasPrefix(what, "answer rest"), strings.HasPrefix(what, "await-program"):
			if at != program && at != compile {
				at = mounts
			}
		}
		if strings.HasPrefix(what, "fchmod(\".\", 05700)") {
			at = program
		}
	}
	for i := range list { // which had more digits than homerun says
		list[i].Milliseconds = math.Round(list[i].Milliseconds*1000) / 1000
	}
	return list
}
