package limits

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/guest"
)

// The verbs that go by the cgroup.
func TestVerbs(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, `{"pids": {"limit": 20}}`, "sh", "-c", "sleep 100 & sleep 100 & wait")
		b.start()
		eventually(t, "three processes", func() bool { return b.count() == 3 })
		b.must("pause", b.id)
		if s := b.state(); s.Status != "paused" {
			t.Errorf("after pause: %+v", s)
		}
		if out, err := b.homerun("exec", b.id, "true"); err == nil || !strings.Contains(out, "cannot exec in a paused container") {
			t.Errorf("exec: %v: %s", err, out)
		}
		b.must("resume", b.id)
		if out := b.must("exec", b.id, "echo", "back"); out != "back\n" {
			t.Errorf("exec printed %q", out)
		}
		b.must("kill", "--all", b.id, "KILL")
		eventually(t, "stopped", func() bool { return b.state().Status == "stopped" })
		b.must("kill", "--all", b.id, "KILL")
	})
}

// count is the number of processes that ps lists.
func (b *box) count() int {
	b.t.Helper()
	return strings.Count(b.must("ps", "--format", "json", b.id), ",") + 1
}

// A paused container is deleted by force.
func TestDeletePaused(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, "", "sleep", "100")
		b.start()
		b.must("pause", b.id)
		b.must("delete", "--force", b.id)
		if out, err := b.homerun("state", b.id); err == nil {
			t.Errorf("it is still there: %s", out)
		}
	})
}

// share is what a container does that limits its own parts: systemd, podman.
const share = `mkdir /sys/fs/cgroup/init /sys/fs/cgroup/part && echo 1 >/sys/fs/cgroup/init/cgroup.procs &&
	echo +memory +pids >/sys/fs/cgroup/cgroup.subtree_control && echo 1048576 >/sys/fs/cgroup/part/memory.max &&
	cat /sys/fs/cgroup/part/memory.max && echo shared; exec sleep 100`

// A container with its own cgroup namespace has its cgroup for itself, and
// exec still works when that has become an inner one, which takes no processes.
func TestOwnSubtree(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, `{"memory": {"limit": 67108864}, "pids": {"limit": 30}}`, "sh", "-c", "("+share+") >/out 2>&1")
		b.start()
		eventually(t, "divided", func() bool {
			text, err := os.ReadFile(filepath.Join(b.dir, "rootfs", "out"))
			return err == nil && strings.Contains(string(text), "\nshared\n")
		})
		text, err := os.ReadFile(filepath.Join(b.dir, "rootfs", "out"))
		if err != nil || string(text) != "1048576\nshared\n" {
			t.Errorf("%v: %s", err, text)
		}
		for range 5 {
			if out := b.must("exec", b.id, "cat", "/proc/self/cgroup"); out != "0::/init\n" {
				t.Errorf("exec is in %s", out)
			}
		}
		if out := b.must("exec", "--cgroup", "part", b.id, "cat", "/proc/self/cgroup"); out != "0::/part\n" {
			t.Errorf("exec --cgroup part is in %s", out)
		}
		b.must("update", "--memory", "60m", b.id)
		if got := file(t, path.Dir(b.cgroup()), "memory.max"); got != "62914560" {
			t.Errorf("updated memory.max is %s", got)
		}
		if got := file(t, path.Dir(path.Dir(b.cgroup())), "memory.max"); got != "62914560" {
			t.Errorf("updated memory.max is %s above the container's cgroup, out of its reach", got)
		}
	})
}

// nest makes more cgroups in one another than a path can name.
const nest = `cd /sys/fs/cgroup; i=0; p=nested; while [ ${#p} -lt 600 ]; do p=$p/nested; done
	while [ $i -lt 16 ] && mkdir -p $p && cd -P $p; do i=$((i+1)); done; echo $i >/out; exec sleep 100`

