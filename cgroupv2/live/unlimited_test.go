package live

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/cgroupv2"
	"golang.org/x/sys/unix"
)

// fakeCgroup is an ordinary directory with these files, as Dir sees a cgroup.
func fakeCgroup(t *testing.T, files map[string]string) *Dir {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return &Dir{fd: fd, path: dir}
}

// "Unlimited" is what holds without the controller (distrobox's --pids-limit -1
// for a user without delegation), so it needs none; one that is there is told.
// The neighbours: memory, swap, cpu with a period alone, io with rate 0, and
// what unified says in the kernel's own words. A protection (memory.low), a
// weight, and cpu.idle 1 are asked for: the last block.
func TestUnlimitedNeedsNoController(t *testing.T) {
	for _, text := range []string{
		`{"pids":{"limit":-1}}`,
		`{"memory":{"limit":-1}}`,
		`{"memory":{"limit":-1,"swap":-1}}`,
		`{"cpu":{"quota":-1}}`,
		`{"cpu":{"period":50000}}`,
		`{"cpu":{"idle":0,"burst":0}}`,
		`{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":0}]}}`,
		`{"unified":{"pids.max":"max","memory.high":"max","memory.low":"0","io.max":"8:0 rbps=max wiops=max","cpu.max":"max"}}`,
	} {
		set := limitsOf(t, text)
		writes := cgroupv2.Files(set)
		if len(writes) == 0 {
			t.Fatalf("%s: nothing", text)
		}
		if set.Restricts() || len(set.Controllers()) > 0 {
			t.Errorf("%s: limits %v, needs %q", text, set.Restricts(), set.Controllers())
		}
		if err := fakeCgroup(t, map[string]string{"cgroup.controllers": "misc\n"}).Apply(writes); err != nil {
			t.Errorf("%s: without the controller: %v", text, err)
		}
		if err := fakeCgroup(t, nil).Apply(writes); err == nil {
			t.Errorf("%s: a cgroup that is gone passes", text)
		}
	}
	there := fakeCgroup(t, map[string]string{"cgroup.controllers": "pids\n", "pids.max": "5"})
	writes := writesOf(t, `{"pids":{"limit":-1}}`)
	if err := there.Ensure(writes); err != nil || !strings.HasPrefix(there.text("pids.max"), "max") {
		t.Errorf("a limit that is there stays: %q, %v", there.text("pids.max"), err)
	}
	for _, text := range []string{
		`{"pids":{"limit":1}}`, `{"memory":{"reservation":-1}}`, `{"cpu":{"idle":1}}`, `{"cpu":{"quota":1000}}`, `{"cpu":{"shares":1024}}`,
		`{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1}]}}`, `{"unified":{"io.max":"8:0 rbps=max wiops=1"}}`,
		`{"unified":{"io.max":"8:0"}}`, `{"unified":{"memory.new":"max"}}`,
	} {
		set := limitsOf(t, text)
		writes := cgroupv2.Files(set)
		if !set.Restricts() || len(set.Controllers()) != 1 {
			t.Errorf("%s: limits %v, needs %q", text, set.Restricts(), set.Controllers())
		}
		if fakeCgroup(t, map[string]string{"cgroup.controllers": "misc\n"}).Apply(writes) == nil {
			t.Errorf("%s: passes without the controller", text)
		}
	}
}

// systemd leaves controllers alone that it does not manage, so in its cgroups
// they may be turned on (as the hint for a missing one says); cpu may not. Of one that
// the kernel has not, systemd is not the reason.
func TestForeignController(t *testing.T) {
	files := map[string]string{"cgroup.controllers": "cpu hugetlb misc\n", "cgroup.subtree_control": "", "cgroup.type": "domain", "cgroup.procs": ""}
	for name, want := range map[string]string{"hugetlb": "+hugetlb", "misc": "+misc", "cpu": "", "rdma": ""} {
		d := fakeCgroup(t, files)
		d.foreign = true
		err := d.Enable([]string{name})
		if got := d.text("cgroup.subtree_control"); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: wrote %q, %v", name, got, err)
		}
	}
	for name, want := range map[string]string{"cpu": "is turned on and off here by the service manager", "cpuset": "is not available here"} {
		d := fakeCgroup(t, files)
		d.foreign = true
		if err := d.Enable([]string{name}); err == nil || !strings.Contains(err.Error(), "controller "+name+" "+want) {
			t.Errorf("%s: %v, not %q", name, err, want)
		}
	}
	// What is on is used where systemd keeps it on: memory and pids, and in the root of the tree all.
	files["cgroup.controllers"], files["cgroup.subtree_control"] = "cpu memory\n", "cpu memory\n"
	for name, fine := range map[string]bool{"memory": true, "cpu": false} {
		for _, top := range []bool{false, true} {
			inside := maps.Clone(files)
			if top {
				delete(inside, "cgroup.type")
			}
			d := fakeCgroup(t, inside)
			d.foreign = true
			if err := d.Enable([]string{name}); (err == nil) != (fine || top) {
				t.Errorf("%s, in the root of the tree: %v: %v", name, top, err)
			}
		}
	}
	files["cgroup.controllers"] = "cpu hugetlb misc\n"
	files["cgroup.subtree_control"] = "hugetlb\n"
	d := fakeCgroup(t, files)
	d.foreign = true
	if err := d.Enable([]string{"hugetlb"}); err != nil || d.text("cgroup.subtree_control") != "hugetlb" {
		t.Errorf("one that is on: %v", err)
	}
}

// A number that was a process's of the cgroup, and when it is opened is not any more,
// may be a stranger's: it gets no signal.
func TestSignalsOnlyItsOwn(t *testing.T) {
	cmd := exec.Command("sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	pid := strconv.Itoa(cmd.Process.Pid)
	for _, ours := range []bool{false, true} {
		d := fakeCgroup(t, map[string]string{"cgroup.procs": map[bool]string{true: pid + "\n"}[ours]})
		if err := d.signal([]int{cmd.Process.Pid, 1 << 30}, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		stopped := func() bool {
			text, err := os.ReadFile("/proc/" + pid + "/status")
			if err != nil {
				t.Fatal(err)
			}
			return strings.Contains(string(text), "\nState:\tT")
		}
		for begun := time.Now(); ours && !stopped() && time.Since(begun) < 10*time.Second; {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(10 * time.Millisecond)
		if stopped() != ours {
			t.Errorf("in the cgroup %v: stopped %v", ours, !ours)
		}
	}
}
