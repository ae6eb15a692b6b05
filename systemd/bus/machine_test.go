package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/fault"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/limits"
	"github.com/homerun-oci/homerun/systemd"
	"github.com/homerun-oci/homerun/tests/again"
)

// inMachine is for tests that want a real service manager.
func inMachine(t testing.TB) {
	t.Helper()
	if os.Getenv("HOMERUN_TEST_MACHINE") != "1" {
		unable(t, "needs the test machine (hack/machine)")
	}
}

func realPlace() Place {
	return Place{System: os.Getuid() == 0, UID: os.Getuid(), HostUID: os.Getuid(),
		SessionAddress: os.Getenv("DBUS_SESSION_BUS_ADDRESS"), RuntimeDir: os.Getenv("XDG_RUNTIME_DIR")}
}

func realManager(t testing.TB, p Place) *Conn {
	t.Helper()
	c, err := Connect(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func systemctl(t testing.TB, args ...string) string {
	t.Helper()
	if os.Getuid() != 0 {
		args = append([]string{"--user"}, args...)
	}
	out, err := exec.CommandContext(limited(t, 20*time.Second), "systemctl", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("systemctl %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func spawn(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd
}

func request(t testing.TB, resources string) systemd.Request {
	t.Helper()
	var res specs.LinuxResources
	if err := json.Unmarshal([]byte(resources), &res); err != nil {
		t.Fatal(err)
	}
	set, _, err := limits.Of(&res)
	if err != nil {
		t.Fatal(err)
	}
	return systemd.Resources(set)
}

// scope puts a process into a new scope with limits.
func scope(t testing.TB, c *Conn, name, res string, cmd *exec.Cmd) *live.Dir {
	t.Helper()
	_, unit, err := systemd.ParsePath("user.slice:homerun-test:"+name, "", true)
	if err != nil {
		t.Fatal(err)
	}
	wanted := request(t, res)
	r, err := systemd.Properties(systemd.Scope{Unit: unit, Slice: "user.slice", Description: "homerun test"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	j, err := c.Start(t.Context(), unit, cmd.Process.Pid, append(r.Properties, wanted.Properties...))
	if err != nil {
		t.Fatal(err)
	}
	sent := time.Since(start)
	if err := j.Wait(limited(t, 20*time.Second), -1); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: sent after %v, done after %v, dropped %v", unit, sent, time.Since(start), j.dropped)
	own, err := live.OfProcess(cmd.Process.Pid)
	if err != nil || !strings.HasSuffix(own, "/user.slice/"+unit) {
		t.Fatalf("the process is in %s, %v", own, err)
	}
	d, err := live.Open("/sys/fs/cgroup" + own)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := limited(t, 20*time.Second)
		if err := d.Kill(ctx); err != nil {
			t.Error(err)
		}
		if err := c.Stop(ctx, unit); err != nil {
			t.Error(err)
		}
		d.Close()
	})
	return d
}

func content(t testing.TB, d *live.Dir, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.Path(), file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// Limits reach the file and systemd, an update too, and survive a reload.
func TestMachineScope(t *testing.T) {
	inMachine(t)
	c := realManager(t, realPlace())
	t.Log("connected to", c.Socket())
	d := scope(t, c, "limits", `{"memory":{"limit":67108864,"reservation":4096},"pids":{"limit":7}}`, spawn(t, "sleep", "60"))
	unit := filepath.Base(d.Path())
	check := func(memory, pids string) {
		t.Helper()
		if m, p := content(t, d, "memory.max"), content(t, d, "pids.max"); m != memory || p != pids {
			t.Errorf("files: memory %s, pids %s", m, p)
		}
		want := "MemoryMax=" + memory + "\nTasksMax=" + pids
		if got := systemctl(t, "show", "-p", "MemoryMax,TasksMax", unit); got != want {
			t.Errorf("systemctl shows %q, want %q", got, want)
		}
	}
	check("67108864", "7")
	update := request(t, `{"memory":{"limit":33554432},"pids":{"limit":9}}`)
	if dropped, err := c.SetProperties(limited(t, 5*time.Second), unit, update.Properties); err != nil || dropped != nil {
		t.Fatal(dropped, err)
	}
	check("33554432", "9")
	systemctl(t, "daemon-reload")
	check("33554432", "9")
	got := strings.Split(systemctl(t, "show", "-p", "Delegate,CollectMode,OOMPolicy", unit), "\n")
	slices.Sort(got)
	if !slices.Equal(got, []string{"CollectMode=inactive-or-failed", "Delegate=yes", "OOMPolicy=continue"}) {
		t.Errorf("systemctl shows %q", got)
	}
	sub, _, err := d.Create("container", []string{"memory", "pids"})
	if err == nil {
		t.Error("a scope with a process of its own gave controllers away")
		sub.Close()
	}
	t.Log(err)
}

// Each property that systemd has for a resource of this kernel, as it says
// itself.
func TestMachineProperties(t *testing.T) {
	inMachine(t)
	c := realManager(t, realPlace())
	d := scope(t, c, "properties", `{"memory":{"limit":67108864,"swap":67108864,"reservation":4194304},"pids":{"limit":-1},
		"cpu":{"shares":2048,"quota":33333,"period":100000,"cpus":"0","mems":"0"},"blockIO":{"weight":500,"throttleReadBpsDevice":[{"major":98,"minor":0,"rate":1048576}]},
		"unified":{"memory.high":"50331648"}}`, spawn(t, "sleep", "60"))
	unit := filepath.Base(d.Path())
	names := "MemoryMax,MemorySwapMax,MemoryLow,MemoryHigh,TasksMax,CPUWeight,CPUQuotaPerSecUSec,CPUQuotaPeriodUSec,AllowedCPUs,AllowedMemoryNodes,IOWeight,IOReadBandwidthMax"
	got := strings.Split(systemctl(t, "show", "-p", names, unit), "\n")
	for _, want := range []string{"MemoryMax=67108864", "MemorySwapMax=0", "MemoryLow=4194304", "MemoryHigh=50331648", "TasksMax=infinity", "CPUWeight=174",
		"CPUQuotaPerSecUSec=340ms", "CPUQuotaPeriodUSec=100ms", "AllowedCPUs=0", "AllowedMemoryNodes=0", "IOWeight=4950", "IOReadBandwidthMax=/dev/block/98:0 1048576"} {
		if !slices.Contains(got, want) {
			t.Errorf("systemctl does not show %s", want)
		}
	}
	if t.Failed() {
		t.Logf("%q", got)
	}
	update := request(t, `{"cpu":{"idle":1,"quota":-1}}`)
	if dropped, err := c.SetProperties(limited(t, 5*time.Second), unit, update.Properties); err != nil || dropped != nil {
		t.Fatal(dropped, err)
	}
	if got := systemctl(t, "show", "-p", "CPUWeight", unit); got != "CPUWeight=idle" {
		t.Errorf("systemctl shows %s", got)
	}
	if got := systemctl(t, "show", "-p", "CPUQuotaPerSecUSec", unit); got != "CPUQuotaPerSecUSec=infinity" {
		t.Errorf("systemctl shows %s", got)
	}
}

// The sub-cgroup that keeps the scope free of processes: made, entered, and
// only then may the scope give controllers away. pids.max 1 is not in the way,
// and a reload leaves all of it alone.
func TestMachineSubgroup(t *testing.T) {
	inMachine(t)
	c := realManager(t, realPlace())
	cmd := spawn(t, "sleep", "60")
	d := scope(t, c, "subgroup", `{"pids":{"limit":1}}`, cmd)
	start := time.Now()
	sub, _, err := d.Create("container", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Close()
	if err := sub.Attach(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := d.Enable([]string{"memory", "pids"}); err != nil {
		t.Fatal(err)
	}
	t.Logf("sub-cgroup after %v", time.Since(start))
	systemctl(t, "daemon-reload")
	if got := content(t, d, "cgroup.subtree_control"); !strings.Contains(got, "memory") || content(t, d, "pids.max") != "1" {
		t.Errorf("after the reload: %s", got)
	}
	if own, _ := live.OfProcess(cmd.Process.Pid); filepath.Base(own) != "container" {
		t.Error(own)
	}
}

// Ensure writes what systemd did not, and says what nobody can.
func TestMachineScopeEnsure(t *testing.T) {
	inMachine(t)
	c := realManager(t, realPlace())
	d := scope(t, c, "ensure", `{}`, spawn(t, "sleep", "60"))
	if err := d.Ensure(cgroupv2.Files(nil)); err != nil {
		t.Error(err)
	}
	if err := d.Ensure([]cgroupv2.Write{{File: "pids.max", Value: "5"}, {File: "memory.high", Value: "max"}}); err != nil || content(t, d, "pids.max") != "5" {
		t.Error(err)
	}
	err := d.Ensure([]cgroupv2.Write{{File: "rdma.max", Value: "a hca_handle=1", Pointer: "linux.resources.rdma.a"}})
	if err == nil || !strings.Contains(err.Error(), "controller rdma is not available here") {
		t.Error(err)
	}
}

// A scope whose process the OOM killer took leaves nothing behind, and its
// name is free at once.
func TestMachineScopeOOM(t *testing.T) {
	inMachine(t)
	c := realManager(t, realPlace())
	for range 2 {
		cmd := exec.Command("sh", "-c", `read x; x=$(head -c 50000000 /dev/zero | tr '\0' x); sleep 60`)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		d := scope(t, c, "oom", `{"memory":{"limit":4194304,"swap":4194304},"unified":{"memory.oom.group":"1"}}`, cmd)
		in.Close()
		cmd.Wait()
		if s, err := d.Stats(); err != nil || s.OOMKills == 0 {
			t.Log("the scope was collected before it could be asked about the OOM")
		}
		if err := c.Stop(limited(t, 20*time.Second), filepath.Base(d.Path())); err != nil {
			t.Error(err)
		}
	}
	if got := systemctl(t, "list-units", "--all", "--plain", "--no-legend", "homerun-test-oom*"); got != "" {
		t.Errorf("left: %s", got)
	}
}

func TestMachineHundredScopes(t *testing.T) {
	inMachine(t)
	c := realManager(t, realPlace())
	for i := range 100 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			scope(t, c, "hundred", `{"pids":{"limit":5}}`, spawn(t, "sleep", "60"))
		})
	}
	if got := systemctl(t, "list-units", "--all", "--plain", "--no-legend", "homerun-test-hundred*"); got != "" {
		t.Errorf("left: %s", got)
	}
	if got := systemctl(t, "list-units", "--failed", "--plain", "--no-legend", "homerun*"); got != "" {
		t.Errorf("failed: %s", got)
	}
}

// The same name while it runs: refused, and the first one lives.
func TestMachineUnitExists(t *testing.T) {
	inMachine(t)
	c := realManager(t, realPlace())
	d := scope(t, c, "twice", `{}`, spawn(t, "sleep", "60"))
	other := spawn(t, "sleep", "60")
	r, _ := systemd.Properties(systemd.Scope{Unit: filepath.Base(d.Path()), Slice: "user.slice"}, nil, nil)
	j, err := c.Start(t.Context(), filepath.Base(d.Path()), other.Process.Pid, r.Properties)
	if err != nil {
		t.Fatal(err)
	}
	err = j.Wait(limited(t, 10*time.Second), -1)
	if err == nil || !strings.HasSuffix(err.Error(), "a unit of this name exists") || !d.Populated() {
		t.Error(err)
	}
}

func TestMachineUnknownProperty(t *testing.T) {
	inMachine(t)
	c := realManager(t, realPlace())
	cmd := spawn(t, "sleep", "60")
	r, _ := systemd.Properties(systemd.Scope{Unit: "homerun-test-unknown.scope", Slice: "user.slice"}, nil, nil)
	j, err := c.Start(t.Context(), "homerun-test-unknown.scope", cmd.Process.Pid, append(r.Properties, systemd.Property{Name: "HomerunFuture", Value: true}))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Wait(limited(t, 10*time.Second), -1); err != nil || len(j.dropped) != 1 {
		t.Errorf("dropped %v, %v", j.dropped, err)
	}
	cmd.Process.Kill()
	if err := c.Stop(limited(t, 20*time.Second), "homerun-test-unknown.scope"); err != nil {
		t.Error(err)
	}
}

func TestMachineDeadProcess(t *testing.T) {
	inMachine(t)
	c := realManager(t, realPlace())
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	r, _ := systemd.Properties(systemd.Scope{Unit: "homerun-test-dead.scope", Slice: "user.slice"}, nil, nil)
	_, err := c.Start(t.Context(), "homerun-test-dead.scope", cmd.Process.Pid, r.Properties)
	if err == nil || !strings.HasSuffix(err.Error(), "the container's process ended before it was moved") {
		t.Error(err)
	}
}

// A user manager is asked whether it delegated.
func TestMachineDelegated(t *testing.T) {
	inMachine(t)
	c := realManager(t, realPlace())
	scope(t, c, "delegated", `{}`, spawn(t, "sleep", "60"))
	start := time.Now()
	if yes, err := c.Delegated(limited(t, 5*time.Second), 0); yes || err != nil {
		t.Error("our own service:", yes, err)
	}
	t.Logf("asked in %v", time.Since(start))
	cmd := spawn(t, "sleep", "60")
	scope(t, c, "delegated-2", `{}`, cmd)
	if yes, err := c.Delegated(limited(t, 5*time.Second), uint32(cmd.Process.Pid)); !yes || err != nil {
		t.Error("the scope:", yes, err)
	}
}

// Every way to the manager that a user may be left with.
func TestMachineWays(t *testing.T) {
	inMachine(t)
	uid := os.Getuid()
	if uid == 0 {
		c := realManager(t, Place{System: true, Run: privateOnly(t, "/run/systemd/private", "systemd/private")})
		scope(t, c, "way-private", `{"pids":{"limit":5}}`, spawn(t, "sleep", "60"))
		return
	}
	session := fmt.Sprintf("/run/user/%d", uid)
	for name, p := range map[string]Place{
		"only-runtime-dir": {UID: uid, HostUID: 4000000, RuntimeDir: session},
		"nothing-set":      {UID: uid, HostUID: uid},
		"after-su":         {UID: uid, HostUID: uid, RuntimeDir: "/run/user/0", SessionAddress: "unix:path=/run/user/0/bus"},
		"private":          {UID: uid, HostUID: 4000000, RuntimeDir: privateOnly(t, session+"/systemd/private", "systemd/private")},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			c := realManager(t, p)
			t.Logf("%s after %v", c.Socket(), time.Since(start))
			scope(t, c, "way-"+name, `{"pids":{"limit":5}}`, spawn(t, "sleep", "60"))
		})
	}
	_, err := Connect(context.Background(), Place{UID: uid, HostUID: 4000000})
	if err == nil || err.(*fault.Error).Hint == "" {
		t.Error(err)
	}
	t.Log(err)
}

func privateOnly(t testing.TB, target, name string) string {
	t.Helper()
	dir := t.TempDir()
	link := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	return dir
}

// As podman runs us: root of a user namespace whose root is the user.
func TestMachineInUserNamespace(t *testing.T) {
	inMachine(t)
	if os.Getuid() == 0 {
		unable(t, "is about users without root")
	}
	cmd := &exec.Cmd{Env: append(os.Environ(), "HOMERUN_TEST_HOST_UID="+strconv.Itoa(os.Getuid()))}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	again.Pass(t, cmd, "TestInNamespace")
}

// TestInNamespace is the inside of TestMachineInUserNamespace.
func TestInNamespace(t *testing.T) {
	host, err := strconv.Atoi(os.Getenv("HOMERUN_TEST_HOST_UID"))
	if err != nil {
		t.Log("only inside of TestMachineInUserNamespace")
		return
	}
	c := realManager(t, Place{UID: 0, HostUID: host, RuntimeDir: os.Getenv("XDG_RUNTIME_DIR")})
	d := scope(t, c, "namespace", `{"pids":{"limit":5}}`, spawn(t, "sleep", "60"))
	if got := content(t, d, "pids.max"); got != "5" {
		t.Errorf("pids.max is %s", got)
	}
}

func TestMachineAttach(t *testing.T) {
	inMachine(t)
	c := realManager(t, realPlace())
	d := scope(t, c, "attach", `{}`, spawn(t, "sleep", "60"))
	sub, _, err := d.Create("container", nil)
	if err != nil {
		t.Fatal(err)
	}
	sub.Close()
	other := spawn(t, "sleep", "60")
	if err := c.Attach(limited(t, 10*time.Second), filepath.Base(d.Path()), "container", uint32(other.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	pids, err := d.Processes()
	if err != nil || !slices.Contains(pids, other.Process.Pid) {
		t.Error(pids, err)
	}
	if own, _ := live.OfProcess(other.Process.Pid); filepath.Base(own) != "container" {
		t.Error(own)
	}
}
