package limits

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/tests/guest"
)

// refuses runs a container that must not start, and wants these words; the hint
// is among them as for a person who asks.
func (b *box) refuses(want ...string) {
	b.t.Helper()
	out, err := b.run("--debug")
	if err == nil {
		b.t.Errorf("it ran: %s", out)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			b.t.Errorf("it does not say %q: %s", w, out)
		}
	}
	if out, err := b.homerun("state", b.id); err == nil {
		b.t.Errorf("it left: %s", out)
	}
}

// prints runs to a good end.
func (b *box) prints(want string) {
	b.t.Helper()
	if out, err := b.run(); err != nil || out != want {
		b.t.Errorf("%v: %s", err, out)
	}
}

// A controller that is not there is named, with the file and the fix. The test
// machine's kernel has neither of these.
func TestMissingController(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		fix := "no cgroup here has this controller, so Delegate= does not help: it is not compiled into the kernel"
		newBox(t, manager, `{"cpu": {"cpus": "0"}}`, "true").refuses("controller cpuset is not available", "hint:", fix)
		newBox(t, manager, `{"hugepageLimits": [{"pageSize": "2MB", "limit": 2097152}]}`, "true").
			refuses("controller hugetlb is not available", "hint:", fix)
		newBox(t, manager, `{"unified": {"memory.nothing": "1"}}`, "true").
			refuses("memory.nothing", `linux.resources.unified["memory.nothing"]`, "the kernel has no such file")
		newBox(t, manager, `{"unified": {"../memory.max": "1"}}`, "true").refuses("is not the name of a cgroup file")
	})
}

// A limit that only cgroup v1 has cannot be set, and that is said.
func TestOnlyV1(t *testing.T) {
	managers(t, func(t *testing.T, manager string) {
		newBox(t, manager, `{"memory": {"limit": 67108864, "swappiness": 10}}`, "echo", "ran").
			refuses("linux.resources.memory.swappiness: only cgroup v1 has this")
		newBox(t, manager, `{"cpu": {"realtimeRuntime": 5}}`, "echo", "ran").
			refuses("linux.resources.cpu.realtimeRuntime: only cgroup v1 has this")
	})
}

// hideBus runs homerun where no socket of a service manager can be seen.
func (b *box) hideBus() {
	if os.Geteuid() == 0 {
		b.before = []string{"unshare", "--mount", "sh", "-c",
			`mount -t tmpfs none /run/dbus && mount -t tmpfs none /run/systemd && exec "$@"`, "sh"}
		return
	}
	b.before = []string{"systemd-run", "--user", "--quiet", "--wait", "--pipe", "--collect", "-p", "InaccessiblePaths=" + os.Getenv("XDG_RUNTIME_DIR"),
		"env", "-u", "SYSTEMD_EXEC_PID"} // which would bring a warning about the unit
}

// Without a bus: --cgroup-manager=systemd says so, auto finds another way or
// says what is missing.
func TestNoBus(t *testing.T) {
	guest.Need(t)
	b := newBox(t, "systemd", `{"pids": {"limit": 5}}`, "true")
	b.hideBus()
	b.refuses("--cgroup-manager=systemd", "hint:", "loginctl enable-linger")
	b = newBox(t, "systemd", "", "true")
	b.hideBus()
	b.refuses("--cgroup-manager=systemd", "hint:")
	b = newBox(t, "auto", `{"pids": {"limit": 5}}`, "sh", "-c", "cat /sys/fs/cgroup/pids.max")
	b.hideBus()
	b.prints("5\n")
	b = newBox(t, "auto", "", "echo", "ran")
	b.hideBus()
	b.prints("ran\n")
}

