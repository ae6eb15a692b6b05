package strace

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/spec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// stageName is what ps shows of the container's stage.
func (b *box) stageName() string { return "homerun: init " + b.id }

// compareRun compares `run` with its plan, on both sides.
func (b *box) compareRun() {
	b.t.Helper()
	b.save()
	d := b.plan("--id", b.id)
	calls := b.trace(slices.Concat([]string{"run"}, b.flags, []string{b.id})...).calls()
	ran, pids := follow(b.t, d.printed, calls, b.stageName())
	checkRan(b.t, d.printed, ran)
	c := b.column()
	c.waits = waits(d)
	b.compare(c, d.Runtime, calls, pids, true)
}

// waits reports whether init waits for start.
func waits(d document) bool {
	return slices.ContainsFunc(d.Runtime, func(l line) bool { return strings.HasPrefix(l.Line, "answer start") })
}

// compareCreate compares `create` and `start` with their plan.
func (b *box) compareCreate() {
	b.t.Helper()
	if b.config.Process.Terminal {
		b.flags = append(b.flags, "--console-socket", b.listen("console.sock"))
	}
	b.flags = append(b.flags, "--pid-file", filepath.Join(b.dir, "state/pid"))
	b.save()
	d := b.plan("--id", b.id, "--create")
	leave := slices.IndexFunc(d.Runtime, func(l line) bool { return l.Line == "-- homerun start --" })
	if leave < 0 {
		b.t.Fatalf("the plan does not say where start begins: %v", d.Runtime)
	}
	create := b.trace(slices.Concat([]string{"create"}, b.flags, []string{b.id})...)
	b.awaitFile("state/pid")
	start := b.trace("start", b.id).calls()
	calls := create.calls()
	ran, pids := follow(b.t, d.printed, calls, b.stageName())
	checkRan(b.t, d.printed, ran)
	c := b.column()
	c.waits = true
	b.compare(c, d.Runtime[:leave], calls, pids, false)
	b.compare(c, d.Runtime[leave+1:], start, pids, false)
	b.run(b.verb("delete", "--force", b.id)...)
}

// compareDetached compares `run --detach` and `exec` with their plans.
func (b *box) compareDetached() {
	b.t.Helper()
	b.config.Process.Args, b.config.Process.Terminal = []string{"sleep", "1000"}, true
	b.save()
	console, pidfds := b.listen("console.sock"), b.listen("pidfd.sock")
	outside := []string{"--console-socket", console, "--pidfd-socket", pidfds, "--pid-file", filepath.Join(b.dir, "state/pid")}
	b.flags = append(outside, "--detach")
	d := b.plan("--id", b.id)
	run := b.trace(slices.Concat([]string{"run"}, b.flags, []string{b.id})...)
	b.awaitFile("state/pid")
	b.awaitProgram("sleep")
	b.compareExec("--tty")
	b.run(b.verb("kill", b.id, "KILL")...) // so that strace's run ends
	calls := run.calls()
	ran, pids := follow(b.t, d.printed, calls, b.stageName())
	checkRan(b.t, d.printed, ran)
	c := b.column()
	c.waits = waits(d)
	b.compare(c, d.Runtime, calls, pids, false)
	b.run(b.verb("delete", "--force", b.id)...)
}

// compareExec compares `exec` with its plan.
func (b *box) compareExec(flags ...string) document {
	b.t.Helper()
	d := b.plan(slices.Concat([]string{"--exec", b.id}, flags, []string{"--", "true"})...)
	calls := b.trace(slices.Concat([]string{"exec"}, b.flags, flags, []string{b.id, "true"})...).calls()
	_, pids := follow(b.t, d.printed, calls, "homerun: exec "+b.id)
	b.compare(b.column(), d.Runtime, calls, pids, false)
	return d
}

func checkRan(t *testing.T, p printed, ran []bool) {
	t.Helper()
	if n := count(ran); n < 80 || !ranStep(p, ran, "execve(") || !ranStep(p, ran, "pivot_root(") {
		t.Errorf("only %d of %d steps ran", n, len(ran))
	}
}

