package security

import (
	"os"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// needCgroup2 skips a test on a host that has not cgroup v2 alone. hack/testrun
// then takes it to the test machine.
func needCgroup2(t *testing.T) {
	t.Helper()
	need(t)
	var st unix.Statfs_t
	if unix.Statfs("/sys/fs/cgroup", &st) != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		t.Skip("needs cgroup v2")
	}
}

// TestHostCgroups: without a cgroup namespace a writable mount of the cgroup
// tree is read-only in a user namespace, also where the permissions of a file
// would let the caller write (CVE-2023-25809).
func TestHostCgroups(t *testing.T) {
	needCgroup2(t)
	for _, c := range callers()[1:] { // real root's cgroups they are
		t.Run(c.name, func(t *testing.T) {
			own := "/sys/fs/cgroup/homerun-security-" + c.name
			uid, gid := c.owner()
			must(t, os.Mkdir(own, 0o755), os.Chown(own, uid, gid), os.Chown(own+"/cgroup.procs", uid, gid))
			defer os.Remove(own)
			try := "write " + own + "/cgroup.procs"
			b := newBundle(t, c, "report", try)
			b.spec.Mounts = append(without(b.spec.Mounts, "/sys/fs/cgroup"),
				specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"rw", "nosuid"}})
			r := b.run()
			if got := r.report(t).Tries[try]; got != "EROFS" {
				t.Errorf("%s: %s, want EROFS %s", try, got, r.stderr)
			}
			// The fall back to the host's /sys must not show its cgroups either.
			b = newBundle(t, c, "report", "list /sys/fs/cgroup")
			b.spec.Mounts = without(b.spec.Mounts, "/sys/fs/cgroup")
			b.spec.Linux.Namespaces = namespaces(specs.PIDNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.MountNamespace, specs.UserNamespace)
			if got := b.run().report(t).Tries["list /sys/fs/cgroup"]; got != "" {
				t.Errorf("/sys/fs/cgroup of the host shows %q", got)
			}
		})
	}
}

// TestExecCgroup: exec --cgroup leads to a cgroup below the container's and to
// no other, though the other exists and root may write it (runc 1.5.2).
func TestExecCgroup(t *testing.T) {
	needCgroup2(t)
	c := callers()[0]
	c.manager = "cgroupfs"
	b := newBundle(t, c, "wait")
	name := "homerun-security-" + b.id()
	tree := "/sys/fs/cgroup/" + name
	b.spec.Linux.CgroupsPath = "/" + name + "/web"
	must(t, os.MkdirAll(tree+"/sibling", 0o755))
	t.Cleanup(func() { _, _ = os.Remove(tree+"/sibling"), os.Remove(tree) })
	r := b.start()
	must(t, os.Mkdir(tree+"/web/container/below", 0o755))
	defer os.Remove(tree + "/web/container/below")
	in := func(path string) result { return r.exec([]string{"--cgroup", path}, "report", "cat /proc/self/cgroup") }
	for _, path := range []string{"../sibling", "/../sibling", "below/../../sibling", "..", "../..", "../web/../sibling", "../../sibling", "../container/../../sibling"} {
		if res := in(path); res.status == 0 {
			t.Errorf("exec --cgroup %s runs in %s", path, res.report(t).Tries["cat /proc/self/cgroup"])
		} else if !strings.Contains(res.stderr, "EXDEV") {
			t.Errorf("exec --cgroup %s fails otherwise: %s", path, res.stderr)
		}
	}
	for _, path := range []string{"below", "/below"} {
		if got := in(path).report(t).Tries["cat /proc/self/cgroup"]; !strings.HasSuffix(strings.TrimSpace(got), "/web/container/below") {
			t.Errorf("exec --cgroup %s runs in %q", path, got)
		}
	}
}

// TestExecDirectory: the cgroup that exec starts a process in is a directory of
// the host, open until the working directory is entered (CVE-2024-21626).
func TestExecDirectory(t *testing.T) {
	needCgroup2(t)
	c := callers()[0]
	c.manager = "cgroupfs"
	b := newBundle(t, c, "wait")
	b.spec.Linux.CgroupsPath = "/homerun-security-" + b.id()
	r := b.start()
	if got := r.exec(nil, "report", "cat /proc/self/cgroup").report(t).Tries["cat /proc/self/cgroup"]; !strings.Contains(got, b.id()) {
		t.Fatalf("exec runs in the cgroup %q", got)
	}
	for n := 3; n <= 24; n++ {
		cwd := "/proc/self/fd/" + strconv.Itoa(n)
		checkConfined(t, cwd, r.exec([]string{"--cwd", cwd}, "report"))
	}
}
