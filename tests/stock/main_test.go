// Package stock has tests of what only a kernel as distributions ship it can do: AppArmor, the controllers that
// User-Mode-Linux lacks, memory nodes. They run as root of the test machine with a stock kernel
// (hack/machine --kernel stock), where hack/testrun takes them; what a test finds missing there is a failure.
package stock

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/homerun-oci/homerun/tests/guest"
)

type object = map[string]any

// need skips a test on any other kernel.
func need(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("HOMERUN_TEST_KERNEL") != "stock" {
		t.Skip("needs a stock kernel: " + what)
	}
}

// needSELinux skips a test where the kernel has AppArmor in its place, of which there can be only one, and has SELinux
// enforce the policy of hack/machine.d/stock/policy.cil.
func needSELinux(t *testing.T) {
	t.Helper()
	if os.Getenv("HOMERUN_TEST_KERNEL") != "selinux" {
		t.Skip("needs SELinux")
	}
	write(t, "/sys/fs/selinux/enforce", "1")
}

// callers runs a test with root's containers, and with those of an ordinary user.
func callers(t *testing.T, test func(t *testing.T, dev bool)) {
	t.Run("root", func(t *testing.T) { test(t, false) })
	t.Run("dev", func(t *testing.T) { test(t, true) })
}

// commandOfDev is guest.Answer for the ordinary user, in a cgroup of his manager's, which systemd-run would take seconds for.
func commandOfDev(t *testing.T, args ...string) (string, error) {
	t.Helper()
	const group = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/stock"
	if err := os.MkdirAll(group, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(group)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = []string{"HOME=/home/dev", "USER=dev", "XDG_RUNTIME_DIR=/run/user/1000", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}, UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	out, err := guest.Run(guest.CallLimit, cmd)
	return strings.TrimSpace(out), err
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// rootfs is all containers', on the disk: BusyBox, this test binary as /probe, and what profiles deny. It is dev's.
const rootfs = "/var/tmp/stock-rootfs"

// prepare makes what all containers share, once. The programs are copied to where each profile may have them run.
func prepare(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(rootfs); err == nil {
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const script = `set -e
		install ../../bin/homerun ../../bin/homerun-log ../../bin/homerun-seccomp /usr/local/bin
		mkdir "$1.new"
		tar -C "$1.new" -xf /usr/share/homerun-test/busybox.tar
		cp "$0" "$1.new/probe"
		echo seen | tee "$1.new/secret" >"$1.new/exec-secret"
		mkdir -m 1777 "$1.new/data"
		chown -R dev:dev "$1.new"
		mv "$1.new" "$1"`
	guest.Must(t, "sh", "-c", script, self, rootfs)
}

// container is one to be.
type container struct {
	t      *testing.T
	id     string
	dir    string
	dev    bool
	before []string // comes before homerun on the command line
	global []string // options of homerun's
	config object
}

// newContainer makes a bundle, of root's or of dev's.
func newContainer(t *testing.T, dev bool, args ...string) *container {
	t.Helper()
	prepare(t)
	dir, err := os.MkdirTemp("/var/tmp", "stock-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := &container{t: t, dir: dir, id: filepath.Base(dir), dev: dev, global: []string{"--cgroup-manager=systemd"}}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	spec := []string{homerun, "spec", "--bundle", dir}
	if dev {
		spec = append(spec, "--rootless")
		if err := os.Chown(dir, 1000, 1000); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := c.as(spec...); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := json.Unmarshal([]byte(read(t, dir+"/config.json")), &c.config); err != nil {
		t.Fatal(err)
	}
	process := c.config["process"].(object)
	process["args"], process["terminal"] = args, false
	c.config["root"] = object{"path": rootfs}
	return c
}

// homerun is the binary under test.
const homerun = "/usr/local/bin/homerun"

// set changes a member of config.json; the path has names, with points between.
func (c *container) set(path string, value any) *container {
	c.t.Helper()
	names := strings.Split(path, ".")
	at := c.config
	for _, name := range names[:len(names)-1] {
		if at[name] == nil {
			at[name] = object{}
		}
		at = at[name].(object)
	}
	at[names[len(names)-1]] = value
	return c
}

// add appends to a list of config.json.
func (c *container) add(path string, value object) *container {
	c.t.Helper()
	names := strings.Split(path, ".")
	at := c.config
	for _, name := range names[:len(names)-1] {
		at = at[name].(object)
	}
	last := names[len(names)-1]
	list, _ := at[last].([]any)
	at[last] = append(list, value)
	return c
}

// homerun runs a verb with the config as it is.
func (c *container) homerun(args ...string) (string, error) {
	c.t.Helper()
	text, err := json.Marshal(c.config)
	if err != nil {
		c.t.Fatal(err)
	}
	write(c.t, c.dir+"/config.json", string(text))
	return c.as(slices.Concat(c.before, []string{homerun}, c.global, args)...)
}

// as is guest.Answer for the user whose container it is.
func (c *container) as(args ...string) (string, error) {
	c.t.Helper()
	if c.dev {
		return commandOfDev(c.t, args...)
	}
	return guest.Answer(args...)
}

// run runs the program to its end.
func (c *container) run() (string, error) {
	c.t.Helper()
	return c.homerun("--debug", "run", "--bundle", c.dir, c.id)
}

// prints wants the program to end well, and its output to have this last line.
func (c *container) prints(want string) {
	c.t.Helper()
	out, err := c.homerun("run", "--bundle", c.dir, c.id)
	if got := out[strings.LastIndex(out, "\n")+1:]; err != nil || got != want {
		c.t.Errorf("%v: %q, not %q\n%s", err, got, want, out)
	}
}

// refuses wants an error with these words, and no container.
func (c *container) refuses(words ...string) {
	c.t.Helper()
	out, err := c.run()
	if err == nil {
		c.t.Errorf("it ran: %s", out)
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			c.t.Errorf("it does not say %q: %s", w, out)
		}
	}
	if out, err := c.homerun("state", c.id); err == nil {
		c.t.Errorf("it left: %s", out)
	}
}

// start starts the program in the background.
func (c *container) start() {
	c.t.Helper()
	if out, err := c.homerun("run", "--detach", "--bundle", c.dir, c.id); err != nil {
		c.t.Fatalf("%v: %s", err, out)
	}
	c.t.Cleanup(func() { c.must("delete", "--force", c.id) })
}

func (c *container) must(args ...string) string {
	c.t.Helper()
	out, err := c.homerun(args...)
	if err != nil {
		c.t.Fatalf("homerun %q: %v: %s", args, err, out)
	}
	return out
}

// pid is init's.
func (c *container) pid() int {
	c.t.Helper()
	var state struct{ Pid int }
	if err := json.Unmarshal([]byte(c.must("state", c.id)), &state); err != nil {
		c.t.Fatal(err)
	}
	return state.Pid
}

// group is init's cgroup.
func (c *container) group() string {
	c.t.Helper()
	return "/sys/fs/cgroup" + strings.TrimPrefix(read(c.t, fmt.Sprintf("/proc/%d/cgroup", c.pid())), "0::")
}

// cgroupfs puts the container below a cgroup of root's, without systemd.
func (c *container) cgroupfs() *container {
	c.global = []string{"--cgroup-manager=cgroupfs"}
	return c.set("linux.cgroupsPath", "/homerun-stock/"+c.id)
}
