package security

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func statePid(t *testing.T, c caller, id string) int {
	t.Helper()
	r := c.homerun(t, "state", id)
	var s specs.State
	if err := json.Unmarshal([]byte(r.stdout), &s); err != nil || s.Pid == 0 {
		t.Fatalf("state: %v: %s%s", err, r.stdout, r.stderr)
	}
	return s.Pid
}

// redirectedSysctl: a parameter goes to a procfs or nowhere, and only one that
// belongs to a namespace of the container's own.
func redirectedSysctl(t *testing.T, c caller) {
	canary := newCanary(t)
	before := sysctls(t)
	b := newBundle(t, c, "ok")
	b.symlink(canary.dir, "proc/sys")
	b.spec.Mounts = without(b.spec.Mounts, "/proc")
	b.spec.Linux.MaskedPaths, b.spec.Linux.ReadonlyPaths = nil, nil
	b.spec.Linux.Sysctl = map[string]string{"kernel.shm_rmid_forced": "1"}
	b.run()
	canary.intact(t, "a kernel parameter")
	for _, key := range []string{"kernel.core_pattern", "kernel/sysrq", "vm.swappiness", "net/../kernel/core_pattern", "fs.file-max",
		"kernel.hostname", "net.ipv4/../../kernel/core_pattern"} {
		b := newBundle(t, c, "ok")
		b.spec.Linux.Sysctl = map[string]string{key: "1"}
		if r := b.run(); r.status == 0 {
			t.Errorf("%s is accepted", key)
		}
	}
	if after := sysctls(t); after != before {
		t.Errorf("the host's parameters changed:\n%s", difference(before, after))
	}
}

// oddUsers: exec takes exactly a number, or fails; never root instead.
func oddUsers(t *testing.T, c caller) {
	r := newBundle(t, c, "wait").start()
	for user, want := range map[string]string{"1": "1", "1:2": "1", "01": "1", "0x1": "", "-1": "", "4294967295": "",
		"4294967296": "", "2147483648": "", "1 ": "", "1:": "", ":1": "", "root": "", "1:2:3": "", "+1": ""} {
		res := r.exec([]string{"--user", user}, "report")
		if res.status != 0 {
			continue
		}
		got, _, _ := strings.Cut(res.report(t).Status["Uid"], "\t")
		if want == "" || got != want {
			t.Errorf("exec --user %q runs as %s", user, got)
		}
	}
	res := r.exec([]string{"--user", "1"}, "report")
	if res.status != 0 {
		t.Errorf("exec --user 1: %s", res.stderr)
	}
}

// execIsHidden: until the program runs, a process that exec starts can be looked
// into by nobody in the container, whatever his capabilities there. strace holds
// it before each execve for as long as somebody needs to look.
func execIsHidden(t *testing.T, c caller) {
	if !c.namespace {
		return // root on the host may look into everything
	}
	b := newBundle(t, c, "spy")
	all := append(someCapabilities(), "CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH")
	b.spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all}
	r := b.start()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := c.command(ctx, "exec", "--cap", "CAP_CHOWN", b.id(), "/inside", "ok")
	strace, err := exec.LookPath("strace")
	must(t, err)
	cmd.Path = strace
	cmd.Args = append([]string{"strace", "-fqq", "-o", "/dev/null", "-e", "trace=execve", "-e", "inject=execve:delay_enter=200000"}, cmd.Args...)
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("exec under strace: %v: %s", err, text)
	}
	r.stdin.Close()
	spied, err := os.ReadFile(b.root("spied"))
	must(t, err)
	seen := map[string]int{}
	for line := range strings.Lines(string(spied)) {
		seen[strings.TrimSpace(line)]++
	}
	if len(seen) != 1 || seen["EACCES"] < 5 {
		t.Errorf("somebody in the container saw %v, want EACCES alone, several times", seen)
	}
}

// linkedDev: nothing is made, removed or mounted where the link leads.
func linkedDev(t *testing.T, c caller) {
	canary := newCanary(t)
	for _, mounts := range [][]specs.Mount{standardMounts(), without(standardMounts(), "/dev"),
		without(standardMounts(), "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")} {
		b := newBundle(t, c, "ok")
		b.symlink(canary.dir, "dev")
		b.spec.Mounts = mounts
		b.spec.Process.Terminal = true
		b.run()
		canary.intact(t, "a linked /dev")
	}
}

// linkedNullStreams: standard streams are never opened by a path in the rootfs,
// and the host's /dev/null is never given away. With a volume on /dev the
// container runs, link or not.
func linkedNullStreams(t *testing.T, c caller) {
	canary := newCanary(t)
	for _, volume := range []bool{false, true} {
		b := newBundle(t, c, "report", "link /proc/self/fd/0")
		b.spec.Mounts = without(b.spec.Mounts, "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue")
		b.spec.Process.User = specs.User{UID: 7, GID: 7}
		if volume {
			dir, _ := sources(t)
			must(t, os.Symlink(canary.dir+"/file", filepath.Join(dir, "null")))
			b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/dev", Source: dir, Options: []string{"rbind"}})
		} else {
			b.symlink(canary.dir+"/file", "dev/null")
		}
		r := b.run() // its standard input is the host's /dev/null
		canary.intact(t, "a standard stream")
		var st unix.Stat_t
		must(t, unix.Stat("/dev/null", &st))
		if st.Uid != 0 || st.Gid != 0 {
			must(t, os.Chown("/dev/null", 0, 0))
			t.Errorf("the host's /dev/null belongs to %d:%d", st.Uid, st.Gid)
		}
		if r.status != 0 && !volume {
			continue
		}
		if got := r.report(t).Tries["link /proc/self/fd/0"]; got != "/dev/null" && got != "/null" {
			t.Errorf("standard input is %s", got)
		}
	}
}