// wish is something that a case asks for.
type wish func(*box)

// TestPlanIsTheStrace compares containers that need no service manager.
func TestPlanIsTheStrace(t *testing.T) {
	tests := []struct {
		name     string
		rootless bool
		ask      wish
	}{
		{"root", false, func(*box) {}},
		{"root with everything", false, (*box).fill},
		{"root with hooks", false, (*box).hooks},
		{"root without a PID namespace", false, (*box).sharePIDs},
		{"root with a namespace by path", false, (*box).joinNetwork},
		{"one id", true, (*box).mapOwn},
		{"subordinate ids", true, func(*box) {}},
		{"subordinate ids with everything", true, (*box).fill},
		{"subordinate ids with hooks", true, (*box).hooks},
	}
	for _, test := range tests {
		for _, create := range []bool{false, true} {
			name := test.name + map[bool]string{false: ", run", true: ", create and start"}[create]
			t.Run(name, func(t *testing.T) {
				b := newBox(t, test.rootless)
				b.global = []string{"--cgroup-manager", "disabled"}
				test.ask(b)
				if create {
					b.compareCreate()
				} else {
					b.compareRun()
				}
			})
		}
	}
}

// TestPlanOfDetachedIsTheStrace compares `run --detach`, with all that is sent to
// its caller, and `exec` in what it leaves.
func TestPlanOfDetachedIsTheStrace(t *testing.T) {
	for name, rootless := range map[string]bool{"root": false, "subordinate ids": true} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, rootless)
			b.global = []string{"--cgroup-manager", "disabled"}
			b.compareDetached()
		})
	}
}

// TestPlanOfRootfsIsTheStrace compares `run --rootfs`, which has no config.json, and
// removes what it made in the root.
func TestPlanOfRootfsIsTheStrace(t *testing.T) {
	for name, rootless := range map[string]bool{"root": false, "subordinate ids": true} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, rootless)
			b.global = []string{"--cgroup-manager", "disabled"}
			b.save()
			flags := []string{"--rootfs", filepath.Join(b.dir, "rootfs"), "--net", "none"}
			d := b.plan(slices.Concat(flags, []string{"--id", b.id, "--", "true"})...)
			calls := b.trace(slices.Concat([]string{"run"}, flags, []string{"--name", b.id, "--", "true"})...).calls()
			ran, pids := follow(t, d.printed, calls, b.stageName())
			checkRan(t, d.printed, ran)
			b.compare(b.column(), d.Runtime, calls, pids, true)
		})
	}
}

// TestPlanWithNetworkIsTheStrace compares a container with a network of its own.
func TestPlanWithNetworkIsTheStrace(t *testing.T) {
	for _, mode := range []string{"pasta", "slirp4netns", "none"} {
		t.Run(mode, func(t *testing.T) {
			if mode != "none" {
				tool(t, mode)
			}
			b := newBox(t, true)
			if st, err := os.Stat("/dev/net/tun"); mode != "none" && (err != nil || st.Mode()&2 == 0) {
				t.Skip("users may not open /dev/net/tun")
			}
			b.global = []string{"--cgroup-manager", "disabled"}
			b.config.Annotations = map[string]string{"run.homerun.net": mode}
			b.compareRun()
		})
	}
}

// TestOperationsPrintAsStrace compares what no ordinary container has: the
// operations fail, but strace shows them all the same.
func TestOperationsPrintAsStrace(t *testing.T) {
	p, calls := straceOperations(t)
	ran, _ := follow(t, p, calls, "stage")
	for i, r := range ran {
		if !r {
			t.Errorf("step %d did not run: %s", i+1, p.Steps[i].Line)
		}
	}
}

func count(ran []bool) int {
	n := 0
	for _, r := range ran {
		if r {
			n++
		}
	}
	return n
}

func ranStep(p printed, ran []bool, prefix string) bool {
	for i, s := range p.Steps {
		if ran[i] && strings.HasPrefix(s.Call, prefix) {
			return true
		}
	}
	return false
}

