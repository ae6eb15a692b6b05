package security

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestDescriptors: the program has its standard streams and what the caller
// preserves, and nothing else, however many descriptors homerun was started
// with.
func TestDescriptors(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		for _, preserve := range []int{0, 3} {
			b := newBundle(t, c, "report")
			b.save()
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			cmd := c.command(ctx, "run", "-b", b.dir, "--preserve-fds", fmt.Sprint(preserve), b.id())
			for range 9 {
				f, err := os.Open("/")
				must(t, err)
				defer f.Close()
				cmd.ExtraFiles = append(cmd.ExtraFiles, f)
			}
			out, err := cmd.Output()
			must(t, err)
			checkDescriptors(t, result{stdout: string(out)}.report(t), 3+preserve)
		}
	})
}

func checkDescriptors(t *testing.T, r report, want int) {
	t.Helper()
	if len(r.FDs) != want {
		t.Errorf("%d descriptors, want %d: %v", len(r.FDs), want, r.FDs)
	}
	for n := range want {
		if _, ok := r.FDs[fmt.Sprint(n)]; !ok {
			t.Errorf("descriptor %d is missing: %v", n, r.FDs)
		}
	}
}

// set is a capability set as /proc/self/status shows it.
func set(numbers ...int) string {
	var bits uint64
	for _, n := range numbers {
		bits |= 1 << n
	}
	return fmt.Sprintf("%016x", bits)
}

// TestCapabilities holds the five sets against config.json, for root and others.
func TestCapabilities(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		const chown, kill, bind = 0, 5, 10
		names := []string{"CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
		for _, row := range []struct {
			what                string
			caps                *specs.LinuxCapabilities
			bnd, prm, inh, ambi string
		}{
			{"none", nil, set(), set(), set(), set()},
			{"empty", &specs.LinuxCapabilities{}, set(), set(), set(), set()},
			{"bounding", &specs.LinuxCapabilities{Bounding: names}, set(chown, kill, bind), set(), set(), set()},
			{"ambient", &specs.LinuxCapabilities{Bounding: names, Permitted: names, Effective: names, Inheritable: names[:1], Ambient: names[:1]},
				set(chown, kill, bind), set(chown, kill, bind), set(chown), set(chown)},
			{"no inheritable", &specs.LinuxCapabilities{Bounding: names, Permitted: names, Effective: names},
				set(chown, kill, bind), set(chown, kill, bind), set(), set()},
		} {
			for _, uid := range []uint32{0, 1000} {
				b := newBundle(t, c, "report")
				b.spec.Process.Capabilities, b.spec.Process.User = row.caps, specs.User{UID: uid, GID: uid}
				rep := b.run().report(t)
				got := rep.Status
				// At execve root keeps what it is permitted, no more with
				// no_new_privs; others only what is ambient: capabilities(7).
				want := map[string]string{"CapBnd": row.bnd, "CapInh": row.inh, "CapAmb": row.ambi, "CapPrm": row.ambi, "CapEff": row.ambi}
				if uid == 0 {
					want["CapPrm"], want["CapEff"] = row.prm, row.prm
				}
				for k, v := range want {
					if got[k] != v {
						t.Errorf("%s as %d: %s is %s, want %s", row.what, uid, k, got[k], v)
					}
				}
				if got["NoNewPrivs"] != "1" {
					t.Errorf("%s: NoNewPrivs is %q", row.what, got["NoNewPrivs"])
				}
			}
		}
	})
}

// running is a container that waits until the test ends.
type running struct {
	*bundle
	stdin io.Closer
	cmd   *exec.Cmd
}

// start runs the bundle in the background; its program must be "wait".
func (b *bundle) start(flags ...string) *running {
	b.t.Helper()
	b.save()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	r := &running{bundle: b, cmd: b.c.command(ctx, append(append([]string{"run", "-b", b.dir}, flags...), b.id())...)}
	stdin, _ := r.cmd.StdinPipe()
	stdout, _ := r.cmd.StdoutPipe()
	r.cmd.Stderr, r.stdin = os.Stderr, stdin
	must(b.t, r.cmd.Start())
	line := make([]byte, 8)
	_, _ = io.ReadFull(stdout, line)
	if string(line) != "waiting\n" {
		b.t.Fatalf("the container says %q", line)
	}
	b.t.Cleanup(func() {
		stdin.Close()
		_ = r.cmd.Wait()
		cancel()
	})
	return r
}

// exec runs the program inside in the container.
func (r *running) exec(flags []string, args ...string) result {
	r.t.Helper()
	list := append([]string{"exec"}, flags...)
	return r.c.homerun(r.t, append(append(list, r.id(), "/inside"), args...)...)
}

// TestExecAudit: descriptors and capabilities of a process that exec starts.
func TestExecAudit(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		r := newBundle(t, c, "wait").start()
		rep := r.exec(nil, "report").report(t)
		checkDescriptors(t, rep, 3)
		if rep.Status["CapInh"] != set() || rep.Status["CapAmb"] != set() {
			t.Errorf("inheritable %s, ambient %s", rep.Status["CapInh"], rep.Status["CapAmb"])
		}
	})
}

