package limits

import (
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/tests/guest"
)

// inService runs homerun as the ordinary user in a service with a property.
func inService(t *testing.T, property string, arguments ...string) (string, error) {
	t.Helper()
	args := []string{"systemd-run", "--user", "--quiet", "--wait", "--pipe", "--collect", "-p", property, guest.Homerun(t), "run"}
	return guest.Command(callLimit, append(args, arguments...)...)
}

// TestFilteredClone: a list in RestrictNamespaces= has clone3 answered with ENOSYS,
// whatever the flags, and forbids those of clone that it leaves out: systemd.exec(5).
func TestFilteredClone(t *testing.T) {
	guest.NeedUser(t)
	const list = "RestrictNamespaces=user mnt pid ipc uts cgroup"
	out, err := inService(t, list, "--net", "host", "--rootfs", "/", "echo", "ran")
	if err != nil || !strings.Contains(out, "ran\n") {
		t.Errorf("%v: %s", err, out)
	}
	out, err = inService(t, list, "--rootfs", "/", "echo", "ran")
	if err == nil || !strings.Contains(out, "a seccomp filter forbids one of these namespaces, as RestrictNamespaces= ") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestFilteredOpenat2: RestrictSUIDSGID= has openat2 answered with ENOSYS, without
// which no path in a rootfs can be opened safely.
func TestFilteredOpenat2(t *testing.T) {
	guest.NeedUser(t)
	out, err := inService(t, "RestrictSUIDSGID=yes", "--rootfs", "/", "true")
	if err == nil || !strings.Contains(out, "a seccomp filter forbids openat2, as RestrictSUIDSGID=yes ") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestForbidden: what the command line did not ask for is left out with a note
// where the host forbids it, and what it asked for is an error.
func TestForbidden(t *testing.T) {
	guest.NeedUser(t)
	for _, c := range []struct{ property, program, out, note string }{
		{"ProtectHostname=yes", "hostname", "", "the container has the outer host name"},
		{"ProtectKernelTunables=yes", "test -d /proc/self && ! cat /proc/1/environ && echo closed", "closed\n", "/proc is the outer one"},
		{"ProtectControlGroups=yes", "echo ran", "ran\n", ""},
		{"TemporaryFileSystem=/sys:ro", "test ! -e /sys/fs && echo none", "none\n", "the container has no /sys/fs/cgroup"},
	} {
		out, err := inService(t, c.property, "--net", "host", "--rootfs", "/", "sh", "-c", c.program)
		if err != nil || !strings.Contains(out, c.out) || !strings.Contains(out, c.note) {
			t.Errorf("%s: %v: %s", c.property, err, out)
		}
	}
	out, err := inService(t, "ProtectHostname=yes", "--net", "host", "--hostname", "x", "--rootfs", "/", "true")
	if err == nil || !strings.Contains(out, "set the host name") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestNested: homerun in homerun, whose masks keep the inner one from a procfs of
// its own.
func TestNested(t *testing.T) {
	guest.NeedUser(t)
	h := guest.Homerun(t)
	out, err := guest.Command(callLimit, h, "run", "--net", "host", "--rootfs", "/", h, "run", "--net", "host", "--rootfs", "/", "echo", "ran")
	if err != nil || !strings.Contains(out, "ran\n") || !strings.Contains(out, "/proc is the outer one") {
		t.Errorf("%v: %s", err, out)
	}
}
