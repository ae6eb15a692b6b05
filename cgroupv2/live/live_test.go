package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	"github.com/homerun-oci/homerun/limits"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// text is a file's content, or "".
func (d *Dir) text(name string) string {
	text, _ := d.read(name)
	return text
}

// limitsOf reads linux.resources.
func limitsOf(t testing.TB, resources string) limits.Set {
	t.Helper()
	var res specs.LinuxResources
	if err := json.Unmarshal([]byte(resources), &res); err != nil {
		t.Fatal(err)
	}
	set, _, err := limits.Of(&res)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func writesOf(t testing.TB, resources string) []cgroupv2.Write {
	t.Helper()
	return cgroupv2.Files(limitsOf(t, resources))
}

// unable ends a test that this host cannot run. It skips: hack/testrun then
// takes the test to the test machine, and counts one that ran nowhere as failed.
func unable(t testing.TB, why string) {
	t.Helper()
	t.Skip(why)
}

// playground is a fresh cgroup to test in: below the host's unified mount for
// root, else below the nearest writable ancestor.
func playground(t testing.TB) *Dir {
	t.Helper()
	base := ""
	for _, candidate := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		var st unix.Statfs_t
		if unix.Statfs(candidate, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			base = candidate
			break
		}
	}
	if base == "" {
		unable(t, "no cgroup2 file system is mounted")
	}
	if os.Getuid() != 0 {
		own, err := OfProcess(0)
		if err != nil {
			t.Fatal(err)
		}
		base = path.Join(base, path.Dir(own))
	}
	parent, err := Open(base)
	if err != nil {
		unable(t, err.Error())
	}
	defer parent.Close()
	name := fmt.Sprintf("homerun-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	d, made, err := parent.Create(name, nil)
	if err != nil {
		unable(t, err.Error())
	}
	if !slices.Equal(made, []string{name}) {
		t.Errorf("made %v", made)
	}
	t.Cleanup(func() {
		if err := d.Delete(limited(t, 10*time.Second)); err != nil {
			t.Error(err)
		}
		d.Close()
	})
	return d
}

func limited(t testing.TB, limit time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	return ctx
}

// spawn starts a command inside d with CLONE_INTO_CGROUP.
func spawn(t testing.TB, d *Dir, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: d.FD(), Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Error("a test process does not end")
		}
	})
	return cmd
}

func TestOpenRefusesOtherFileSystems(t *testing.T) {
	_, err := Open("/proc")
	if err == nil || !strings.Contains(err.Error(), "is not on a cgroup2 file system") {
		t.Errorf("got %v", err)
	}
	_, err = Open("/sys/fs/cgroup/homerun-none")
	if !errors.Is(err, unix.ENOENT) || strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v", err)
	}
}

func TestFilesStayInside(t *testing.T) {
	d := playground(t)
	for _, name := range []string{"../cgroup.procs", "/etc/passwd", "a/../../cgroup.procs"} {
		if _, err := d.read(name); err == nil {
			t.Errorf("read of %s went through", name)
		}
	}
}

func TestFreezeKillDelete(t *testing.T) {
	d := playground(t)
	sub, made, err := d.Create("a.b/c", nil)
	if err != nil || !slices.Equal(made, []string{"a.b", "a.b/c"}) {
		t.Fatal(made, err)
	}
	defer sub.Close()
	cmd := spawn(t, sub, "sleep", "60")
	if pids, err := d.Processes(); err != nil || !slices.Equal(pids, []int{cmd.Process.Pid}) {
		t.Fatalf("processes %v, %v", pids, err)
	}
	if own, err := OfProcess(cmd.Process.Pid); err != nil || !strings.HasSuffix(own, "/a.b/c") {
		t.Errorf("in %s, %v", own, err)
	}
	if d.Frozen() || !d.Populated() {
		t.Error("must run")
	}
	ctx := limited(t, 10*time.Second)
	if err := d.Freeze(ctx); err != nil || !d.Frozen() || !sub.Frozen() {
		t.Fatal("freeze:", err)
	}
	if err := d.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := d.Freeze(ctx); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := d.Kill(ctx); err != nil || d.Populated() {
		t.Fatal("kill of a frozen cgroup:", err)
	}
	t.Logf("kill until empty: %v", time.Since(start))
	spawn(t, sub, "sleep", "60")
	if err := d.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := sub.Delete(ctx); err != nil {
		t.Fatal("delete with a process inside:", err)
	}
	if err := sub.Delete(ctx); err != nil {
		t.Error("delete again:", err)
	}
	if pids, err := sub.Processes(); err != nil || len(pids) > 0 || sub.Populated() || sub.Frozen() {
		t.Error("a cgroup that is gone:", pids, err)
	}
	if err := sub.Kill(ctx); err != nil {
		t.Error("kill of a cgroup that is gone:", err)
	}
	if _, err := sub.Stats(); err == nil {
		t.Error("stats of a cgroup that is gone")
	}
}

