package strace

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// needSystemd skips a test that needs a service manager and cgroup v2.
func needSystemd(t *testing.T) {
	t.Helper()
	var st unix.Statfs_t
	if os.Getenv("HOMERUN_TEST_MACHINE") != "1" || unix.Statfs("/sys/fs/cgroup", &st) != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		t.Skip("needs systemd, and cgroup v2 with delegation")
	}
}

// inUnit has homerun run in a unit of the user's service manager, with or without
// a part of the cgroup tree of its own.
func (b *box) inUnit(delegate string) {
	b.t.Helper()
	uid, gid := b.ids()
	b.runtimeDir = "/run/user/" + b.user.Uid
	unit := "homerun-" + b.id
	b.asUser("systemd-run", "--user", "--quiet", "--collect", "--unit="+unit, "-p", "Delegate="+delegate, "sleep", "1000")
	b.t.Cleanup(func() { b.asUser("systemctl", "--user", "stop", unit) })
	dir := filepath.Join("/sys/fs/cgroup", strings.TrimSpace(b.asUser("systemctl", "--user", "show", "-P", "ControlGroup", unit)))
	if delegate == "yes" { // nobody may be in the cgroup whose children get controllers
		dir = filepath.Join(dir, "runtime")
		for _, err := range []error{os.Mkdir(dir, 0o755), os.Chown(dir, uid, gid), os.Chown(dir+"/cgroup.procs", uid, gid),
			os.WriteFile(dir+"/cgroup.procs", []byte(strings.TrimSpace(b.asUser("systemctl", "--user", "show", "-P", "MainPID", unit))), 0)} {
			if err != nil {
				b.t.Fatal(err)
			}
		}
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	b.cgroup = fd
	b.t.Cleanup(func() {
		unix.Close(fd)
		b.cgroup = -1
	})
}

// asUser runs a command of the system as the box's user.
func (b *box) asUser(args ...string) string {
	b.t.Helper()
	uid, gid := b.ids()
	return b.run(slices.Concat([]string{"/usr/bin/setpriv", "--reuid", strconv.Itoa(uid), "--regid", strconv.Itoa(gid), "--init-groups"}, args)...)
}

// limit asks for a limit of each kind that the machine has.
func (b *box) limit() {
	memory, pids, weight, quota, period := int64(64<<20), int64(50), uint64(512), int64(50000), uint64(100000)
	b.config.Linux.Resources = &specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: &memory, Reservation: &memory},
		Pids:    &specs.LinuxPids{Limit: &pids},
		CPU:     &specs.LinuxCPU{Shares: &weight, Quota: &quota, Period: &period},
		Unified: map[string]string{"memory.high": "50331648"},
	}
	if b.user == nil {
		b.config.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "c", Access: "rw"}}
	}
}

// TestPlanWithCgroupIsTheStrace compares containers with limits, for which systemd
// makes a scope, or homerun a cgroup.
func TestPlanWithCgroupIsTheStrace(t *testing.T) {
	needSystemd(t)
	tests := []struct {
		name     string
		rootless bool
		manager  string
		delegate string
		ask      wish
		has      string // in a line
	}{
		{"user, scope by default", true, "auto", "no", (*box).limit, "StartTransientUnit("},
		{"user, scope", true, "systemd", "yes", (*box).limit, "StartTransientUnit("},
		{"user, scope, own id", true, "auto", "no", func(b *box) { b.limit(); b.mapOwn() }, "StartTransientUnit("},
		{"user, scope, everything", true, "auto", "no", func(b *box) { b.limit(); b.fill(); b.hooks() }, "await-scope("},
		{"user, cgroupfs", true, "cgroupfs", "yes", (*box).limit, "cgroup/user.slice"},
		{"user, cgroupfs, everything", true, "cgroupfs", "yes", func(b *box) { b.limit(); b.fill(); b.hooks() }, "cgroup/user.slice"},
		{"user, a cgroup to delegate", true, "auto", "no", (*box).delegateCgroup, `mkdir("mine", 0755)`},
		{"root, scope", false, "systemd", "", (*box).limit, "StartTransientUnit("},
		{"root, cgroupfs", false, "cgroupfs", "", (*box).limit, "bpf(BPF_PROG_ATTACH"},
		{"root, scope, hooks", false, "systemd", "", func(b *box) { b.limit(); b.hooks() }, "await-scope("},
	}
	for _, test := range tests {
		for how, compare := range map[string]func(*box){"run": (*box).compareRun, "create and start": (*box).compareCreate, "detached and exec": (*box).compareDetached} {
			t.Run(test.name+", "+how, func(t *testing.T) {
				b := newBox(t, test.rootless)
				b.global, b.has = []string{"--cgroup-manager", test.manager}, test.has
				if test.rootless {
					b.inUnit(test.delegate)
				} else if test.manager == "cgroupfs" {
					b.config.Linux.CgroupsPath = "/" + b.id + "/below"
				}
				test.ask(b)
				compare(b)
			})
		}
	}
}

// TestDefaultIsTheStrace compares what an ordinary user gets who asks for nothing
// but limits and a network: the case of the README.
func TestDefaultIsTheStrace(t *testing.T) {
	needSystemd(t)
	b := newBox(t, true)
	b.inUnit("no")
	b.limit()
	b.config.Annotations = map[string]string{"run.homerun.net": "pasta"}
	b.has = "homerun-net("
	b.compareRun()
}

// TestPlanOfExecFromElsewhereIsTheStrace compares an exec by a process that may not
// start another in the container's cgroup, so that systemd moves that there: a scope's,
// or that of a unit with Delegate=yes.
func TestPlanOfExecFromElsewhereIsTheStrace(t *testing.T) {
	needSystemd(t)
	for _, delegate := range []string{"no", "yes"} {
		t.Run(delegate, func(t *testing.T) { execFromElsewhere(t, delegate) })
	}
}

func execFromElsewhere(t *testing.T, delegate string) {
	b := newBox(t, true)
	b.inUnit(delegate)
	b.config.Process.Args = []string{"sleep", "1000"}
	b.save()
	run := b.trace("run", "--detach", "--pid-file", filepath.Join(b.dir, "state/pid"), b.id)
	b.awaitFile("state/pid")
	b.awaitProgram("sleep")
	within := b.cgroup
	b.cgroup = -1 // that of this test, which belongs to the system
	d := b.compareExec()
	b.cgroup = within
	if !slices.ContainsFunc(d.Runtime, func(l line) bool { return strings.HasPrefix(l.Line, "AttachProcessesToUnit(") }) {
		t.Errorf("systemd is not asked: %v", d.Runtime)
	}
	b.run(b.verb("delete", "--force", b.id)...)
	run.calls() // which end with the container
}

// delegateCgroup asks for a cgroup below the container's, given to its root.
func (b *box) delegateCgroup() {
	b.limit()
	b.config.Annotations = map[string]string{"run.oci.delegate-cgroup": "mine"}
	b.config.Linux.Namespaces = append(slices.DeleteFunc(b.config.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.CgroupNamespace }),
		specs.LinuxNamespace{Type: specs.CgroupNamespace})
}
