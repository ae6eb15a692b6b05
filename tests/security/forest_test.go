package security

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// rounds is how many containers the forest and the race start each.
// HOMERUN_SECURITY_ROUNDS asks for more: 5000 makes 10,000 together.
func rounds(short int) int {
	if n, err := strconv.Atoi(os.Getenv("HOMERUN_SECURITY_ROUNDS")); err == nil && n > 0 {
		return n
	}
	return short
}

// forestPaths are those that runtimes make, mount on, or look into.
func forestPaths() []string {
	return []string{"dev", "dev/null", "dev/console", "dev/ptmx", "dev/pts", "dev/shm", "dev/mqueue", "proc", "sys",
		"sys/fs/cgroup", "etc", "etc/passwd", "run", "tmp"}
}

// tree plants one thing at a path of a rootfs.
type tree struct {
	name  string
	plant func(p string, c *canary) error
}

func forestKinds() []tree {
	link := func(name string, text func(c *canary) string) tree {
		return tree{name, func(p string, c *canary) error { return os.Symlink(text(c), p) }}
	}
	node := func(name string, mode uint32, major, minor uint32) tree {
		return tree{name, func(p string, _ *canary) error { return unix.Mknod(p, mode|0o666, int(unix.Mkdev(major, minor))) }}
	}
	const up = "../../../../../../../../.."
	return []tree{
		link("absolute link", func(c *canary) string { return c.dir }),
		link("absolute link to a file", func(c *canary) string { return c.dir + "/file" }),
		link("relative link", func(c *canary) string { return up + c.dir }),
		link("dot-dot chain", func(c *canary) string { return "x/../.././" + up + "/." + up + c.dir + "/dir/.." }),
		link("magic link", func(c *canary) string { return "/proc/self/root" + c.dir }),
		link("magic link to a descriptor", func(c *canary) string { return "/proc/self/fd/5/" + c.dir }),
		link("link to the runtime", func(c *canary) string { return "/proc/1/root" + c.dir }),
		link("dangling link", func(c *canary) string { return c.dir + "/new" }),
		link("dangling relative link", func(c *canary) string { return up + c.dir + "/new/newer" }),
		link("loop", func(*canary) string { return "." }),
		link("loop through itself", func(*canary) string { return "../dev/../proc/../dev" }),
		{"link chain", plantChain},
		node("FIFO", unix.S_IFIFO, 0, 0),
		node("device", unix.S_IFCHR, 1, 5),
		{"socket", plantSocket},
		{"file", func(p string, _ *canary) error { return os.WriteFile(p, []byte("enemy"), 0o666) }},
		{"directory of links", plantDirectory},
	}
}

// plantChain plants a link to a link to the canary.
func plantChain(p string, c *canary) error {
	return firstError(os.Symlink(c.dir, p+".next"), os.Symlink(filepath.Base(p)+".next", p))
}

func plantSocket(p string, _ *canary) error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p})
	if err != nil {
		return unix.Mknod(p, unix.S_IFSOCK|0o666, 0) // the path is too long
	}
	l.SetUnlinkOnClose(false)
	return l.Close()
}

// plantDirectory plants a real directory in which every name is a link out.
func plantDirectory(p string, c *canary) error {
	if err := os.Mkdir(p, 0o777); err != nil {
		return err
	}
	for _, name := range []string{"null", "zero", "full", "tty", "random", "urandom", "ptmx", "console", "fd", "stdin", "stdout",
		"stderr", "core", "pts", "shm", "mqueue", "passwd", "fs", "self", "sys", "kcore"} {
		if err := os.Symlink(c.dir+"/"+name, p+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

// forestSpec asks for everything that touches the planted paths. variant
// changes what lies over them: with /dev in the image every node is made in
// the enemy's directory.
func forestSpec(s *specs.Spec, file string, variant int) {
	// A network namespace is what costs most, and nothing here needs it.
	s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.NetworkNamespace
	})
	if variant&1 != 0 {
		s.Mounts = without(s.Mounts, "/dev")
	}
	if variant&2 != 0 {
		s.Mounts = without(s.Mounts, "/proc", "/sys", "/sys/fs/cgroup")
	}
	s.Mounts = append(s.Mounts,
		specs.Mount{Destination: "/run", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=755", "tmpcopyup"}},
		specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup"}},
		specs.Mount{Destination: "/etc/passwd", Source: file, Options: []string{"bind", "ro"}},
		specs.Mount{Destination: "/etc/deep/er", Source: filepath.Dir(file), Options: []string{"rbind", "ro"}})
	s.Linux.MaskedPaths = append(s.Linux.MaskedPaths, "/tmp/masked", "/etc/shadow")
	s.Process.Cwd = "/run/work"
}

// forestRound starts one container in a planted rootfs.
func forestRound(t *testing.T, c caller, canary *canary, file, path string, kind tree, variant int) (ran bool) {
	b := newBundle(t, c, "ok")
	defer os.RemoveAll(b.dir)
	if dir := filepath.Dir(path); dir != "." {
		b.mkdir(dir)
	}
	if err := kind.plant(b.root(path), canary); err != nil {
		t.Fatal(err)
	}
	uid, gid := c.owner()
	_ = os.Lchown(b.root(path), uid, gid)
	forestSpec(b.spec, file, variant)
	r := b.run()
	what := c.name + ": " + kind.name + " at /" + path
	if r.status != 0 && !strings.Contains(r.stderr, "homerun:") {
		t.Errorf("%s: status %d without an error: %s", what, r.status, r.stderr)
	}
	if strings.Contains(r.stderr, "BUG") || strings.Contains(r.stderr, "panic") {
		t.Errorf("%s: %s", what, r.stderr)
	}
	if os.Getenv("HOMERUN_SECURITY_VERBOSE") != "" && r.status != 0 {
		t.Logf("%s: %s", what, r.stderr)
	}
	return r.status == 0
}

// TestSymlinkForest plants in each path that a runtime touches, in turn, each
// kind of file that could lead it astray. The container fails with an error or
// runs confined; nothing outside of the rootfs changes.
func TestSymlinkForest(t *testing.T) {
	need(t)
	canary := newCanary(t)
	_, file := sources(t)
	var jobs []func(t *testing.T) bool
	for variant := range 4 {
		for _, c := range callers() {
			for _, path := range forestPaths() {
				for _, kind := range forestKinds() {
					jobs = append(jobs, func(t *testing.T) bool { return forestRound(t, c, canary, file, path, kind, variant) })
				}
			}
		}
	}
	// Without more time, each path meets each kind as each caller once, with
	// the variants in turn.
	short := len(jobs) / 4
	n := rounds(short)
	ran := parallel(n, func(i int) bool {
		ok := jobs[pick(i, short)](t)
		if i%50 == 0 {
			canary.intact(t, "a container up to round "+strconv.Itoa(i))
		}
		return ok
	})
	canary.intact(t, "a container")
	t.Logf("%d rounds, %d of them ran, %d were refused; no change outside", n, ran, n-ran)
}

// pick goes through all jobs, with another variant for each neighbour.
func pick(i, short int) int {
	lap := i / short
	return i%short + short*((i+lap)%4)
}

// parallel runs n rounds on a few workers, and counts those that are true.
func parallel(n int, round func(i int) bool) int {
	var next, yes atomic.Int64
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if round(int(i)) {
					yes.Add(1)
				}
			}
		})
	}
	group.Wait()
	return int(yes.Load())
}