// A container's cgroups go with it, however deeply they are nested: systemd leaves
// such ones, and the next container of that name was in them.
func TestNestedCgroups(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, "", "sh", "-c", nest)
		b.start()
		eventually(t, "nested", func() bool {
			text, err := os.ReadFile(filepath.Join(b.dir, "rootfs", "out"))
			return err == nil && strings.TrimSpace(string(text)) == "16"
		})
		own := b.cgroup()
		b.must("delete", "--force", b.id)
		for at := own; strings.Contains(path.Base(at), b.id) || at == own; at = path.Dir(at) {
			eventually(t, "removed", func() bool { _, err := os.Stat(at); return err != nil })
		}
	})
}

// The mount shows the container's own limits, and only them.
func TestMountShowsLimits(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, `{"memory": {"limit": 67108864}, "pids": {"limit": 30}}`, "sh", "-c",
			"cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /proc/self/cgroup")
		if out, err := b.run(); err != nil || out != "67108864\n30\n0::/\n" {
			t.Errorf("%v: %s", err, out)
		}
		b = newBox(t, manager, `{"pids": {"limit": 30}}`, "sh", "-c", "cat /sys/fs/cgroup$(cut -c 4- /proc/self/cgroup)/pids.max")
		kinds := []string{"pid", "ipc", "uts", "mount", "user"}
		if os.Geteuid() == 0 {
			kinds = kinds[:4]
		}
		b.namespaces(kinds...)
		if out, err := b.run(); err != nil || out != "30\n" {
			t.Errorf("without a cgroup namespace: %v: %s", err, out)
		}
	})
}

// Nothing can start below a frozen cgroup; that is said, where others wait for
// ever.
func TestFrozenParent(t *testing.T) {
	guest.Need(t)
	if !inUnit(t, "Delegate=yes") {
		return
	}
	unit := cgroupOf(t, "self")
	frozen := "/sys/fs/cgroup" + unit + "/frozen"
	if err := os.Mkdir(frozen, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(frozen)
	if err := os.WriteFile(frozen+"/cgroup.freeze", []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	b := newBox(t, "cgroupfs", "", "true")
	b.linux()["cgroupsPath"] = unit + "/frozen/container"
	start := time.Now()
	out, err := b.homerun("run", "--bundle", b.dir, b.id)
	if err == nil || !strings.Contains(out, "is frozen, or one above it is: nothing can start in it") || time.Since(start) > 10*time.Second {
		t.Errorf("after %v: %v: %s", time.Since(start), err, out)
	}
	if entries, err := filepath.Glob(frozen + "/container"); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// The same with a slice that systemd froze.
func TestFrozenSlice(t *testing.T) {
	guest.Need(t)
	slice := "limitsfrozen.slice"
	systemctl(t, "start", slice)
	defer systemctl(t, "stop", slice)
	systemctl(t, "freeze", slice)
	defer systemctl(t, "thaw", slice)
	b := newBox(t, "systemd", "", "true")
	b.linux()["cgroupsPath"] = slice + ":limits:frozen"
	start := time.Now()
	out, err := b.homerun("run", "--bundle", b.dir, b.id)
	if err == nil || !strings.Contains(out, "froze") || time.Since(start) > 15*time.Second {
		t.Errorf("after %v: %v: %s", time.Since(start), err, out)
	}
	if out, err := b.homerun("state", b.id); err == nil {
		t.Errorf("it is still there: %s", out)
	}
}

// In a unit with Delegate=yes the container is below the unit, without being
// told so.
func TestOwnDelegatedUnit(t *testing.T) {
	guest.Need(t)
	if !inUnit(t, "Delegate=yes") {
		return
	}
	unit := strings.TrimSuffix(cgroupOf(t, "self"), "/runtime")
	b := newBox(t, "auto", `{"cpu": {"shares": 512}, "memory": {"limit": 67108864}}`, "sleep", "100")
	b.start()
	if own := b.cgroup(); !strings.HasPrefix(own, "/sys/fs/cgroup"+unit+"/") || file(t, own, "memory.max") != "67108864" {
		t.Errorf("unit %s, container %s", unit, own)
	}
	if s := b.state(); s.Scope != "" {
		t.Errorf("state %+v", s)
	}
}
