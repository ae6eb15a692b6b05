package limits

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A container whose state.json is empty is found with its cgroup, and all of it
// ended: while init lives, and after init has left a process in the cgroup that
// neither a PID namespace nor init knows of. Nothing is left of the cgroup or the
// scope, though only their name remained.
func TestDamagedState(t *testing.T) {
	const leaves = "sleep 1000 </dev/null >/dev/null 2>&1 & "
	managers(t, func(t *testing.T, manager string) {
		for name, test := range map[string]struct {
			program  string
			pid      bool
			becoming string
		}{
			"running":                {leaves + "exec sleep 1000", true, "running"},
			"running, shared ids":    {leaves + "exec sleep 1000", false, "running"},
			"left alone, shared ids": {leaves + "sleep 0.3", false, "stopped"},
		} {
			t.Run(name, func(t *testing.T) {
				b := newBox(t, manager, `{"pids":{"limit":50}}`, "sh", "-c", test.program)
				if !test.pid {
					b.config["mounts"] = b.config["mounts"].([]object)[1:] // no procfs
					kinds := []string{"mount", "cgroup"}
					if os.Geteuid() != 0 {
						kinds = append(kinds, "user")
					}
					b.namespaces(kinds...)
				}
				b.must("create", "--bundle", b.dir, b.id)
				cgroup := b.cgroup()
				b.must("start", b.id)
				eventually(t, test.becoming, func() bool { return b.state().Status == test.becoming })
				if test.becoming == "stopped" && file(t, cgroup, "cgroup.procs") == "" {
					t.Fatal("nothing is left in the cgroup")
				}
				if err := os.Truncate(filepath.Join(b.root, b.id, "state.json"), 0); err != nil {
					t.Fatal(err)
				}
				if out, err := b.homerun("delete", b.id); err == nil || !strings.Contains(out, "state.json is damaged: it is empty") {
					t.Errorf("without --force: %v: %s", err, out)
				}
				b.must("delete", "--force", b.id)
				eventually(t, "gone: "+cgroup, func() bool { _, err := os.Stat(cgroup); return os.IsNotExist(err) })
				// the scope, or the one with the limits
				if above := filepath.Dir(cgroup); strings.Contains(above, b.id) {
					eventually(t, "gone: "+above, func() bool { _, err := os.Stat(above); return os.IsNotExist(err) })
				}
				if out := b.must("list", "-q"); out != "" {
					t.Errorf("list: %s", out)
				}
			})
		}
	})
}
