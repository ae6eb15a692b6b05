package limits

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// flags is run --rootfs with a container's root directory and these arguments, the
// last of which is the command.
func (b *box) flags(args ...string) (string, error) {
	b.t.Helper()
	b.t.Cleanup(func() { b.must("delete", "--force", b.id) })
	line := []string{"run", "--rootfs", filepath.Join(b.dir, "rootfs"), "--net", "none", "--name", b.id}
	return b.homerun(append(line, args...)...)
}

// TestFlagsSet: what is typed is what the cgroup has, and the one above it, which the
// container cannot reach.
func TestFlagsSet(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, "")
		out, err := b.flags("-d", "-m", "64m", "--memory-reservation", "32m", "--cpus", "0.5", "-c", "512", "--pids-limit", "20", "sleep", "100")
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		own := b.cgroup()
		for name, want := range map[string]string{"memory.max": "67108864", "memory.low": "33554432", "cpu.max": "50000 100000",
			"pids.max": "20", "cpu.weight": "59", "memory.swap.max": "67108864"} {
			if _, err := os.Stat(path.Join(own, name)); os.IsNotExist(err) && name == "memory.swap.max" {
				continue // a kernel without swap
			}
			for _, dir := range []string{own, path.Dir(own)} {
				if got := file(t, dir, name); got != want {
					t.Errorf("%s of %s is %s, want %s", name, dir, got, want)
				}
			}
		}
	})
}

// TestFlagsHold: the limits are felt.
func TestFlagsHold(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		out, err := newBox(t, manager, "").flags("-m", "16m", "--memory-swap", "16m", "tail", "/dev/zero")
		if err == nil || err.Error() != "exit status 137" || !strings.Contains(out, "out of memory (OOM)") {
			t.Errorf("--memory: %v: %s", err, out)
		}
		out, err = newBox(t, manager, "").flags("--pids-limit", "3", "sh", "-c", "sleep 9 & sleep 9 & sleep 9 & sleep 9 & kill 0")
		if err == nil || !strings.Contains(out, "can't fork") {
			t.Errorf("--pids-limit: %v: %s", err, out)
		}
		out, err = newBox(t, manager, "").flags("--ulimit", "nofile=17:18", "--ulimit", "core=0", "sh", "-c", "ulimit -n; ulimit -Hn; ulimit -c")
		if err != nil || !strings.Contains(out, "17\n18\n0\n") {
			t.Errorf("--ulimit: %v: %s", err, out)
		}
		out, err = newBox(t, manager, "").flags("--shm-size", "1m", "sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1k count=2k")
		if err == nil || !strings.Contains(out, "No space left on device") {
			t.Errorf("--shm-size: %v: %s", err, out)
		}
	})
}

// TestFlagsRefused: a limit that cannot be set ends the start, and the message says
// which flag it is about. The machine's kernel has no cpuset; nobody, not even root, can
// have more open files than fs.nr_open.
func TestFlagsRefused(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		for _, c := range []struct {
			manager, flag, value, want string
		}{
			{manager, "--cpuset-cpus", "0", "controller cpuset is not available"},
			{manager, "--ulimit", "nofile=99999999999", "the hard limit cannot be raised above"},
			{"disabled", "--memory", "64m", "--cgroup-manager=disabled"},
			{"disabled", "--memory-reservation", "64m", "--cgroup-manager=disabled"},
			{"disabled", "--cpus", "1", "--cgroup-manager=disabled"},
			{"disabled", "--cpu-shares", "100", "--cgroup-manager=disabled"},
			{"disabled", "--pids-limit", "9", "--cgroup-manager=disabled"},
			{"disabled", "--cpuset-cpus", "0", "--cgroup-manager=disabled"},
			{"disabled", "--cpuset-mems", "0", "--cgroup-manager=disabled"},
		} {
			b := newBox(t, c.manager, "")
			out, err := b.flags(c.flag, c.value, "echo", "ran")
			if err == nil || strings.Contains(out, "ran\n") || !strings.Contains(out, c.want) || !strings.Contains(out, c.flag+" "+c.value) {
				t.Errorf("%s %s: %v: %s", c.flag, c.value, err, out)
			}
			if out, err := b.homerun("state", b.id); err == nil {
				t.Errorf("%s left: %s", c.flag, out)
			}
		}
	})
}

// TestFlagsNamed: of several limits the message names the one that cannot be, as it was
// typed, and no place in a config.json that nobody wrote; so does update.
func TestFlagsNamed(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		b := newBox(t, manager, "")
		out, err := b.flags("-m", "64m", "--pids-limit", "9", "--cpuset-cpus", "0", "true")
		named(t, out, err, "--cpuset-cpus 0", "--memory", "--pids-limit")

		b = newBox(t, manager, "")
		if out, err := b.flags("-d", "sleep", "100"); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		out, err = b.homerun("update", "-m", "64m", "--cpuset-cpus", "0", b.id)
		named(t, out, err, "--cpuset-cpus 0", "--memory")
		out, err = b.homerun("update", "-m", "4k", "--pids-limit", "9", b.id)
		named(t, out, err, "--memory 4k", "--pids-limit")
		b.must("update", "-m", "64m", "--cpus", "0.5", "--cpu-shares", "512", "--pids-limit", "9", b.id)
		own := b.cgroup()
		for name, want := range map[string]string{"memory.max": "67108864", "cpu.max": "50000 100000", "pids.max": "9", "cpu.weight": "59"} {
			if got := file(t, own, name); got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
		b.must("update", "--cpus", "0", b.id)
		if got := file(t, own, "cpu.max"); got != "max 100000" {
			t.Errorf("cpu.max is %s", got)
		}
	})
}

// named wants an error that names a flag, and none of the others.
func named(t *testing.T, out string, err error, flag string, others ...string) {
	t.Helper()
	if err == nil || !strings.Contains(out, flag) {
		t.Errorf("%v: %s, want %s", err, out, flag)
	}
	for _, never := range append(others, "linux.", "config.json") {
		if strings.Contains(out, never) {
			t.Errorf("says %s: %s", never, out)
		}
	}
}
