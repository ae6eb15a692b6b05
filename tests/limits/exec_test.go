package limits

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/guest"
)

// exec into a container at its pids limit: nobody can be made in it, but moved.
// The process is in the container's cgroup, and counted.
func TestExecAtPidsLimit(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		for limit, program := range map[int]string{
			1: "exec sleep 100", 10: "for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done; exec sleep 100",
		} {
			b := newBox(t, manager, `{"pids": {"limit": `+strconv.Itoa(limit)+`}}`, "sh", "-c", program)
			b.start()
			cgroup := b.cgroup()
			full := strconv.Itoa(limit)
			eventually(t, "full", func() bool { return file(t, cgroup, "pids.current") == full })
			// /proc/self/cgroup is as the container's cgroup namespace shows it.
			out, err := b.homerun("exec", b.id, "cat", "/proc/self/cgroup", "/sys/fs/cgroup/pids.current")
			if want := strconv.Itoa(limit + 1); err != nil || !strings.HasSuffix(out, "0::/\n"+want+"\n") {
				t.Errorf("limit %d: exec: %v: %s", limit, err, out)
			}
			// It cannot fork there.
			if out, err := b.homerun("exec", b.id, "sh", "-c", "(echo forked); echo"); strings.Contains(out, "forked\n") {
				t.Errorf("limit %d: exec: %v: %s", limit, err, out)
			}
		}
	})
}

// TestExecIntoFrozen: where init has frozen itself, in a cgroup below the container's,
// nothing is started that would stand still there.
func TestExecIntoFrozen(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, "", "sleep", "100")
		b.start()
		sub, init := filepath.Join(b.cgroup(), "sub"), strconv.Itoa(b.state().Pid)
		for _, step := range []error{os.Mkdir(sub, 0o755), os.WriteFile(filepath.Join(sub, "cgroup.procs"), []byte(init), 0),
			os.WriteFile(filepath.Join(sub, "cgroup.freeze"), []byte("1"), 0)} {
			if step != nil {
				t.Fatal(step)
			}
		}
		t.Cleanup(func() { b.must("delete", "--force", b.id) })
		if out, err := b.within(5*time.Second, "exec", b.id, "true"); err == nil || !strings.Contains(out, "/sub is frozen, or one above it is") {
			t.Errorf("exec: %v: %s", err, out)
		}
	})
}

// exec goes where init is, if that was moved and the container's cgroup is gone; ps
// and kill --all still find both. A cgroup below the container's that was asked for by name is still an error.
func TestExecAfterInitMoved(t *testing.T) {
	guest.NeedRoot(t) // a user has nowhere to move it to
	eachManager(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, "", "sleep", "100")
		b.start()
		cgroup, init := b.cgroup(), b.state().Pid
		other := filepath.Join("/sys/fs/cgroup", b.id)
		for _, step := range []error{os.Mkdir(other, 0o755), os.WriteFile(filepath.Join(other, "cgroup.procs"), []byte(strconv.Itoa(init)), 0)} {
			if step != nil {
				t.Fatal(step)
			}
		}
		t.Cleanup(func() { eventually(t, "removed", func() bool { return os.Remove(other) == nil }) })
		eventually(t, "gone", func() bool { os.Remove(cgroup); _, err := os.Stat(cgroup); return err != nil })
		t.Cleanup(func() { b.must("delete", "--force", b.id) })
		pidFile := filepath.Join(b.dir, "exec.pid")
		b.must("exec", "--detach", "--pid-file", pidFile, b.id, "sleep", "100")
		if got := cgroupOf(t, file(t, b.dir, "exec.pid")); got != "/"+b.id {
			t.Errorf("exec is in %s, init in %s", got, "/"+b.id)
		}
		if out, err := b.homerun("exec", "--cgroup", "sub", b.id, "true"); err == nil || !strings.Contains(out, "ENOENT") {
			t.Errorf("exec --cgroup: %v: %s", err, out)
		}
		want := []string{strconv.Itoa(init), file(t, b.dir, "exec.pid")}
		if out := b.must("ps", "--format", "json", b.id); !strings.Contains(out, want[0]) || !strings.Contains(out, want[1]) {
			t.Errorf("ps: %s, want %v", out, want)
		}
		b.must("kill", "--all", b.id, "KILL")
		eventually(t, "stopped", func() bool { return b.state().Status == "stopped" })
	})
}
