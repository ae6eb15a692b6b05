package live

import (
	"errors"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/tests/again"
)

// inMachine is for tests that want unified cgroup v2 with controllers and a
// service manager.
func inMachine(t testing.TB) {
	t.Helper()
	if os.Getenv("HOMERUN_TEST_MACHINE") != "1" {
		unable(t, "needs the test machine (hack/machine)")
	}
}

func place(t testing.TB) host.Cgroup {
	t.Helper()
	own, err := OfProcess(0)
	if err != nil {
		t.Fatal(err)
	}
	return host.Cgroup{Unified: true, MountPoint: "/sys/fs/cgroup", Path: own}
}

// limitedCgroup makes a cgroup with the limits where Choose says.
func limitedCgroup(t testing.TB, res string) *Dir {
	t.Helper()
	set := limitsOf(t, res)
	writes := cgroupv2.Files(set)
	c := place(t)
	choice, err := cgroupv2.Choose(cgroupv2.Situation{Manager: cgroupv2.Cgroupfs, ID: t.Name(), Limits: true, Cgroup: c, Delegation: ProbeDelegation(c)})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(choice.Reason)
	d, _, err := Tree(0).Create(choice, c.MountPoint, set.Controllers())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Delete(limited(t, 10*time.Second)); err != nil {
			t.Error(err)
		}
		d.Close()
	})
	start := time.Now()
	if err := d.Apply(writes); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d writes: %v", len(writes), time.Since(start))
	if err := d.Ensure(writes); err != nil {
		t.Fatal(err)
	}
	return d
}

func inside(d *Dir, args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: d.FD(), Pdeathsig: syscall.SIGKILL}
	return cmd
}

// A process that allocates past its limit is killed, and the stats tell.
func TestMachineMemoryLimit(t *testing.T) {
	inMachine(t)
	d := limitedCgroup(t, `{"memory":{"limit":8388608,"swap":8388608}}`)
	err := inside(d, "sh", "-c", `x=$(head -c 50000000 /dev/zero | tr '\0' x); echo ${#x}`).Run()
	if err == nil {
		t.Error("it was not killed")
	}
	s, err := d.Stats()
	if err != nil || s.Memory.Usage.Limit != 8388608 || s.OOMKills == 0 || s.Memory.Usage.Failcnt == 0 {
		t.Errorf("stats %+v, %v", s, err)
	}
}

func TestMachinePidsLimit(t *testing.T) {
	inMachine(t)
	for res, runs := range map[string]bool{`{"pids":{"limit":0}}`: true, `{"pids":{"limit":1}}`: true} {
		d := limitedCgroup(t, res)
		if err := inside(d, "/bin/echo").Run(); (err == nil) != runs {
			t.Errorf("%s: %v", res, err)
		}
		if out, err := inside(d, "sh", "-c", "sleep 0 & wait").CombinedOutput(); err == nil {
			t.Errorf("%s: forked: %s", res, out)
		}
		if err := d.Delete(limited(t, 5*time.Second)); err != nil {
			t.Error(err)
		}
	}
}

func TestMachineForkBomb(t *testing.T) {
	inMachine(t)
	d := limitedCgroup(t, `{"pids":{"limit":20}}`)
	bomb := inside(d, "sh", "-c", `f() { f | f & }; f; sleep 60`)
	if err := bomb.Start(); err != nil {
		t.Fatal(err)
	}
	go bomb.Wait()
	time.Sleep(500 * time.Millisecond)
	pids, err := d.Processes()
	if err != nil || len(pids) > 20 {
		t.Errorf("%d processes, %v", len(pids), err)
	}
	if err := d.Kill(limited(t, 10*time.Second)); err != nil || d.Populated() {
		t.Error(err)
	}
}

func TestMachineCheckBeforeUpdate(t *testing.T) {
	inMachine(t)
	d := limitedCgroup(t, `{"memory":{"limit":50000000}}`)
	spawn(t, d, "sleep", "60")
	time.Sleep(100 * time.Millisecond)
	writes := writesOf(t, `{"memory":{"limit":1,"checkBeforeUpdate":true}}`)
	if err := d.Apply(writes); err == nil || !strings.Contains(err.Error(), "bytes are in use, so 1 is refused") {
		t.Error(err)
	}
	if got := d.text("memory.max"); got != "49999872" {
		t.Errorf("memory.max is %s", got)
	}
}

// A controller that was not delegated is named, with the fix.
func TestMachineMissingController(t *testing.T) {
	inMachine(t)
	c := place(t)
	delegation := ProbeDelegation(c)
	base, err := Open(path.Join(c.MountPoint, delegation.Writable))
	if err != nil {
		t.Fatal(err)
	}
	defer base.Close()
	_, made, err := base.Create("homerun-missing", []string{"rdma"})
	var e *fault.Error
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "controller rdma is not available here") || e.Hint == "" || made != nil {
		t.Errorf("%v, made %v", err, made)
	}
	t.Log(err, "\nhint:", e.Hint)
}

func TestMachineDelegation(t *testing.T) {
	inMachine(t)
	c := place(t)
	got := ProbeDelegation(c)
	t.Logf("%s: %+v", c.Path, got)
	parent := path.Dir(c.Path)
	if got.Unit != "" || got.Writable != parent || got.Maybe != c.Path {
		t.Errorf("got %+v", got)
	}
	if os.Getuid() != 0 && !strings.HasSuffix(got.Top, "/user@1000.service") || os.Getuid() == 0 && got.Top != "/" {
		t.Errorf("got %+v", got)
	}
}

