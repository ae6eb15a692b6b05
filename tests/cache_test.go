package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCache: compiled filters are kept, and not in the state root, where others
// that list it, runc for one, would take them for containers: they are beside
// the default root, for all of a user's roots together, and closed to others.
func TestCache(t *testing.T) {
	const helper = "homerun-seccomp" // which needs C to be built
	if err := copyFile("../bin/"+helper, filepath.Join(filepath.Dir(shared.homerun), helper), 0o755); err != nil {
		t.Skipf("needs bin/%s: make build", helper)
	}
	for _, w := range worlds(t) {
		if w.name == "root" {
			continue // the host's own directory: /run/homerun-seccomp
		}
		t.Run(w.name, func(t *testing.T) {
			dir := w.bundle(t, "filtered", "! mkdir /tmp/x 2>/dev/null && echo refused",
				`linux.seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}`)
			out, err := w.run(t, "run", "-b", dir, "filtered")
			if err != nil || !strings.Contains(out, "refused") {
				t.Fatalf("run: %v: %s", err, out)
			}
			if list, err := os.ReadDir(w.state); err != nil || len(list) != 0 {
				t.Errorf("in the state root: %v, %v", list, err)
			}
			run := strings.Fields(w.environment())[4]
			cache := filepath.Join(strings.TrimPrefix(run, "XDG_RUNTIME_DIR="), "homerun-seccomp")
			list, err := os.ReadDir(cache)
			st, statErr := os.Stat(cache)
			if err != nil || statErr != nil || len(list) == 0 || st.Mode().Perm() != 0o700 {
				t.Errorf("%s: %v, %v, %v", cache, list, err, st)
			}
		})
	}
}
