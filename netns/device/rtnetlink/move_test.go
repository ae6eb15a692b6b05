package rtnetlink

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/netns/device"
)

// TestMove moves one end of a veth pair between two new network namespaces.
func TestMove(t *testing.T) {
	ip, err := exec.LookPath("ip")
	if os.Getuid() != 0 || err != nil {
		if os.Getenv("HOMERUN_TEST_MAY_SKIP") == "1" || testing.Short() {
			t.Skip("needs root and ip(8)")
		}
		t.Fatal("needs root and ip(8)")
	}
	runtime.LockOSThread() // and never unlocked: the thread has another namespace
	here := func() int {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := exec.Command(ip, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	target, source := here(), here()
	defer unix.Close(target)
	defer unix.Close(source)
	run("link", "add", "a0", "type", "veth", "peer", "name", "b0")
	run("addr", "add", "10.1.2.3/24", "dev", "a0")
	run("addr", "add", "fd00::1/64", "dev", "a0", "nodad")
	if err := Move([]device.Move{{Host: "a0", Container: "inner%d"}}, target); err != nil {
		t.Fatal(err)
	}
	if err := Move([]device.Move{{Host: "none", Container: "x"}}, target); err == nil || !strings.Contains(err.Error(), "linux.netDevices.none") {
		t.Errorf("a missing device: %v", err)
	}
	if err := unix.Setns(target, unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	got := run("addr", "show", "dev", "inner0")
	for _, want := range []string{"inner0", "10.1.2.3/24", "fd00::1/64", ",UP"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing: %s", want, got)
		}
	}
}
