package probe

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
)

// TestFindNode finds the devices that every host has, by both ways.
func TestFindNode(t *testing.T) {
	for want, rdev := range map[string]uint64{"/dev/null": unix.Mkdev(1, 3), "/dev/tty": unix.Mkdev(5, 0)} {
		left := maxNodes
		if got := searchNode("/dev", host.Character, rdev, 0, &left); got != want {
			t.Errorf("%s: /dev has it at %q", want, got)
		}
		if got := findNode(host.Character, rdev); got != want {
			t.Errorf("%s: found at %q", want, got)
		}
		if got := findNode(host.Block, rdev); got == want {
			t.Errorf("%s is a block device", got)
		}
		if _, err := os.Stat("/sys/dev/char/1:3/uevent"); err == nil {
			if got := nodeOfSysfs(host.Character, rdev); got != want {
				t.Errorf("%s: sysfs has it at %q", want, got)
			}
		}
	}
	if got := findNode(host.Character, unix.Mkdev(4095, 12345)); got != "" {
		t.Errorf("a device that nobody has is at %s", got)
	}
	none := 0
	if got := searchNode("/dev", host.Character, unix.Mkdev(1, 3), 0, &none); got != "" {
		t.Errorf("the search has no bound: %s", got)
	}
}

// TestDeviceSources: only a device that is not under its name is looked for.
func TestDeviceSources(t *testing.T) {
	f := answers(t, host.Needs{Devices: []host.Device{
		{Path: "/dev/null", Kind: host.Character, Rdev: unix.Mkdev(1, 3)}, {Path: "/dev/my/zero", Kind: host.Character, Rdev: unix.Mkdev(1, 5)},
		{Path: "/dev/random", Kind: host.Character, Rdev: unix.Mkdev(1, 7)}, {Path: "/dev/none", Kind: host.Block, Rdev: unix.Mkdev(4095, 1)},
	}})
	if at, looked := f.Nodes["b 4095:1"]; at != "" || !looked {
		t.Errorf("a device that nobody has is at %q, %t", at, looked)
	}
	if len(f.Nodes) != 3 || f.Nodes["c 1:5"] != "/dev/zero" || f.Nodes["c 1:7"] != "/dev/full" {
		t.Errorf("got %v", f.Nodes)
	}
}
