package security

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestOrphansAreTaken: without a PID namespace orphans of the container come to
// run, which takes them while the program lives: it would use up the host's
// process ids with them otherwise. The exit status is the program's.
func TestOrphansAreTaken(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		b := newBundle(t, c, "orphans")
		b.spec.Linux.Namespaces = withoutNamespace(b.spec.Linux.Namespaces, specs.PIDNamespace)
		b.spec.Mounts = without(b.spec.Mounts, "/proc")
		b.spec.Linux.MaskedPaths, b.spec.Linux.ReadonlyPaths = nil, nil
		r := b.start()
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", r.cmd.Process.Pid))
			must(t, err)
			var children []string
			for _, thread := range threads {
				text, _ := os.ReadFile(thread) // it may have ended
				for _, pid := range strings.Fields(string(text)) {
					if name, _ := os.ReadFile("/proc/" + pid + "/comm"); string(name) != "homerun:watch\n" {
						children = append(children, pid)
					}
				}
			}
			if len(children) == 1 {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("children of run: %v", children)
			}
		}
		r.stdin.Close()
		_ = r.cmd.Wait()
		if got := r.cmd.ProcessState.ExitCode(); got != 7 {
			t.Errorf("exit status %d, want 7", got)
		}
	})
}

func withoutNamespace(list []specs.LinuxNamespace, kind specs.LinuxNamespaceType) (rest []specs.LinuxNamespace) {
	for _, ns := range list {
		if ns.Type != kind {
			rest = append(rest, ns)
		}
	}
	return rest
}