// TestTmpcopyup: a tmpfs begins with what it covers: modes, owners, attributes,
// links.
func TestTmpcopyup(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		b := newBundle(t, c, "report", "cat /data/text", "stat /data", "stat /data/text", "stat /data/secret", "stat /data/suid",
			"stat /data/dir", "cat /data/dir/deep/file", "link /data/link", "stat /data/pipe", "list /data", "create /data/new",
			"cat /empty", "list /fresh", "stat /fresh")
		b.write("data/text", "hello")
		b.write("data/secret", strings.Repeat("x", 100_000))
		b.write("data/suid", "#!")
		b.write("data/dir/deep/file", "deep")
		b.symlink("/etc/passwd", "data/link")
		b.mkdir("fresh")
		uid, gid := c.owner()
		if !c.user {
			uid, gid = uid+7, gid+8
		}
		must(t, os.Chmod(b.root("data"), os.ModeSticky|0o777), os.Lchown(b.root("data/secret"), uid, gid), os.Chmod(b.root("data/secret"), 0o640),
			os.Chmod(b.root("data/suid"), os.ModeSetuid|0o755), os.Chmod(b.root("data/dir"), os.ModeSetgid|0o750), mkfifo(b.root("data/pipe")))
		_ = setxattr(b.root("data/text"), "user.homerun", "yes")
		for _, at := range []string{"/data", "/fresh"} {
			b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: at, Type: "tmpfs", Source: "tmpfs", Options: []string{"tmpcopyup", "nosuid"}})
		}
		r := b.run()
		rep := r.report(t)
		owner := "7:8"
		if c.user {
			owner = "0:0"
		}
		for k, want := range map[string]string{
			"cat /data/text": "hello", "cat /data/dir/deep/file": "deep", "link /data/link": "/etc/passwd",
			"stat /data": "41777 0:0", "stat /data/secret": "100640 " + owner, "stat /data/suid": "104755 0:0",
			"stat /data/dir": "42750 0:0", "list /data": "dir link pipe secret suid text", "create /data/new": "ok",
			"list /fresh": "", "stat /fresh": "40755 0:0",
		} {
			if got := rep.Tries[k]; got != want {
				t.Errorf("%s: %q, want %q", k, got, want)
			}
		}
		if _, err := os.Lstat(b.root("data/new")); err == nil {
			t.Error("the copy is not one: a file appeared in the rootfs")
		}
		if m, ok := rep.mountAt("/data"); !ok || m.kind != "tmpfs" || !slices.Contains(m.options, "nosuid") {
			t.Errorf("the mount is %v", m)
		}
	})
}

// TestBindKinds binds each kind of file, and links with and without following.
func TestBindKinds(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		dir, file := sources(t)
		pipe, sock, link := filepath.Join(dir, "pipe"), filepath.Join(dir, "sock"), filepath.Join(dir, "link")
		must(t, mkfifo(pipe), plantSocket(sock, nil), os.Symlink("file", link))
		b := newBundle(t, c, "report", "cat /b/file", "stat /b/pipe", "stat /b/sock", "list /b/dir", "cat /b/link", "link /b/nofollow",
			"link /b/copied", "cat /b/over", "cat /b/into", "stat /real/deep")
		b.symlink("/nowhere", "b/over")
		b.symlink("/real/deep", "b/into")
		bind := func(source, at string, options ...string) {
			b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Source: source, Destination: at, Options: append([]string{"bind"}, options...)})
		}
		bind(file, "/b/file")
		bind(pipe, "/b/pipe")
		bind(sock, "/b/sock")
		bind(dir, "/b/dir")
		bind(link, "/b/link")
		bind(link, "/b/nofollow", "src-nofollow")
		bind(link, "/b/copied", "copy-symlink")
		bind(file, "/b/over", "dest-nofollow")
		bind(file, "/b/into")
		r := b.run()
		rep := r.report(t)
		for k, want := range map[string]string{
			"cat /b/file": "text", "cat /b/link": "text", "list /b/dir": "file link pipe sock", "link /b/nofollow": "file",
			"link /b/copied": "file", "cat /b/over": "text", "cat /b/into": "text",
		} {
			if got := rep.Tries[k]; got != want {
				t.Errorf("%s: %q, want %q", k, got, want)
			}
		}
		if !strings.HasPrefix(rep.Tries["stat /b/pipe"], "10") || !strings.HasPrefix(rep.Tries["stat /b/sock"], "140") ||
			!strings.HasPrefix(rep.Tries["stat /real/deep"], "100") {
			t.Errorf("%v", rep.Tries)
		}
	})
}

// TestDevices makes devices, FIFOs and their directories.
func TestDevices(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		mode, id := os.FileMode(0o640), uint32(5)
		b := newBundle(t, c, "report", "stat /dev/kmsg", "stat /dev/deep/er/pipe", "stat /opt/zero", "read /dev/zero", "stat /dev/ptmx", "link /dev/fd")
		b.spec.Linux.Devices = []specs.LinuxDevice{
			{Path: "/dev/kmsg", Type: "c", Major: 1, Minor: 11, FileMode: &mode, UID: &id, GID: &id},
			{Path: "/dev/deep/er/pipe", Type: "p"}, {Path: "/opt/zero", Type: "u", Major: 1, Minor: 5}}
		if c.namespace {
			b.spec.Linux.Devices = b.spec.Linux.Devices[:2]
		}
		r := b.run()
		rep := r.report(t)
		want := map[string]string{"stat /dev/kmsg": "20640 5:5 1:11", "stat /opt/zero": "20666 0:0 1:5",
			"stat /dev/deep/er/pipe": "10666 0:0", "read /dev/zero": "ok", "link /dev/fd": "/proc/self/fd"}
		if c.namespace { // the host's node, never chowned
			delete(want, "stat /dev/kmsg")
			delete(want, "stat /opt/zero")
			if !strings.HasSuffix(rep.Tries["stat /dev/kmsg"], "65534:65534 1:11") {
				t.Errorf("/dev/kmsg is %s", rep.Tries["stat /dev/kmsg"])
			}
		}
		for k, v := range want {
			if rep.Tries[k] != v {
				t.Errorf("%s: %q, want %q", k, rep.Tries[k], v)
			}
		}
	})
}