// fill asks for all that makes operations of its own kind.
func (b *box) fill() {
	s := b.config
	s.Process.Terminal = true
	score, umask, mode := 500, uint32(0o27), os.FileMode(0o640)
	s.Domainname = "lan"
	s.Process.OOMScoreAdj, s.Process.User.Umask = &score, &umask
	s.Process.ConsoleSize = &specs.Box{Height: 25, Width: 81}
	s.Process.User.UID, s.Process.User.GID, s.Process.User.AdditionalGids = 5, 6, []uint32{7, 8}
	s.Process.Capabilities.Inheritable = []string{"CAP_KILL"}
	s.Process.Capabilities.Ambient = []string{"CAP_KILL"}
	s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE", Soft: 0, Hard: 2048}, {Type: "RLIMIT_NPROC", Soft: 1000, Hard: 1000}}
	s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux}
	s.Linux.Sysctl = map[string]string{"kernel.msgmax": "9000", "net.ipv4.ip_unprivileged_port_start": "80"}
	s.Linux.RootfsPropagation = "rslave"
	s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"swapoff"}, Action: specs.ActErrno}}}
	s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/pipe", Type: "p", FileMode: &mode}}
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.TimeNamespace})
	s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 7}}
	s.Mounts = append(s.Mounts,
		specs.Mount{Destination: "/a/tree", Type: "bind", Source: "rootfs/bin", Options: []string{"rbind", "rro", "nosuid"}},
		specs.Mount{Destination: "/a/file", Source: "rootfs/bin/true", Options: []string{"bind", "rslave", "nodev"}},
		specs.Mount{Destination: "/a/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"noatime", "nodiratime", "nosymfollow"}})
}

// mapOwn maps the caller's own ids and no others.
func (b *box) mapOwn() {
	uid, gid := b.ids()
	spec.MapOwn(b.config, uint32(uid), uint32(gid))
}

// joinNetwork has the container join a network namespace: the test's own.
func (b *box) joinNetwork() {
	for i, n := range b.config.Linux.Namespaces {
		if n.Type == specs.NetworkNamespace {
			b.config.Linux.Namespaces[i].Path = "/proc/" + strconv.Itoa(os.Getpid()) + "/ns/net"
		}
	}
}

// sharePIDs leaves the container no PID namespace of its own.
func (b *box) sharePIDs() {
	b.config.Linux.Namespaces = slices.DeleteFunc(b.config.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.PIDNamespace })
}

// hooks asks for two of each kind, which read all of the state.
func (b *box) hooks() {
	b.config.Hooks = &specs.Hooks{
		Prestart:      b.twoHooks("prestart"), //nolint:staticcheck // deprecated, and still what callers write
		CreateRuntime: b.twoHooks("createRuntime"), CreateContainer: b.twoHooks("createContainer"),
		StartContainer: b.twoHooks("startContainer"), Poststart: b.twoHooks("poststart"), Poststop: b.twoHooks("poststop"),
	}
}

func (b *box) twoHooks(kind string) []specs.Hook {
	b.t.Helper()
	name := filepath.Join("/bin/hook-" + kind)
	file := filepath.Join(b.dir, "rootfs", name)
	if err := os.Link(filepath.Join(b.dir, "rootfs/bin/true"), file); err != nil {
		b.t.Fatal(err)
	}
	if kind != "startContainer" { // whose path is the container's
		name = file
	}
	return []specs.Hook{{Path: name, Args: []string{"cat", "-"}}, {Path: name, Args: []string{"cat", "-", "-"}}}
}

// listen makes a socket that takes whatever is sent to it.
func (b *box) listen(name string) string {
	b.t.Helper()
	name = filepath.Join(b.dir, name)
	l, err := net.Listen("unix", name)
	if err == nil {
		b.t.Cleanup(func() { l.Close() })
		err = os.Chmod(name, 0o777)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.t.Cleanup(func() { c.Close() })
		}
	}()
	return name
}
