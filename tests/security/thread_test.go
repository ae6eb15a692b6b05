package security

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestFirstThreadEnds: a program that ends its first thread, as any may, and goes on
// in another one looks like a zombie, and has no namespaces in /proc. Its container
// runs on: it is listed, is not deleted, and delete --force ends it.
func TestFirstThreadEnds(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		for _, pids := range []bool{true, false} {
			b := newBundle(t, c, "headless")
			if !pids {
				b.spec.Linux.Namespaces = withoutNamespace(b.spec.Linux.Namespaces, specs.PIDNamespace)
				b.spec.Mounts = without(b.spec.Mounts, "/proc")
				b.spec.Linux.MaskedPaths, b.spec.Linux.ReadonlyPaths = nil, nil
			}
			r := b.start()
			pid := r.firstThreadEnds()
			pidfd, err := unix.PidfdOpen(pid, 0)
			must(t, err)
			defer unix.Close(pidfd)
			if got := c.homerun(t, "ps", "--format", "json", b.id()); strings.Join(strings.Fields(got.stdout), "") != fmt.Sprintf("[%d]", pid) {
				t.Errorf("PID namespace %v: ps: %q, want process %d; %s", pids, got.stdout, pid, got.stderr)
			}
			if got := c.homerun(t, "exec", b.id(), "/true"); got.status != 255 || !strings.Contains(got.stderr, "the first thread of the container's init has ended") {
				t.Errorf("PID namespace %v: exec: %d, %s", pids, got.status, got.stderr)
			}
			if got := c.homerun(t, "delete", b.id()); got.status == 0 || !strings.Contains(got.stderr, "is not stopped") {
				t.Errorf("PID namespace %v: delete: %d, %s", pids, got.status, got.stderr)
			}
			if got := c.homerun(t, "delete", "--force", b.id()); got.status != 0 {
				t.Errorf("PID namespace %v: delete --force: %d, %s", pids, got.status, got.stderr)
			}
			if n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 0); n != 1 || err != nil {
				t.Errorf("PID namespace %v: the program runs on after delete --force: %d, %v", pids, n, err)
			}
		}
	})
}

// firstThreadEnds waits until init's first thread has ended, and returns init's id.
func (r *running) firstThreadEnds() int {
	r.t.Helper()
	var state struct {
		Status string
		Pid    int
	}
	got := r.c.homerun(r.t, "state", r.id())
	must(r.t, json.Unmarshal([]byte(got.stdout), &state))
	for end := time.Now().Add(10 * time.Second); state.Pid > 0; time.Sleep(time.Millisecond) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", state.Pid))
		must(r.t, err)
		if strings.Contains(string(text), "\nState:\tZ") {
			return state.Pid
		}
		if time.Now().After(end) {
			break
		}
	}
	r.t.Fatalf("init's first thread does not end: %+v", state)
	return 0
}
