package strace

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestPlanWithOthersIsTheStrace compares containers with whom others have to do: an
// agent, a service manager that wants to hear of it, devices of the host, resctrl,
// and mounts for which the runtime does something itself.
func TestPlanWithOthersIsTheStrace(t *testing.T) {
	tests := []struct {
		name     string
		rootless bool
		ask      wish
		has      string // in a line
	}{
		{"root, seccomp agent", false, (*box).askAgent, "send-listener("},
		{"subordinate ids, seccomp agent", true, (*box).askAgent, "send-listener("},
		{"root, network device", false, (*box).giveDevice, "move-devices("},
		{"root, class of resctrl", false, (*box).joinClass, "join-class("},
		{"root, ids of a mount", false, (*box).mapMount, "idmap("},
		{"root, copied up", false, (*box).copyUp, "copy("},
		{"subordinate ids, copied up", true, (*box).copyUp, "copy("},
		{"subordinate ids, notify socket", true, (*box).notify, `mkdir("notify"`},
	}
	for _, test := range tests {
		for how, compare := range map[string]func(*box){"run": (*box).compareRun, "create and start": (*box).compareCreate} {
			t.Run(test.name+", "+how, func(t *testing.T) {
				b := newBox(t, test.rootless)
				b.global, b.has = []string{"--cgroup-manager", "disabled"}, test.has
				test.ask(b)
				compare(b)
			})
		}
	}
}

// askAgent has an agent answer a call that nobody makes.
func (b *box) askAgent() {
	b.config.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, ListenerPath: b.listen("agent.sock"),
		Syscalls: []specs.LinuxSyscall{{Names: []string{"swapoff"}, Action: specs.ActNotify}}}
}

// giveDevice gives the container a network device that is made for it. It ends with
// the container's namespace.
func (b *box) giveDevice() {
	b.t.Helper()
	name := "hr" + strconv.Itoa(os.Getpid())
	ip := tool(b.t, "ip")
	out, err := exec.Command(ip, "link", "add", name, "type", "dummy").CombinedOutput()
	if err != nil {
		out, err = exec.Command(ip, "tuntap", "add", "dev", name, "mode", "tap").CombinedOutput()
	}
	if err != nil {
		unavailable(b.t, "no network device can be made: %v: %s", err, out)
	}
	b.t.Cleanup(func() { _ = exec.Command("ip", "link", "del", name).Run() })
	b.config.Linux.NetDevices = map[string]specs.LinuxNetDevice{name: {Name: "inside"}}
}

// joinClass has the container join a class of resctrl that is there. Few machines
// have resctrl, so all is started where plain files are in its place.
func (b *box) joinClass() {
	const class = "/sys/fs/resctrl/gold"
	b.around = []string{tool(b.t, "unshare"), "--mount", "--propagation", "private", "sh", "-c",
		"mount -t tmpfs none /sys/fs && mkdir -p " + class + " && echo 'L3:0=f' | tee /sys/fs/resctrl/schemata " + class + "/schemata >" + class + "/tasks && exec \"$@\"", "sh"}
	b.config.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "gold", L3CacheSchema: "L3:0=f"}
}

// mapMount maps the ids of a mount as the user namespace does that the container
// joins. For others homerun traces a process, which strace would do as well.
func (b *box) mapMount() {
	b.t.Helper()
	cmd := exec.Command("/bin/sleep", "1000")
	ids := []syscall.SysProcIDMap{{HostID: 100000, Size: 65536}}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	for _, name := range []string{"rootfs", "rootfs/bin"} { // in which the container's root makes mount points
		if err := os.Chown(filepath.Join(b.dir, name), 100000, 100000); err != nil {
			b.t.Fatal(err)
		}
	}
	b.config.Linux.Namespaces = append(b.config.Linux.Namespaces,
		specs.LinuxNamespace{Type: specs.UserNamespace, Path: fmt.Sprintf("/proc/%d/ns/user", cmd.Process.Pid)})
	b.config.Mounts = append(b.config.Mounts, specs.Mount{Destination: "/mapped", Type: "bind", Source: "rootfs/bin", Options: []string{"bind", "idmap"}})
}

// copyUp copies what another mount covers, which the plan itself does not.
func (b *box) copyUp() {
	b.t.Helper()
	dir := filepath.Join(b.dir, "covered")
	if err := os.MkdirAll(dir+"/below", 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/below/file", []byte("text"), 0o644); err != nil {
		b.t.Fatal(err)
	}
	b.config.Mounts = append(b.config.Mounts, specs.Mount{Destination: "/data", Type: "bind", Source: dir, Options: []string{"bind"}},
		specs.Mount{Destination: "/data", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}})
}

// notify has a service manager listen to the container.
func (b *box) notify() {
	b.t.Helper()
	name := filepath.Join(b.dir, "notify.sock")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err == nil {
		b.t.Cleanup(func() { l.Close() })
		err = os.Chmod(name, 0o777)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.variables = []string{"NOTIFY_SOCKET=" + name}
}
