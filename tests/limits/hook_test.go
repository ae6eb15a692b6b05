package limits

import (
	"strings"
	"testing"
)

// A hook of the image is in the container's cgroup, and so under its limits and
// among its processes. It leaves one behind, to be found there.
func TestHookInCgroup(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, `{"pids": {"limit": 20}}`, "sleep", "100")
		b.config["hooks"] = object{"startContainer": []object{{"path": "/bin/sh", "args": []string{"sh", "-c", "sleep 100 & exit 0"}}}}
		b.start()
		eventually(t, "the program and what its hook left", func() bool {
			return len(strings.Fields(file(t, b.cgroup(), "cgroup.procs"))) == 2
		})
	})
}

// A hook of the image runs where the container's limit has no room for it, as
// exec's process does.
func TestHookAtPidsLimit(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, `{"pids": {"limit": 1}}`, "sleep", "100")
		b.config["hooks"] = object{"startContainer": []object{{"path": "/bin/sh", "args": []string{"sh", "-c", "echo >/hook"}}}}
		b.start()
		b.must("exec", b.id, "cat", "/hook")
	})
}
