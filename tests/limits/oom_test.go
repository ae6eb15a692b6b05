package limits

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/guest"
)

const little = `{"memory": {"limit": 16777216, "swap": 16777216}}`

// A program that needs more than its limit is killed, and run says why.
func TestOutOfMemory(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		for range 5 {
			b := newBox(t, manager, little, "tail", "/dev/zero")
			out, err := b.run()
			if err == nil || err.Error() != "exit status 137" {
				t.Errorf("run ended with %v", err)
			}
			if !strings.Contains(out, "homerun: out of memory (OOM): the kernel killed 1 of the container's processes") {
				t.Errorf("run printed %q", out)
			}
		}
	})
}

// The state of a container counts those of its processes that were killed.
func TestOutOfMemoryState(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, little, "sh", "-c", "tail /dev/zero; echo $? >/killed; sleep 100")
		b.start()
		eventually(t, "killed", func() bool { return b.state().OOMKills > 0 })
		if s := b.state(); s.OOMKills != 1 || s.Status != "running" {
			t.Errorf("state %+v", s)
		}
		eventually(t, "told in the container", func() bool {
			out, err := b.homerun("exec", b.id, "cat", "/killed")
			return err == nil && out == "137\n"
		})
	})
}

// A container that was killed is stopped, and its state still says why: where
// homerun made the cgroup always, and with a scope if somebody waited.
func TestOutOfMemoryStopped(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, little, "sh", "-c", "sleep 1; exec tail /dev/zero")
		b.start()
		if manager == "systemd" {
			if out, err := b.homerun("wait", b.id); err == nil || err.Error() != "exit status 137" {
				t.Errorf("wait: %v: %s", err, out)
			}
		}
		eventually(t, "stopped", func() bool { return b.state().Status == "stopped" })
		if s := b.state(); s.OOMKills != 1 {
			t.Errorf("state %+v", s)
		}
	})
}

// events reports each kill, and the state knows afterwards.
func TestOutOfMemoryEvent(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, little, "sh", "-c", "sleep 1; tail /dev/zero; sleep 1; exec tail /dev/zero")
		b.start()
		out := b.must("events", "--interval", "60s", b.id)
		if n := strings.Count(out, `"type":"oom"`); n == 0 {
			t.Errorf("events printed %s", out)
		}
		if s := b.state(); s.OOMKills != 2 {
			t.Errorf("state %+v", s)
		}
	})
}

// A limit that init itself does not fit in is named, and nothing stays.
func TestLimitTooSmallForInit(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, `{"memory": {"limit": 4096, "swap": 4096}}`, "true")
		out, err := b.homerun("create", "--bundle", b.dir, b.id)
		if err == nil || !strings.Contains(out, "memory.limit") || !strings.Contains(out, "4096") {
			t.Errorf("create: %v: %s", err, out)
		}
		if out, err := b.homerun("state", b.id); err == nil || !strings.Contains(out, "does not exist") {
			t.Errorf("state: %v: %s", err, out)
		}
	})
}

// A fork bomb stays inside of its limit, and kill --all ends it.
func TestForkBomb(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, `{"pids": {"limit": 20}}`, "sh", "-c", "f() { f | f & }; (while :; do f; done) & exec sleep 100")
		b.start()
		cgroup := b.cgroup()
		eventually(t, "at its limit", func() bool { return !strings.HasSuffix(file(t, cgroup, "pids.events"), "max 0") })
		for range 50 {
			if n, err := strconv.Atoi(file(t, cgroup, "pids.current")); err != nil || n > 20 {
				t.Fatalf("%d processes, %v", n, err)
			}
		}
		b.must("kill", "--all", b.id, "KILL")
		eventually(t, "stopped", func() bool { return b.state().Status == "stopped" })
	})
}

// A program runs alone where no other process may be: 1, and 0, which is a
// limit too; it then cannot fork. -1 is none.
func TestAlone(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		for limit, forks := range map[string]bool{"0": false, "1": false, "-1": true} {
			b := newBox(t, manager, `{"pids": {"limit": `+limit+`}}`, "echo", "alone")
			if out, err := b.run(); err != nil || out != "alone\n" {
				t.Errorf("pids.limit %s: %v: %s", limit, err, out)
			}
			b = newBox(t, manager, `{"pids": {"limit": `+limit+`}}`, "sh", "-c", "(echo forked); echo")
			if out, _ := b.run(); strings.Contains(out, "forked\n") != forks {
				t.Errorf("pids.limit %s: %s", limit, out)
			}
		}
	})
}

// Scopes leave nothing behind in systemd, also those that end badly.
func TestHundredScopes(t *testing.T) {
	guest.Need(t)
	prefix := "limits" + strconv.FormatInt(time.Now().UnixNano()%1e9, 10)
	b := newBox(t, "systemd", little)
	for i := range 100 {
		args := []string{"true"}
		if i%10 == 9 {
			args = []string{"tail", "/dev/zero"}
		}
		b.config["process"].(object)["args"] = args
		b.linux()["cgroupsPath"] = ":" + prefix + ":" + strconv.Itoa(i)
		out, err := b.homerun("run", "--bundle", b.dir, b.id)
		if (err == nil) != (i%10 != 9) {
			t.Fatalf("run %d: %v: %s", i, err, out)
		}
	}
	eventually(t, "without a unit", func() bool { return systemctl(t, "list-units", "--all", "--plain", "--no-legend", prefix+"*") == "" })
	if failed := systemctl(t, "list-units", "--failed", "--plain", "--no-legend", prefix+"*"); failed != "" {
		t.Errorf("failed units: %s", failed)
	}
}

// What the kernel did to others in a unit that was delegated to somebody, a
// service or a scope, is not what it did to a container below it.
func TestOthersOutOfMemory(t *testing.T) {
	guest.Need(t)
	t.Run("service", func(t *testing.T) {
		if inUnit(t, "Delegate=yes", "DelegateSubgroup=runtime") {
			othersOutOfMemory(t, filepath.Dir(ownCgroup(t)))
		}
	})
	t.Run("scope", func(t *testing.T) {
		if inScope(t) {
			othersOutOfMemory(t, filepath.Dir(ownCgroup(t)))
		}
	})
}

func ownCgroup(t *testing.T) string {
	return "/sys/fs/cgroup" + cgroupOf(t, "self")
}

// killForMemory has the kernel kill a process in a cgroup of its own below dir.
const killForMemory = `cd "$0" && mkdir -p victim && echo +memory >cgroup.subtree_control && echo 8M >victim/memory.max &&
	echo 0 >victim/memory.swap.max && { sh -c 'echo $$ >victim/cgroup.procs && exec tail /dev/zero'; rmdir victim; grep oom_kill memory.events; }`

func othersOutOfMemory(t *testing.T, unit string) {
	if out, err := guest.Command(callLimit, "sh", "-c", killForMemory, unit); err != nil || strings.Contains(out, "oom_kill 0") {
		t.Fatalf("nothing was killed: %v: %s", err, out)
	}
	b := newBox(t, "cgroupfs", "", "sleep", "100")
	b.start()
	if s := b.state(); s.OOMKills != 0 || !strings.HasPrefix(b.cgroup(), unit+"/") {
		t.Errorf("state %+v, cgroup %s", s, b.cgroup())
	}
	b = newBox(t, "cgroupfs", "", "true")
	if out, err := b.run(); err != nil || out != "" {
		t.Errorf("run: %v: %s", err, out)
	}
}
