package security

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestHookInPod: a hook with the caller's rights that runs in the namespaces of a
// container cannot be traced, nor looked through at the host's files, by another
// container whose user and PID namespace that one joins, whatever its
// capabilities there. For a user the hook does not start. Its neighbours run
// nothing of the host's in a user namespace that others are in: exec and a hook of
// the image (their process is hidden until it is the program: execIsHidden), the
// copy for tmpcopyup, and `mounts`.
func TestHookInPod(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		if !c.namespace {
			return // root on the host may look into everything
		}
		enemy := newBundle(t, c, "spy")
		all := append(someCapabilities(), "CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH")
		enemy.spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all}
		r := enemy.start()
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if _, err := os.Stat(enemy.root("spied")); err == nil {
				break // it looks
			}
		}
		var state struct{ Pid int }
		must(t, json.Unmarshal([]byte(c.homerun(t, "state", enemy.id()).stdout), &state))

		b := newBundle(t, c, "ok")
		b.spec.Linux.UIDMappings, b.spec.Linux.GIDMappings = nil, nil
		for i, ns := range b.spec.Linux.Namespaces {
			if ns.Type == specs.UserNamespace || ns.Type == specs.PIDNamespace {
				b.spec.Linux.Namespaces[i].Path = fmt.Sprintf("/proc/%d/ns/%s", state.Pid, ns.Type)
			}
		}
		b.spec.Mounts = without(b.spec.Mounts, "/proc")
		b.spec.Linux.MaskedPaths, b.spec.Linux.ReadonlyPaths = nil, nil
		log := filepath.Join(b.dir, "log")
		must(t, os.Mkdir(log, 0o700))
		b.spec.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{
			{Path: "/bin/sleep", Args: []string{"sleep", "0.3"}},
			{Path: w.inside, Args: []string{"inside", "record", filepath.Join(log, "hook"), "link /proc/self/ns/mnt", "link /proc/self/ns/net"}}}}
		res := b.run()
		r.stdin.Close()
		spied, err := os.ReadFile(enemy.root("spied"))
		must(t, err)
		seen := map[string]int{}
		for line := range strings.Lines(string(spied)) {
			seen[strings.TrimSpace(line)]++
		}
		if c.user {
			if res.status == 0 {
				t.Error("the hook ran")
			}
		} else if seen["EACCES"] < 5 {
			t.Errorf("the enemy saw %v, want EACCES several times", seen)
		}
		delete(seen, "EACCES")
		if len(seen) != 0 {
			t.Errorf("the enemy saw %v", seen)
		}
		if c.user {
			return
		}
		if res.status != 0 {
			t.Fatal(res.stderr)
		}
		for what, link := range recorded(t, filepath.Join(log, "hook")).Tries {
			own, err := os.Readlink(strings.TrimPrefix(what, "link "))
			must(t, err)
			if link == own || !strings.Contains(link, ":[") {
				t.Errorf("%s of the hook is %q, the caller's %q", what, link, own)
			}
		}
	})
}
