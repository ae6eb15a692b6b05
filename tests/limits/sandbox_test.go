package limits

import (
	"strings"
	"testing"
)

// inService runs homerun as the ordinary user in a service with a property.
func inService(t *testing.T, property string, arguments ...string) (string, error) {
	t.Helper()
	args := []string{"systemd-run", "--user", "--quiet", "--wait", "--pipe", "--collect", "-p", property, homerun(t), "run"}
	return command(callLimit, append(args, arguments...)...)
}

// TestFilteredClone: a list in RestrictNamespaces= has clone3 answered with ENOSYS,
// whatever the flags, and forbids those of clone that it leaves out: systemd.exec(5).
func TestFilteredClone(t *testing.T) {
	needUser(t)
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
	needUser(t)
	out, err := inService(t, "RestrictSUIDSGID=yes", "--rootfs", "/", "true")
	if err == nil || !strings.Contains(out, "a seccomp filter forbids openat2, as RestrictSUIDSGID=yes ") {
		t.Errorf("%v: %s", err, out)
	}
}