// foreignHelper: programs with a helper's name in the working directory, the
// bundle, the rootfs, the caller's PATH and the config's are not started.
func foreignHelper(t *testing.T, c caller) {
	mark := w.path("helper-ran")
	script := fmt.Sprintf("#!/bin/sh\ntouch %s\n", mark)
	b := newBundle(t, c, "ok")
	for _, dir := range []string{b.dir, b.root("bin"), b.root("")} {
		for _, name := range []string{"newuidmap", "newgidmap", "homerun-net", "homerun-seccomp", "getsubids", "pasta", "slirp4netns"} {
			must(t, os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
		}
	}
	path := "PATH=" + b.dir + ":" + b.root("bin") + ":."
	b.spec.Process.Env = append(b.spec.Process.Env, path)
	b.save()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := c.command(ctx, "run", "-b", b.dir, b.id())
	cmd.Dir, cmd.Env = b.dir, append(cmd.Env, path)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, text)
	}
	if _, err := os.Lstat(mark); err == nil {
		t.Error("a helper from outside the safe path ran")
		os.Remove(mark)
	}
}

// readonlyRoot: the root is read-only whatever lies on /proc.
func readonlyRoot(t *testing.T, c caller) {
	dir, _ := sources(t)
	for _, fake := range []bool{false, true} {
		b := newBundle(t, c, "report", "create /x")
		b.spec.Root.Readonly = true
		if fake {
			b.spec.Linux.MaskedPaths, b.spec.Linux.ReadonlyPaths = nil, nil
			b.spec.Mounts = append(without(b.spec.Mounts, "/proc"), specs.Mount{Destination: "/proc", Source: dir, Options: []string{"rbind"}})
		}
		r := b.run()
		if got := r.report(t).Tries["create /x"]; got != "EROFS" {
			t.Errorf("create /x: %s (%s)", got, r.stderr)
		}
	}
}

func pageSize(t *testing.T, c caller) {
	for _, size := range []string{"../../x", "2MB/../../x", "/etc", ""} {
		b := newBundle(t, c, "ok")
		b.spec.Linux.Resources = &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: size, Limit: 1}}}
		if r := b.run(); r.status == 0 || !strings.Contains(r.stderr, "hugepageLimits[0].pageSize") {
			t.Errorf("the page size %q is accepted: %s", size, r.stderr)
		}
	}
}

// noMountNamespace: what would change the host's mounts is refused. What mounts
// nothing runs, and changes none.
func noMountNamespace(t *testing.T, c caller) {
	before := mountTable(t)
	bare := func(s *specs.Spec) { s.Mounts, s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, nil, nil }
	for _, change := range []struct {
		what string
		in   func(s *specs.Spec)
		runs bool
	}{
		{"all", func(s *specs.Spec) {}, false},
		{"root.readonly", func(s *specs.Spec) { bare(s); s.Root.Readonly = true }, false},
		{"linux.rootfsPropagation", func(s *specs.Spec) { bare(s); s.Linux.RootfsPropagation = "rshared" }, false},
		{"linux.maskedPaths", func(s *specs.Spec) { bare(s); s.Linux.MaskedPaths = []string{"/proc/kcore"} }, false},
		{"linux.readonlyPaths", func(s *specs.Spec) { bare(s); s.Linux.ReadonlyPaths = []string{"/proc/sys"} }, false},
		{"nothing", bare, true},
	} {
		b := newBundle(t, c, "ok")
		change.in(b.spec)
		kept := b.spec.Linux.Namespaces[:0]
		for _, n := range b.spec.Linux.Namespaces {
			if n.Type != specs.MountNamespace {
				kept = append(kept, n)
			}
		}
		b.spec.Linux.Namespaces = kept
		if r := b.run(); (r.status == 0) != change.runs {
			t.Errorf("a container without a mount namespace that asks for %s: status %d, %s", change.what, r.status, r.stderr)
		}
	}
	if after := mountTable(t); after != before {
		t.Errorf("the host's mounts changed:\n%s", difference(before, after))
	}
}

// readonlyEverywhere: ro and noexec hold on each kind of mount, also where
// something had to be made below it first.
func readonlyEverywhere(t *testing.T, c caller) {
	dir, file := sources(t)
	b := newBundle(t, c, "report")
	b.spec.Mounts = standardMounts()
	for i := range b.spec.Mounts {
		b.spec.Mounts[i].Options = append(b.spec.Mounts[i].Options, "ro", "noexec")
	}
	for _, m := range []specs.Mount{{Destination: "/a", Type: "tmpfs", Source: "tmpfs"}, {Destination: "/a/b", Source: dir},
		{Destination: "/a/c/d", Source: file}, {Destination: "/e", Type: "tmpfs", Source: "tmpfs"}} {
		m.Options = []string{"ro", "noexec"}
		if m.Type == "" {
			m.Options = append(m.Options, "bind")
		}
		b.spec.Mounts = append(b.spec.Mounts, m)
	}
	r := b.run()
	rep := r.report(t)
	for _, m := range b.spec.Mounts {
		if got, ok := rep.mountAt(m.Destination); !ok || !got.holds("ro") || !got.holds("noexec") {
			t.Errorf("%s: %v %s", m.Destination, got, r.stderr)
		}
	}
}

// limitsOrError: a limit is set, or the start fails. Here there are no cgroups.
func limitsOrError(t *testing.T, c caller) {
	limit := int64(64 << 20)
	b := newBundle(t, c, "ok")
	b.spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}}
	if r := b.run(); r.status == 0 {
		t.Error("a memory limit that cannot be set is ignored")
	}
}
