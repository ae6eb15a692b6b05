// Package network runs homerun's networks from end to end: containers of an
// unprivileged user, pasta and slirp4netns, published ports.
//
// # Theory of operation
//
// The tests run as a user who may open /dev/net/tun, which is dev in the test
// machine; elsewhere they are skipped and run again there. Most make a host of
// their own: the test binary executes itself in new user, network and mount
// namespaces, where it is root, has a device with a default route that leads
// nowhere, and may mount over what it wants to be missing. The others are about
// a user who has subordinate ids, and publish on the loopback of where they run.
//
// The binary also plays the program in the container (part "inside"), bound
// into it as /tmp/inside.
package network

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/again"
	"github.com/homerun-oci/homerun/tests/beside"
	"golang.org/x/sys/unix"
)

// limit is for anything that takes milliseconds unless it hangs.
const limit = 20 * time.Second

const worldVariable = "HOMERUN_NETWORK_TEST_WORLD"

// built is where the programs under test are.
var built string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "inside" {
		os.Exit(inside(os.Args[2:]))
	}
	os.Exit(again.Alone(func() int { return testAll(m) }))
}

func testAll(m *testing.M) int {
	dir, err := os.MkdirTemp("", "homerun-network-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, "network tests:", err)
		return 1
	}
	built = dir
	return m.Run()
}

// build builds homerun and its helper. HOMERUN names another one to test, with
// its helper next to it. Where there is no go, as in the test machine, those in
// bin/ serve.
func build(dir string) error {
	_, err := exec.LookPath("go")
	from := cmp.Or(os.Getenv("HOMERUN"), "../../bin/homerun")
	for _, name := range []string{"homerun", "homerun-net"} {
		out := filepath.Join(dir, name)
		if err != nil || os.Getenv("HOMERUN") != "" {
			text, err := os.ReadFile(filepath.Join(filepath.Dir(from), name))
			if err == nil {
				err = os.WriteFile(out, text, 0o755)
			}
			if err != nil {
				return err
			}
			continue
		}
		c := exec.Command("go", "build", "-o", out, "../../cmd/"+name)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", name, err, text)
		}
	}
	return beside.Seccomp(dir, "../..")
}

// need skips a test that cannot run here.
func need(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 && os.Getenv(worldVariable) == "" {
		t.Skip("needs a user who is not root")
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("needs /dev/net/tun: %v", err)
	}
	unix.Close(fd)
	for _, name := range []string{"/usr/bin/pasta", "/usr/bin/slirp4netns", "/usr/bin/busybox"} {
		if _, err := os.Stat(name); err != nil {
			t.Skipf("needs %s", name)
		}
	}
}

// ownHost runs the calling test in a host of its own, and answers whether this
// is the process in there.
func ownHost(t *testing.T) bool {
	t.Helper()
	need(t)
	if os.Getenv(worldVariable) != "" {
		makeHost(t)
		return true
	}
	c := exec.Command("/proc/self/exe", "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", "2m")
	c.Env = append(os.Environ(), worldVariable+"=1")
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   unix.SIGKILL,
	}
	text, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("in a host of its own: %v\n%s", err, text)
	}
	t.Logf("%s", text)
	return false
}

// makeHost gives the namespaces a device, an IPv4 and an IPv6 default route,
// and a resolver.
func makeHost(t *testing.T) {
	t.Helper()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"link", "add", "eth0", "type", "dummy"},
		{"address", "add", "192.0.2.1/24", "dev", "eth0"},
		{"-6", "address", "add", "2001:db8::1/64", "dev", "eth0", "nodad"},
		{"link", "set", "eth0", "up"},
		{"route", "add", "default", "via", "192.0.2.254"},
		{"-6", "route", "add", "default", "via", "2001:db8::ff"},
	} {
		if text, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %q: %v\n%s", args, err, text)
		}
	}
	bindText(t, "/etc/resolv.conf", "nameserver 127.0.0.1\nsearch example.test\n")
}

// bindText puts a text over a file of the host.
func bindText(t *testing.T, over, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	target, err := filepath.EvalSymlinks(over)
	if err == nil {
		err = unix.Mount(file, target, "", unix.MS_BIND, "")
	}
	if err != nil {
		t.Fatalf("mount over %s: %v", over, err)
	}
	t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
}

// hide makes a file of the host something that cannot be executed.
func hide(t *testing.T, name string) {
	t.Helper()
	bindOver(t, "/dev/null", name)
}

// bindOver has one file seen in the place of another, for as long as the test runs.
func bindOver(t *testing.T, source, name string) {
	t.Helper()
	if err := unix.Mount(source, name, "", unix.MS_BIND, ""); err != nil {
		t.Fatalf("bind %s over %s: %v", source, name, err)
	}
	t.Cleanup(func() { unix.Unmount(name, unix.MNT_DETACH) })
}
