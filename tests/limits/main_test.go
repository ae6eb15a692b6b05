// Package limits proves what homerun promises about cgroups, with systemd and
// without, as an ordinary user and as root. It runs in the test machine
// (hack/machine), where hack/testrun takes it.
package limits

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/again"
	"github.com/homerun-oci/homerun/tests/guest"
)

// callLimit is how long one command may take.
const callLimit = 30 * time.Second

type object = map[string]any

// reexecuted marks a test that runs in the unit that inUnit made for it.
const reexecuted = "HOMERUN_TEST_UNIT"

// inUnit runs the rest of the test in a service of its own with these
// properties, in which it is not yet: then it returns false.
func inUnit(t *testing.T, properties ...string) bool {
	t.Helper()
	if os.Getenv(reexecuted) == t.Name() {
		return true
	}
	args := []string{"--wait", "--pipe"}
	for _, p := range properties {
		args = append(args, "-p", p)
	}
	runBy(t, args...)
	return false
}

// enterSubgroup moves a shell out of the way of the scope's controllers, and has
// it go on as the command that follows.
const enterSubgroup = `c=/sys/fs/cgroup$(sed s/0::// /proc/self/cgroup) && mkdir $c/runtime && echo $$ >$c/runtime/cgroup.procs && exec "$@"`

// inScope is inUnit for a delegated scope.
func inScope(t *testing.T) bool {
	t.Helper()
	if os.Getenv(reexecuted) == t.Name() {
		return true
	}
	runBy(t, "--scope", "-p", "Delegate=yes", "sh", "-c", enterSubgroup, "sh")
	return false
}

// runBy runs the test by systemd-run, with these arguments.
func runBy(t *testing.T, arguments ...string) {
	t.Helper()
	args := []string{"systemd-run", "--quiet", "--collect", "--same-dir", "--setenv=" + reexecuted + "=" + t.Name()}
	for _, name := range []string{"HOMERUN_TEST_MACHINE", "HOMERUN", "PATH"} {
		args = append(args, "--setenv="+name+"="+os.Getenv(name))
	}
	if os.Geteuid() != 0 {
		args = append(args, "--user")
	}
	args = append(args, arguments...)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	again.Pass(t, exec.CommandContext(ctx, args[0], args[1:]...), t.Name())
}