// What Delete has killed it does not wait for any longer: it takes as long as to kill,
// and to remove what is empty then. The fastest of some are compared.
func TestDeleteAtOnce(t *testing.T) {
	d, ctx := playground(t), limited(t, 30*time.Second)
	fastest := func(end func(*Dir) error) time.Duration {
		least := time.Hour
		for range 20 {
			sub, _, err := d.Create("sub", nil)
			if err != nil {
				t.Fatal(err)
			}
			spawn(t, sub, "sleep", "60")
			begun := time.Now()
			err = end(sub)
			least = min(least, time.Since(begun))
			if sub.Close(); err != nil {
				t.Fatal(err)
			}
		}
		return least
	}
	// A busy machine may be slow in one half and not in the other, but not each time.
	for try := 1; ; try++ {
		byHand := fastest(func(sub *Dir) error { return errors.Join(sub.Kill(ctx), sub.remove()) })
		took := fastest(func(sub *Dir) error { return sub.Delete(ctx) })
		if took <= byHand+900*time.Microsecond {
			return
		}
		if try == 5 {
			t.Fatalf("it took %v, to kill and to remove %v", took, byHand)
		}
	}
}

// A cgroup made anew under the old name must not be removed by the old Dir.
func TestDeleteKnowsItsOwn(t *testing.T) {
	d := playground(t)
	old, _, err := d.Create("x", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := unix.Unlinkat(d.FD(), "x", unix.AT_REMOVEDIR); err != nil {
		t.Fatal(err)
	}
	anew, _, err := d.Create("x", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer anew.Close()
	if err := old.Delete(limited(t, time.Second)); err != nil {
		t.Error(err)
	}
	if !anew.alive() {
		t.Error("the new cgroup was removed")
	}
}

func TestKillByHandCatchesForkBombs(t *testing.T) {
	d := playground(t)
	spawn(t, d, "sh", "-c", `while :; do (sleep 0.2; sleep 30) & sleep 0.005; done`)
	time.Sleep(200 * time.Millisecond)
	ctx := limited(t, 10*time.Second)
	if err := d.killByHand(ctx); err != nil || d.Populated() {
		t.Fatal(err)
	}
}

func TestSignal(t *testing.T) {
	d := playground(t)
	cmd := spawn(t, d, "sleep", "60")
	ctx := limited(t, 10*time.Second)
	if err := d.Signal(ctx, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := d.await(ctx, "populated", 0); err != nil {
		t.Fatal(err)
	}
	_ = cmd
}

func TestEvacuate(t *testing.T) {
	d := playground(t)
	cmd := spawn(t, d, "sleep", "60")
	start := time.Now()
	if err := d.Evacuate(); err != nil {
		t.Fatal(err)
	}
	t.Logf("evacuation of one process: %v", time.Since(start))
	own, err := OfProcess(cmd.Process.Pid)
	if err != nil || path.Base(own) != cgroupv2.EvacuationLeaf {
		t.Error(own, err)
	}
}

func TestApplyNamesTheController(t *testing.T) {
	d := playground(t)
	err := d.Apply([]cgroupv2.Write{{File: "misc.max", Value: "x 1", Pointer: "linux.resources.unified.misc.max"}})
	if err == nil || errors.Is(err, unix.EINVAL) {
		t.Skip("this host gave the misc controller")
	}
	var e *fault.Error
	if !errors.As(err, &e) || e.Hint == "" || !errors.Is(err, unix.ENOENT) {
		t.Fatal(err)
	}
	want := fmt.Sprintf("cgroupv2: write %q to %s/misc.max (linux.resources.unified.misc.max): controller misc is not available here: ENOENT", "x 1", d.Path())
	if err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	err = d.Apply([]cgroupv2.Write{{File: "misc.max", Value: "x", Tolerate: []unix.Errno{unix.ENOENT}}, {File: "cgroup.max.depth", Value: "3"}})
	if got, _ := d.read("cgroup.max.depth"); err != nil || got != "3" {
		t.Error(got, err)
	}
	err = d.Apply([]cgroupv2.Write{{File: "misc.max", Value: "x", Else: &cgroupv2.Write{File: "cgroup.max.depth", Value: "4"}}})
	if got, _ := d.read("cgroup.max.depth"); err != nil || got != "4" {
		t.Error(got, err)
	}
}

func TestCreateNamesTheMissingController(t *testing.T) {
	d := playground(t)
	leaf, made, err := d.Create("x/y", []string{"nonsense"})
	if leaf != nil || made != nil || err == nil || !strings.Contains(err.Error(), "controller nonsense is not available here") {
		t.Errorf("got %v, %v", made, err)
	}
	if names, _ := d.children(); len(names) > 0 {
		t.Error("left behind:", names)
	}
}

func TestDelegate(t *testing.T) {
	if os.Getuid() != 0 {
		unable(t, "delegation to another user needs root")
	}
	d := playground(t)
	if err := d.Delegate(12345, 12346); err != nil {
		t.Fatal(err)
	}
	owner := func(name string) uint32 {
		var st unix.Stat_t
		if err := unix.Fstatat(d.FD(), name, &st, 0); err != nil {
			t.Fatal(err)
		}
		return st.Uid
	}
	for name, want := range map[string]uint32{".": 12345, "cgroup.procs": 12345, "cgroup.subtree_control": 12345, "cgroup.freeze": 0, "cgroup.kill": 0} {
		if got := owner(name); got != want {
			t.Errorf("%s belongs to %d", name, got)
		}
	}
}

// filter loads a device program and attaches it.
func filter(d *Dir, code []cgroupv2.Instruction) error {
	program, err := LoadDevices(code)
	if err != nil {
		return err
	}
	defer program.Close()
	return d.AttachDevices(program)
}

func TestAttachDevices(t *testing.T) {
	if os.Getuid() != 0 {
		unable(t, "device programs need root")
	}
	d := playground(t)
	deny, err := cgroupv2.DeviceRules(nil)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if err := filter(d, cgroupv2.DeviceProgram(deny)); err != nil {
		t.Fatal(err)
	}
	t.Logf("load and attach: %v", time.Since(start))
	opens := func(device string) bool {
		cmd := exec.Command("dd", "if="+device, "of=/dev/null", "count=0", "status=none")
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: d.FD()}
		return cmd.Run() == nil
	}
	if !opens("/dev/zero") || opens("/dev/kmsg") {
		t.Errorf("zero %v, kmsg %v", opens("/dev/zero"), opens("/dev/kmsg"))
	}
	all, err := cgroupv2.DeviceRules([]specs.LinuxDeviceCgroup{{Allow: true, Type: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := filter(d, cgroupv2.DeviceProgram(all)); err != nil {
		t.Fatal(err)
	}
	if !opens("/dev/kmsg") {
		t.Error("the first program was not replaced")
	}
	count := func() int {
		old, err := d.programs()
		if err != nil {
			t.Fatal(err)
		}
		closeAll(old)
		return len(old)
	}
	if n := count(); n != 1 {
		t.Errorf("%d programs", n)
	}
	// Somebody else's program beside ours: both give way.
	program, err := loadProgram(cgroupv2.DeviceProgram(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.attachProgram(program, nil); err != nil {
		t.Fatal(err)
	}
	unix.Close(program)
	if n := count(); n != 2 || opens("/dev/zero") {
		t.Errorf("%d programs", n)
	}
	if err := filter(d, cgroupv2.DeviceProgram(all)); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 1 || !opens("/dev/kmsg") {
		t.Errorf("%d programs", n)
	}
}

func TestStatsOfEverything(t *testing.T) {
	d := playground(t)
	spawn(t, d, "sleep", "60")
	s, err := d.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if s.CPU.PSI == nil {
		t.Log("this kernel has no pressure stall information")
	}
	if s.OOMKills != 0 {
		t.Error("OOM kills")
	}
}

func BenchmarkProcesses(b *testing.B) {
	d := playground(b)
	for b.Loop() {
		if _, err := d.Processes(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCreateDelete(b *testing.B) {
	d := playground(b)
	for b.Loop() {
		leaf, _, err := d.Create("x", nil)
		if err != nil {
			b.Fatal(err)
		}
		if err := leaf.Delete(context.Background()); err != nil {
			b.Fatal(err)
		}
		leaf.Close()
	}
}

// A program that the verifier refuses is our bug, and it says which.
func TestVerifierWords(t *testing.T) {
	if os.Getuid() != 0 {
		unable(t, "device programs need root")
	}
	_, err := loadProgram([]cgroupv2.Instruction{{Op: 0xbf, Dst: 0, Src: 9}, {Op: 0x95}})
	if err == nil || !strings.Contains(err.Error(), "BUG: the verifier says") || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
}
