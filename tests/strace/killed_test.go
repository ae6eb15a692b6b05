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

// TestFirstProcessIsKilled kills the first process just after it has made an init that
// shares its descriptors, since a seccomp agent wants a listener: init, which waits for
// it then, and the runtime end, and nothing is left.
func TestFirstProcessIsKilled(t *testing.T) {
	for _, verb := range []string{"run", "create"} {
		t.Run(verb, func(t *testing.T) {
			b := newBox(t, false)
			b.global = []string{"--cgroup-manager", "disabled"}
			b.askAgent()
			b.save()
			calls := b.trace("run", b.id).calls()
			n := 0 // the last of its dup3 is for init
			for _, c := range of(calls, stagePid(calls, b.stageName())) {
				if strings.HasPrefix(c.text, "dup3(") {
					n++
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var stderr bytes.Buffer
			kill := fmt.Sprintf("inject=dup3:signal=KILL:when=%d", n)
			err := b.start(ctx, &bytes.Buffer{}, &stderr, append([]string{tool(t, "strace"), "-f", "-o", "/dev/null", "-e", kill}, b.verb(verb, b.id)...)...).Wait()
			if ctx.Err() != nil || err == nil || !strings.Contains(stderr.String(), "init died before the container's program ran: killed by SIGKILL") {
				t.Errorf("%v, %v: %s", ctx.Err(), err, stderr.String())
			}
			if left, err := os.ReadDir(b.root); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}
