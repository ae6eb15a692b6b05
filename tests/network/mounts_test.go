package network

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// unchanged runs a command in a mount namespace whose /tmp is a shared mount of
// its own, as systemd's tmp.mount is, and compares the mounts before and after.
const unchanged = `mount --bind /tmp /tmp && mount --make-shared /tmp || exit 90
cat /proc/self/mountinfo >/run/mounts.$$ || exit 90
"$@"; status=$?
cmp /run/mounts.$$ /proc/self/mountinfo; changed=$?
rm -f /run/mounts.$$
[ $changed = 0 ] || exit 91
exit $status`

// The mounts that a driver of the network makes for itself are nobody else's,
// also when it fails. Tried: each driver, and one that cannot start.
func TestDriverMounts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	for _, driver := range []string{"slirp4netns", "pasta"} {
		if _, err := os.Stat(filepath.Join("/usr/bin", driver)); err != nil {
			t.Skip("needs " + driver)
		}
		if _, err := os.Stat("/dev/net/tun"); err != nil {
			t.Skip("needs /dev/net/tun")
		}
		for name, test := range map[string]struct {
			options string
			status  int
		}{"works": {"", 0}, "fails": {":mtu=1", 1}} {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			cmd := exec.CommandContext(ctx, "unshare", "--mount", "--propagation", "private", "sh", "-c", unchanged, "sh",
				filepath.Join(built, "homerun"), "--root", t.TempDir(), "--cgroup-manager", "disabled",
				"run", "--rootfs", "/", "--net", driver+test.options, "--", "true")
			out, _ := cmd.CombinedOutput()
			cancel()
			if got := cmd.ProcessState.ExitCode(); got != test.status {
				t.Errorf("%s %s: exit status %d, want %d (91: the host's mounts changed)\n%s", driver, name, got, test.status, out)
			}
		}
	}
}
