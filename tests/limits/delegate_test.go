package limits

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// divide is what a program does with a cgroup of its own: it goes down, and gives
// a controller to another part. It waits until somebody has looked.
const divide = `set -e; cd /sys/fs/cgroup/pay/load; cat /proc/self/cgroup; mkdir a b; echo 1 >a/cgroup.procs
	echo +pids >cgroup.subtree_control; echo 7 >b/pids.max; cat b/pids.max; echo divided; exec sleep 100`

// Annotation run.oci.delegate-cgroup as crun.1 has it: limits and the root of the
// cgroup namespace are the container's cgroup, the program is below and rules
// there. exec follows it, and delete takes all of it. It was read as followed, and
// nothing was done.
func TestDelegatedCgroup(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, `{"pids": {"limit": 20}}`, "sh", "-c", "("+divide+") >/out 2>&1")
		b.config["annotations"] = object{"run.oci.delegate-cgroup": "/pay/load"}
		b.start()
		out := filepath.Join(b.dir, "rootfs", "out")
		eventually(t, "divided", func() bool {
			text, _ := os.ReadFile(out)
			return strings.Contains(string(text), "divided")
		})
		if text, err := os.ReadFile(out); err != nil || string(text) != "0::/pay/load\n7\ndivided\n" {
			t.Errorf("%v: %s", err, text)
		}
		own, below := strings.CutSuffix(b.cgroup(), "/pay/load/a")
		if !below {
			t.Fatalf("init is in %s", own)
		}
		if limit := file(t, own, "pids.max"); limit != "20" {
			t.Errorf("the container's limit is %s", limit)
		}
		if out = b.must("exec", b.id, "cat", "/proc/self/cgroup"); !strings.Contains(out, "0::/pay/load/a\n") {
			t.Errorf("exec is in %s", out)
		}
		b.must("delete", "--force", b.id)
		if _, err := os.Stat(own); err == nil {
			t.Error("the cgroup is left")
		}
	})
}

// What cannot be had is an error, not a container without it.
func TestDelegatedCgroupRefused(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		for _, name := range []string{"../x", "a/../b", "/", "."} {
			b := newBox(t, manager, "", "true")
			b.config["annotations"] = object{"run.oci.delegate-cgroup": name}
			b.refuses("is not the name of a cgroup below the container's")
		}
	})
}
