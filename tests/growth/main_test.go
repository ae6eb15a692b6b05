// Package growth holds how system calls grow, as strace sees them: with mounts by a
// few each, and with other containers not at all.
package growth

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/spec"
	"github.com/homerun-oci/homerun/tests/again"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// deadline is for one command, which takes a second at most on an idle machine.
const deadline = 60 * time.Second

func TestMain(m *testing.M) { os.Exit(again.Alone(m.Run)) }

// place is where containers are made.
type place struct {
	t       *testing.T
	dir     string
	program string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	if testing.Short() {
		t.Skip("needs strace and namespaces")
	}
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed")
	}
	program := os.Getenv("HOMERUN")
	if program == "" {
		program = "../../bin/homerun"
	}
	program, err := filepath.Abs(program)
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t, t.TempDir(), program}
	p.must(os.MkdirAll(p.file("rootfs/bin"), 0o755))
	busybox, err := os.ReadFile("/bin/busybox")
	p.must(err)
	for _, name := range []string{"true", "sleep"} {
		p.must(os.WriteFile(p.file("rootfs/bin/"+name), busybox, 0o755))
	}
	return p
}

func (p *place) file(name string) string { return filepath.Join(p.dir, name) }

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// bundle makes one, with what change adds.
func (p *place) bundle(name string, change func(*specs.Spec), args ...string) string {
	p.t.Helper()
	c := spec.Template(true)
	spec.MapOwn(c, uint32(os.Getuid()), uint32(os.Getgid()))
	c.Process.Args, c.Process.Terminal, c.Root.Path = args, false, p.file("rootfs")
	if change != nil {
		change(c)
	}
	text, err := json.Marshal(c)
	p.must(err)
	p.must(os.MkdirAll(p.file(name), 0o755))
	p.must(os.WriteFile(filepath.Join(p.file(name), "config.json"), text, 0o644))
	return p.file(name)
}

// ofThreads are the calls of Go's threads, as many as the kernel's scheduler makes necessary.
const ofThreads = "futex,nanosleep,clock_nanosleep,sched_yield,sched_setaffinity,epoll_pwait,restart_syscall,rt_sigreturn,tgkill,getpid,gettid,clone," +
	"mmap,munmap,madvise,wait4,sigaltstack,rt_sigprocmask,rt_sigaction"

// begin starts a verb under strace. What it returns waits for the end, also of a
// container that was made, and returns the lines of the calls.
func (p *place) begin(words ...string) func() []string {
	p.t.Helper()
	trace := p.file("trace-" + words[0])
	return p.start(trace, "strace", append([]string{"-f", "-qq", "-e", "trace=!" + ofThreads, "-o", trace}, p.verb(words...)...)...)
}

func (p *place) traced(words ...string) []string {
	p.t.Helper()
	return p.begin(words...)()
}

func (p *place) verb(words ...string) []string {
	return append([]string{p.program, "--root", p.file("state"), "--cgroup-manager", "disabled"}, words...)
}

// run does a verb without strace.
func (p *place) run(words ...string) {
	p.t.Helper()
	args := p.verb(words...)
	p.start(os.DevNull, args[0], args[1:]...)()
}

func (p *place) start(trace, name string, args ...string) func() []string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	cmd := exec.CommandContext(ctx, name, args...)
	// A file: what the container holds of a pipe would keep Wait waiting.
	stderr, err := os.CreateTemp(p.dir, "stderr")
	p.must(err)
	cmd.Stderr = stderr
	p.must(cmd.Start())
	return func() []string {
		p.t.Helper()
		defer cancel()
		defer stderr.Close()
		if err := cmd.Wait(); err != nil {
			text, _ := os.ReadFile(stderr.Name())
			p.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, text)
		}
		text, err := os.ReadFile(trace)
		p.must(err)
		return strings.Split(strings.TrimSpace(string(text)), "\n")
	}
}

// awaitFile waits until a file has a text.
func (p *place) awaitFile(name string) {
	p.t.Helper()
	for end := time.Now().Add(deadline); ; time.Sleep(5 * time.Millisecond) {
		if text, err := os.ReadFile(name); err == nil && len(text) > 0 {
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s does not come", name)
		}
	}
}

// awaitEnd waits for the process of a pid file, whose parent this one has become:
// PR_SET_CHILD_SUBREAPER(2const).
func (p *place) awaitEnd(pidFile string) {
	p.t.Helper()
	text, err := os.ReadFile(pidFile)
	p.must(err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	p.must(err)
	_, err = unix.Wait4(pid, nil, 0, nil)
	p.must(err)
}