// systemctl asks the manager that has the caller's containers.
func systemctl(t *testing.T, args ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		args = append([]string{"--user"}, args...)
	}
	out, err := guest.Command(callLimit, append([]string{"systemctl"}, args...)...)
	if err != nil {
		t.Fatalf("systemctl %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(out)
}

// box is a container to be.
type box struct {
	t       *testing.T
	manager string
	id      string
	dir     string
	root    string
	// before goes before homerun on the command line.
	before []string
	config object
}

// newBox makes a bundle with a BusyBox; its resources are JSON.
func newBox(t *testing.T, manager, resources string, args ...string) *box {
	t.Helper()
	b := &box{t: t, manager: manager, dir: t.TempDir(), id: "limits-" + strconv.Itoa(os.Getpid()) + "-" + strconv.Itoa(int(time.Now().UnixNano()%1e9))}
	b.root = filepath.Join(b.dir, "state")
	rootfs := filepath.Join(b.dir, "rootfs")
	if err := os.Mkdir(rootfs, 0o755); err != nil {
		t.Fatal(err)
	}
	busybox(t, rootfs)
	b.config = config(rootfs, args)
	if resources != "" {
		var res object
		if err := json.Unmarshal([]byte(resources), &res); err != nil {
			t.Fatal(err)
		}
		b.linux()["resources"] = res
	}
	return b
}

// busybox unpacks the machine's, or copies this host's.
func busybox(t *testing.T, rootfs string) {
	t.Helper()
	args := []string{"tar", "-C", rootfs, "-xf", "/usr/share/homerun-test/busybox.tar"}
	if os.Getenv("HOMERUN_TEST_MACHINE") != "1" {
		args = []string{"sh", "-c", "mkdir -p bin dev proc sys tmp && cp $(command -v busybox) bin/ && ln -s busybox bin/sh && ln -s busybox bin/true"}
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = rootfs
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func (b *box) linux() object { return b.config["linux"].(object) }

// namespaces are those of the config.
func (b *box) namespaces(kinds ...string) {
	var list []object
	for _, kind := range kinds {
		list = append(list, object{"type": kind})
	}
	b.linux()["namespaces"] = list
}

// config has root in a user namespace mapped to the caller.
func config(rootfs string, args []string) object {
	mapping := func(id int) []object { return []object{{"containerID": 0, "hostID": id, "size": 1}} }
	linux := object{}
	var namespaces []object
	for _, kind := range []string{"pid", "ipc", "uts", "mount", "cgroup", "user"} {
		if kind != "user" || os.Geteuid() != 0 {
			namespaces = append(namespaces, object{"type": kind})
		}
	}
	if os.Geteuid() != 0 {
		linux["uidMappings"], linux["gidMappings"] = mapping(os.Geteuid()), mapping(os.Getegid())
	}
	linux["namespaces"] = namespaces
	return object{
		"ociVersion": "1.2.0",
		"root":       object{"path": rootfs},
		"process":    object{"args": args, "cwd": "/", "user": object{"uid": 0, "gid": 0}, "env": []string{"PATH=/bin:/sbin"}},
		"mounts": []object{
			{"destination": "/proc", "type": "proc", "source": "proc"},
			{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": []string{"nosuid", "mode=755"}},
			{"destination": "/sys", "type": "bind", "source": "/sys", "options": []string{"rbind", "ro"}},
			{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": []string{"nosuid", "noexec", "nodev"}},
		},
		"linux": linux,
	}
}

// homerun runs one verb; verb options come before the id.
func (b *box) homerun(args ...string) (string, error) {
	b.t.Helper()
	return b.within(callLimit, args...)
}

// within is homerun, which may take so long.
func (b *box) within(limit time.Duration, args ...string) (string, error) {
	b.t.Helper()
	text, err := json.Marshal(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.dir, "config.json"), text, 0o644); err != nil {
		b.t.Fatal(err)
	}
	all := append(append([]string{}, b.before...), guest.Homerun(b.t), "--root", b.root, "--cgroup-manager", b.manager)
	return guest.Command(limit, append(all, args...)...)
}

// must is homerun for what has to succeed.
func (b *box) must(args ...string) string {
	b.t.Helper()
	out, err := b.homerun(args...)
	if err != nil {
		b.t.Fatalf("homerun %v: %v: %s", args, err, out)
	}
	return out
}

// start makes the container and starts its program.
func (b *box) start() {
	b.t.Helper()
	b.t.Cleanup(func() { b.must("delete", "--force", b.id) })
	b.must("create", "--bundle", b.dir, b.id)
	b.must("start", b.id)
}

// run runs the container's program to its end.
func (b *box) run(flags ...string) (string, error) {
	b.t.Helper()
	b.t.Cleanup(func() { b.must("delete", "--force", b.id) })
	return b.homerun(append(flags, "run", "--bundle", b.dir, b.id)...)
}

// state is what `state` prints.
type state struct {
	Status   string
	Pid      int
	OOMKills uint64
	Scope    string `json:"systemd-scope"`
}

func (b *box) state() (s state) {
	b.t.Helper()
	if err := json.Unmarshal([]byte(b.must("state", b.id)), &s); err != nil {
		b.t.Fatal(err)
	}
	return s
}

// cgroup is init's.
func (b *box) cgroup() string {
	b.t.Helper()
	return "/sys/fs/cgroup" + cgroupOf(b.t, strconv.Itoa(b.state().Pid))
}

func cgroupOf(t *testing.T, pid string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/" + pid + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(strings.TrimPrefix(string(text), "0::"))
}

// file reads a file of a cgroup.
func file(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// eventually waits for something that takes a moment.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after 10 s: not yet %s", what)
		}
	}
}

// managers runs a test with a scope, and in a delegated unit without, as an
// ordinary user and as root: one of them is skipped, so that hack/testrun calls
// again as the other.
func managers(t *testing.T, test func(t *testing.T, manager string)) {
	guest.Need(t)
	t.Run("user", func(t *testing.T) {
		guest.NeedUser(t)
		eachManager(t, test)
	})
	t.Run("root", func(t *testing.T) {
		guest.NeedRoot(t)
		eachManager(t, test)
	})
}

func eachManager(t *testing.T, test func(t *testing.T, manager string)) {
	t.Run("systemd", func(t *testing.T) { test(t, "systemd") })
	t.Run("cgroupfs", func(t *testing.T) {
		if inUnit(t, "Delegate=yes") {
			test(t, "cgroupfs")
		}
	})
}
