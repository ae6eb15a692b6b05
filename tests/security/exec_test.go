package security

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// leaseholder is a container whose init has a write lease on a file, and acts on
// who opens it: see inside/lease.go.
func leaseholder(b *bundle, file, act string) (*running, *bufio.Reader) {
	b.t.Helper()
	b.spec.Process.Args = []string{"/inside", "lease", file, act}
	b.mkdir("tmp")
	b.mkdir("etc")
	b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=1777"}})
	b.save()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	r := &running{bundle: b, cmd: b.c.command(ctx, "run", "-b", b.dir, b.id())}
	r.stdin, _ = r.cmd.StdinPipe()
	out, _ := r.cmd.StdoutPipe()
	r.cmd.Stderr = os.Stderr
	must(b.t, r.cmd.Start())
	b.t.Cleanup(func() {
		r.stdin.Close()
		_ = r.cmd.Wait()
		cancel()
	})
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || line != "waiting\n" {
		b.t.Fatalf("the container says %q: %v", line, err)
	}
	return r, lines
}

// shortly is long enough for an exec that waits for nobody. A lease lasts for
// fs.lease-break-time, which is 45 s.
const shortly = 5 * time.Second

// timed is exec, which has to end by itself.
func (r *running) timed(args ...string) result {
	r.t.Helper()
	res := r.c.within(r.t, shortly, append([]string{"exec"}, args...)...)
	if res.status < 0 {
		r.t.FailNow() // within has said why
	}
	return res
}

// TestExecWaitsForNobody: whatever /etc/passwd and /etc/group are in the
// container, exec looks at them without waiting, and reports names it cannot look
// up from ids.
func TestExecWaitsForNobody(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		t.Run("lease", func(t *testing.T) {
			r, _ := leaseholder(newBundle(t, c), "/etc/passwd", "hold")
			res := r.timed(r.id(), "/inside", "report", "cat /proc/self/environ")
			if env := res.report(t).Tries["cat /proc/self/environ"]; !strings.Contains(env, "HOME=/\x00") {
				t.Errorf("environment %q", env)
			}
			if res := r.timed("--user", "web", r.id(), "/inside"); res.status == 0 || !strings.Contains(res.stderr, `user "web": read the container's /etc/passwd: a process holds a lease on it`) {
				t.Errorf("status %d: %s", res.status, res.stderr)
			}
		})
		for name, make := range map[string]func(path string) error{
			"kmsg":    func(p string) error { return os.Symlink("/proc/kmsg", p) },
			"cmdline": func(p string) error { return os.Symlink("/proc/1/cmdline", p) },
			"FIFO":    mkfifo,
			"far up":  func(p string) error { return os.Symlink("../../../../../../../../proc/kmsg", p) },
		} {
			t.Run(name, func(t *testing.T) {
				b := newBundle(t, c, "wait")
				b.mkdir("etc")
				for _, file := range []string{"passwd", "group"} {
					must(t, make(b.root(filepath.Join("etc", file))))
				}
				r := b.start()
				for _, flags := range [][]string{nil, {"--user", "web"}, {"--user", "0:web"}} {
					res := r.timed(append(flags, r.id(), "/inside")...)
					if (res.status != 0) != (flags != nil) {
						t.Errorf("%v: status %d: %s", flags, res.status, res.stderr)
					}
				}
			})
		}
	})
}

// TestExecSecondSignal: a container that stops the process which joins it makes
// exec wait, but not for ever: the first signal is for the program, if it runs soon,
// the second ends exec at once, and the process with it.
func TestExecSecondSignal(t *testing.T) {
	forAll(t, func(t *testing.T, c caller) {
		for _, second := range []os.Signal{unix.SIGTERM, unix.SIGINT} {
			r, lines := leaseholder(newBundle(t, c), "/tmp/target", "stop")
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			cmd := c.command(ctx, "exec", r.id(), "/tmp/target", "sleep")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			must(t, cmd.Start())
			stopped := map[string]string{}
			line, _ := lines.ReadString('\n')
			must(t, json.Unmarshal([]byte(line), &stopped))
			if len(stopped) != 1 {
				t.Fatalf("stopped: %v", stopped)
			}
			time.Sleep(300 * time.Millisecond) // signals of one moment count once
			must(t, cmd.Process.Signal(unix.SIGTERM))
			time.Sleep(300 * time.Millisecond)
			must(t, cmd.Process.Signal(second))
			late := time.AfterFunc(shortly, cancel)
			err := cmd.Wait()
			if !late.Stop() {
				t.Fatalf("exec has not ended %v after the second signal\nstderr: %s", shortly, stderr.String())
			}
			if _, exited := err.(*exec.ExitError); !exited || !strings.Contains(stderr.String(), "given up at the second SIGTERM or SIGINT") {
				t.Errorf("%v: %s", err, stderr.String())
			}
			for dir := range stopped {
				if got := r.exec(nil, "report", "link "+dir+"/exe").report(t).Tries["link "+dir+"/exe"]; got != "ENOENT" {
					t.Errorf("%s is still there: %s", dir, got)
				}
			}
		}
	})
}

// TestExecStaysHidden: while exec's process has become the user, and is not yet
// the program, a process of that user in the container cannot look into it; also
// where fs.suid_dumpable is 1, which makes a change of ids show a process. The
// program is under a lease, so that the process waits in execve.
func TestExecStaysHidden(t *testing.T) {
	const sysctl = "/proc/sys/fs/suid_dumpable"
	need(t)
	before, err := os.ReadFile(sysctl)
	must(t, err)
	t.Cleanup(func() { must(t, os.WriteFile(sysctl, before, 0)) })
	must(t, os.WriteFile(sysctl, []byte("1"), 0))
	forAll(t, func(t *testing.T, c caller) {
		b := newBundle(t, c)
		b.spec.Process.User = specs.User{UID: 7, GID: 7}
		b.spec.Process.Capabilities = nil // else the kernel wants the looker to have as many
		r, lines := leaseholder(b, "/tmp/target", "look")
		if res := r.c.homerun(t, "exec", r.id(), "/tmp/target"); res.status != 0 {
			t.Fatalf("status %d: %s", res.status, res.stderr)
		}
		seen := map[string]string{}
		line, _ := lines.ReadString('\n')
		must(t, json.Unmarshal([]byte(line), &seen))
		if len(seen) != 3 {
			t.Fatalf("it looked at %v", seen)
		}
		for name, what := range seen {
			if what != "EACCES" && what != "EPERM" {
				t.Errorf("%s: %s", name, what)
			}
		}
	})
}
