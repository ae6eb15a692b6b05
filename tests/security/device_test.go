package security

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestHostNodes: no container changes the mode or the owner of a node in the
// host's /dev, through a device, a default device, or a mask; and root's gets
// what config.json asks for. Neighbours tried: with and without a file system at
// /dev, below a directory of it, outside of it, a name that the host does not
// have, /dev/ptmx; a user namespace in which the host's root is root again. The
// host's /dev is one made for the test, so that a runtime without the defence
// harms nobody.
func TestHostNodes(t *testing.T) {
	need(t)
	callers := map[string][]specs.LinuxIDMapping{"root": nil, "mapped": {{HostID: mappedID, Size: mappedSize}},
		"root again": {{Size: mappedSize}}}
	places := map[string][]specs.Mount{"tmpfs": standardMounts(),
		"none": without(standardMounts(), "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")}
	for name, maps := range callers {
		for where, mounts := range places {
			t.Run(name+"/"+where, func(t *testing.T) { hostNodes(t, maps, mounts) })
		}
	}
}

func hostNodes(t *testing.T, maps []specs.LinuxIDMapping, mounts []specs.Mount) {
	c := caller{namespace: maps != nil}
	paths := []string{"/dev/net/full", "/dev/my/zero", "/opt/null", "/dev/null", "/dev/tty", "/proc/keys", "/proc/timer_list"}
	args := []string{"report", "link /dev/ptmx", "read /dev/my/zero", "write /dev/null"}
	for _, p := range paths[:3] {
		args = append(args, "stat "+p)
	}
	for _, p := range paths {
		args = append(args, "chmod "+p)
	}
	b := newBundle(t, c, args...)
	if maps != nil {
		must(t, os.Chown(b.root(""), int(maps[0].HostID), int(maps[0].HostID)))
	}
	b.spec.Mounts, b.spec.Linux.UIDMappings, b.spec.Linux.GIDMappings = mounts, maps, maps
	mode, uid, gid := os.FileMode(0o600), uint32(7), uint32(8)
	b.spec.Linux.Devices = []specs.LinuxDevice{
		{Path: "/dev/net/full", Type: "c", Major: 1, Minor: 7, FileMode: &mode, UID: &uid, GID: &gid},
		{Path: "/dev/my/zero", Type: "c", Major: 1, Minor: 5}, {Path: "/opt/null", Type: "c", Major: 1, Minor: 3},
		{Path: "/dev/ptmx", Type: "c", Major: 5, Minor: 2},
	}
	r, changes := b.runWithDev()
	if changes != "" {
		t.Errorf("the host's /dev is changed:\n%s", changes)
	}
	rep := r.report(t)
	want := map[string]string{"link /dev/ptmx": "pts/ptmx", "read /dev/my/zero": "ok", "write /dev/null": "ok"}
	for _, p := range paths {
		want["chmod "+p] = "EROFS" // the host's node
	}
	if maps == nil {
		want["stat /dev/net/full"], want["stat /dev/my/zero"], want["stat /opt/null"] = "20600 7:8 1:7", "20666 0:0 1:5", "20666 0:0 1:3"
		for _, p := range paths[:5] {
			want["chmod "+p] = "ok" // its own
		}
	}
	for try, outcome := range want {
		if got := rep.Tries[try]; got != outcome {
			t.Errorf("%s: %q, want %q", try, got, outcome)
		}
	}
}

// runWithDev runs a bundle as root on a host with a /dev of its own, and returns
// how that changed.
func (b *bundle) runWithDev() (r result, changes string) {
	b.t.Helper()
	b.save()
	const script = `set -e
mount -t tmpfs -o mode=755 dev /dev
mkdir /dev/net
i=0
for n in null:3 zero:5 full:7 random:8 urandom:9 net/full:7; do mknod -m 666 /dev/${n%:*} c 1 ${n#*:}; done
mknod -m 666 /dev/tty c 5 0
look() { find /dev -exec stat -c '%n %f %t:%T %u:%g' {} + | sort; }
cd "$1"; shift
look > before
"$@" || i=$?
look > after
exit $i`
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	run := b.c.command(ctx, "run", "-b", b.dir, b.id())
	cmd := exec.CommandContext(ctx, "unshare", append([]string{"--mount", "--propagation", "private", "sh", "-c", script, "sh", b.dir}, run.Args...)...)
	cmd.Env, cmd.WaitDelay, cmd.SysProcAttr = run.Env, time.Second, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		b.t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(b.dir, "before"))
	if err != nil || !strings.Contains(string(before), "/dev/net/full 21b6 1:7 0:0\n") {
		b.t.Fatalf("the test's /dev is not there: %v\n%s%s", err, before, stderr.String())
	}
	after, err := os.ReadFile(filepath.Join(b.dir, "after"))
	must(b.t, err)
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}, difference(string(before), string(after))
}
