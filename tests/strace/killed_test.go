package strace

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestFirstProcessIsKilled kills the first process while init, whose seccomp listener it
// is to pass on, needs it: just after it has made init, which waits for it then, and
// before it takes the listener. The runtime says so and ends, and nothing is left.
func TestFirstProcessIsKilled(t *testing.T) {
	for name, test := range map[string]struct{ verb, call, want string }{
		"run":              {"run", "dup3", "init died before the container's program ran: killed by SIGKILL"},
		"create":           {"create", "dup3", "init died before the container's program ran: killed by SIGKILL"},
		"without listener": {"run", "recvfrom", "pass the seccomp listener on (linux.seccomp.listenerPath): the process that does it has ended before"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, false)
			b.global = []string{"--cgroup-manager", "disabled"}
			b.config.Process.Args = []string{"sleep", "1"}
			b.askAgent()
			b.save()
			calls := b.trace("run", b.id).calls()
			n := 0 // the last of them is for init
			for _, c := range of(calls, stagePid(calls, b.stageName())) {
				if strings.Contains(c.text, "homerun:watch") {
					break // from here on init does without it
				}
				if strings.HasPrefix(c.text, test.call+"(") {
					n++
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var stderr bytes.Buffer
			kill := fmt.Sprintf("inject=%s:signal=KILL:when=%d", test.call, n)
			err := b.start(ctx, &bytes.Buffer{}, &stderr, append([]string{tool(t, "strace"), "-f", "-o", "/dev/null", "-e", kill}, b.verb(test.verb, b.id)...)...).Wait()
			if ctx.Err() != nil || err == nil || !strings.Contains(stderr.String(), test.want) {
				t.Errorf("%v, %v: %s", ctx.Err(), err, stderr.String())
			}
			if left, err := os.ReadDir(b.root); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}