// The rest runs inside of a unit with Delegate=yes.
func TestMachineDelegatedUnit(t *testing.T) {
	inMachine(t)
	for _, properties := range [][]string{{"Delegate=yes"}, {"Delegate=yes", "DelegateSubgroup=runtime"}} {
		args := []string{"--quiet", "--collect", "--pipe", "--wait", "--setenv=HOMERUN_TEST_MACHINE=1", "--setenv=HOMERUN_TEST_UNIT=1"}
		if os.Getuid() != 0 {
			args = append(args, "--user")
		}
		for _, p := range properties {
			args = append(args, "--property="+p)
		}
		again.Pass(t, exec.CommandContext(limited(t, time.Minute), "systemd-run", args...), "TestInUnit")
	}
}

// TestInUnit is the inside of TestMachineDelegatedUnit.
func TestInUnit(t *testing.T) {
	if os.Getenv("HOMERUN_TEST_UNIT") != "1" {
		t.Log("only inside of TestMachineDelegatedUnit")
		return
	}
	c := place(t)
	delegation := ProbeDelegation(c)
	t.Logf("%s: %+v", c.Path, delegation)
	if os.Getuid() != 0 {
		delegation.Unit = delegation.Maybe
	}
	choice, err := cgroupv2.Choose(cgroupv2.Situation{ID: "web", Bus: "bus", Limits: true, Cgroup: c, Delegation: delegation})
	if err != nil || choice.Manager != cgroupv2.Cgroupfs {
		t.Fatal(choice, err)
	}
	unit := strings.TrimSuffix(c.Path, "/runtime")
	if delegation.Unit != unit || choice.Path != unit+"/homerun-web" || (choice.Evacuate != "") != (unit == c.Path) {
		t.Fatalf("%+v", choice)
	}
	if choice.Evacuate != "" {
		own, err := Open(path.Join(c.MountPoint, c.Path))
		if err != nil {
			t.Fatal(err)
		}
		defer own.Close()
		_, _, err = own.Create("x", []string{"memory", "pids"})
		if !errors.Is(err, unix.EBUSY) || err.(*fault.Error).Hint == "" {
			t.Error("inner processes:", err)
		}
		if kind := own.text("cgroup.type"); kind != "domain" {
			t.Errorf("the attempt made the cgroup %q", kind)
		}
	}
	start := time.Now()
	d, made, err := Tree(0).Create(choice, c.MountPoint, []string{"cpu", "memory", "pids"})
	if err != nil || !slices.Equal(made, []string{c.MountPoint + choice.Path}) {
		t.Fatal(made, err)
	}
	defer d.Close()
	t.Logf("evacuated and made in %v", time.Since(start))
	testCPU(t, d)
	if err := d.Apply([]cgroupv2.Write{{File: "pids.max", Value: "1"}, {File: "memory.max", Value: "10000000"}}); err != nil {
		t.Error(err)
	}
	if err := inside(d, "/bin/true").Run(); err != nil {
		t.Error(err)
	}
	if err := d.Delete(limited(t, 5*time.Second)); err != nil {
		t.Error(err)
	}
}

// testCPU tries the order of quota and burst, and of idle and weight, in both
// directions. It runs where cpu is ours to give.
func testCPU(t *testing.T, d *Dir) {
	t.Helper()
	for _, step := range []struct{ update, max, burst, idle, weight string }{
		{`{"cpu":{"quota":50000,"burst":40000,"shares":2048}}`, "50000 100000", "40000", "0", "174"},
		{`{"cpu":{"quota":10000,"burst":5000}}`, "10000 100000", "5000", "0", "174"},
		{`{"cpu":{"quota":90000,"period":50000,"burst":80000}}`, "90000 50000", "80000", "0", "174"},
		{`{"cpu":{"quota":-1,"burst":0,"idle":1}}`, "max 100000", "0", "1", ""},
		{`{"cpu":{"idle":0,"shares":2}}`, "max 100000", "0", "0", "1"},
	} {
		writes := writesOf(t, step.update)
		if err := d.Apply(writes); err != nil {
			t.Errorf("%s: %v", step.update, err)
		}
		for file, want := range map[string]string{"cpu.max": step.max, "cpu.max.burst": step.burst, "cpu.idle": step.idle, "cpu.weight": step.weight} {
			// What the weight of an idle group reads as differs between kernels.
			if got := d.text(file); got != want && want != "" {
				t.Errorf("%s: %s is %q, want %q", step.update, file, got, want)
			}
		}
	}
	writes := writesOf(t, `{"cpu":{"quota":1000,"burst":5000}}`)
	var e *fault.Error
	if err := d.Apply(writes); !errors.As(err, &e) || e.Hint != (cgroupv2.Refusal{File: "cpu.max", Errno: unix.EINVAL}).Hint() {
		t.Errorf("burst above quota: %v", err)
	}
}

// A slice's controllers are systemd's: what it has not turned on, we do not
// pretend to have.
func TestMachineForeignController(t *testing.T) {
	inMachine(t)
	c := place(t)
	delegation := ProbeDelegation(c)
	choice, err := cgroupv2.Choose(cgroupv2.Situation{Manager: cgroupv2.Cgroupfs, ID: "foreign", Limits: true, Cgroup: c, Delegation: delegation})
	if err != nil {
		t.Fatal(err)
	}
	d, made, err := Tree(0).Create(choice, c.MountPoint, []string{"cpu"})
	var e *fault.Error
	if d != nil || !errors.As(err, &e) || e.Hint != cgroupv2.HintForeign || made != nil {
		t.Fatal(err, made)
	}
	t.Log(err)
}