// A variable that leads nowhere does not matter: the socket is at a known place.
func TestNoVariables(t *testing.T) {
	guest.NeedUser(t)
	for _, variables := range [][]string{
		{"env", "-u", "DBUS_SESSION_BUS_ADDRESS"},
		{"env", "-u", "DBUS_SESSION_BUS_ADDRESS", "-u", "XDG_RUNTIME_DIR"},
		{"env", "-u", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR=/run/user/0"},
		{"env", "DBUS_SESSION_BUS_ADDRESS=unix:path=/nowhere"},
	} {
		b := newBox(t, "systemd", `{"pids": {"limit": 5}}`, "cat", "/sys/fs/cgroup/pids.max")
		b.before = variables
		b.prints("5\n")
	}
}

// The private socket serves where there is no session bus.
func TestPrivateSocket(t *testing.T) {
	guest.NeedUser(t)
	b := newBox(t, "systemd", `{"pids": {"limit": 5}}`, "cat", "/sys/fs/cgroup/pids.max")
	b.before = []string{"systemd-run", "--user", "--quiet", "--wait", "--pipe", "--collect", "-p", "InaccessiblePaths=" + os.Getenv("XDG_RUNTIME_DIR") + "/bus"}
	b.prints("5\n")
}

// asDev runs homerun as the ordinary user in a system service without
// delegation and without a session; properties are the service's.
func (b *box) asDev(properties ...string) {
	b.t.Helper()
	b.before = []string{"systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--uid=dev", "--gid=dev"}
	for _, p := range properties {
		b.before = append(b.before, "-p", p)
	}
	config := config(filepath.Join(b.dir, "rootfs"), nil)
	linux := b.linux()
	linux["namespaces"] = append(config["linux"].(object)["namespaces"].([]object), object{"type": "user"})
	one := []object{{"containerID": 0, "hostID": 1000, "size": 1}}
	linux["uidMappings"], linux["gidMappings"] = one, one
	if out, err := guest.Command(callLimit, "chown", "-R", "dev:dev", b.dir); err != nil {
		b.t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(filepath.Dir(b.dir), 0o755); err != nil {
		b.t.Fatal(err)
	}
}

// noSession hides the user's service manager.
const noSession = "InaccessiblePaths=/run/user/1000"

// Without delegation a limit is refused with the way to get it, and a
// container without limits runs.
func TestNoDelegation(t *testing.T) {
	guest.NeedRoot(t)
	for _, manager := range []string{"auto", "cgroupfs"} {
		b := newBox(t, manager, `{"memory": {"limit": 67108864}}`, "true")
		b.asDev(noSession)
		b.refuses("is delegated to this user", "hint:", "Delegate=cpu cpuset io memory pids", "user@.service.d/delegate.conf")
		b = newBox(t, manager, "", "echo", "ran")
		b.asDev(noSession)
		b.prints("ran\n")
	}
}

// A login by ssh is in a scope of the system's, outside of the user manager's
// cgroups; so is this service. The scope is made all the same, exec goes into
// it, and update and delete work.
func TestOutsideOfUserManager(t *testing.T) {
	guest.NeedRoot(t)
	b := newBox(t, "systemd", `{"memory": {"limit": 67108864}, "pids": {"limit": 20}}`, "sleep", "100")
	b.asDev("Environment=XDG_RUNTIME_DIR=/run/user/1000")
	b.start()
	own := b.cgroup()
	if !strings.Contains(own, "/user@1000.service/") || file(t, own, "memory.max") != "67108864" {
		t.Errorf("the container is in %s", own)
	}
	if out := b.must("exec", b.id, "sh", "-c", "cat /proc/self/cgroup; echo $$ >/dev/null"); out != "0::/\n" {
		t.Errorf("exec is in %s", out)
	}
	b.must("update", "--memory", "48m", b.id)
	if got := file(t, own, "memory.max"); got != "50331648" {
		t.Errorf("updated memory.max is %s", got)
	}
}

// A cgroup v1 host refuses limits and runs what has none.
func TestV1Host(t *testing.T) {
	if guest.Unified() {
		t.Skip("needs a host with cgroup v1")
	}
	for _, manager := range []string{"auto", "cgroupfs", "systemd"} {
		b := newBox(t, manager, `{"memory": {"limit": 67108864}}`, "true")
		b.config["mounts"] = b.config["mounts"].([]object)[:2]
		b.refuses("cgroup", "hint:")
	}
	b := newBox(t, "auto", "", "sh", "-c", "true")
	b.config["mounts"] = b.config["mounts"].([]object)[:2]
	b.prints("")
}

// Without a manager there is no cgroup; limits are then an error.
func TestDisabled(t *testing.T) {
	guest.Need(t)
	newBox(t, "disabled", `{"pids": {"limit": 5}}`, "true").refuses("--cgroup-manager=disabled forbids them")
	b := newBox(t, "disabled", "", "sleep", "100")
	b.start()
	if own, self := b.cgroup(), "/sys/fs/cgroup"+cgroupOf(t, "self"); own != self {
		t.Errorf("container in %s, runtime in %s", own, self)
	}
	if n := b.count(); n != 1 {
		t.Errorf("ps lists %d", n)
	}
	if out, err := b.homerun("pause", b.id); err == nil || !strings.Contains(out, "no cgroup") {
		t.Errorf("pause: %v: %s", err, out)
	}
	b.must("kill", "--all", b.id, "KILL")
	eventually(t, "stopped", func() bool { return b.state().Status == "stopped" })
}
