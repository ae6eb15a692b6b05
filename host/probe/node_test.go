package probe

import (
	"os"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
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
	spec := &specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.UserNamespace}}, Devices: []specs.LinuxDevice{
		{Path: "/dev/null", Type: "c", Major: 1, Minor: 3}, {Path: "/dev/my/zero", Type: "u", Major: 1, Minor: 5},
		{Path: "/dev/random", Type: "c", Major: 1, Minor: 7}, {Path: "/dev/none", Type: "b", Major: 4095, Minor: 1},
		{Path: "/dev/pipe", Type: "p"},
	}}}
	f, err := Measure(Request{Spec: spec, BundleDir: t.TempDir(), Rootfs: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Nodes) != 2 || f.Nodes["c 1:5"] != "/dev/zero" || f.Nodes["c 1:7"] != "/dev/full" {
		t.Errorf("got %v", f.Nodes)
	}
	if _, ok := f.Sources["/dev/pipe"]; ok {
		t.Error("a FIFO is looked for on the host")
	}
}
