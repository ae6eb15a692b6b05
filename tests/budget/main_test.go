// What the verbs take is counted by strace, which an ordinary user may use: root's
// tests become one. The least of some rounds counts, because Go's threads and the
// kernel's caches only ever add to it.
package budget

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/spec"
	"github.com/homerun-oci/homerun/tests/again"
)

// deadline is for one command, which takes a second at most on an idle machine.
const deadline = 60 * time.Second

// ordinary is who root's tests become. Nobody has to know this user.
const ordinary = 1000

func TestMain(m *testing.M) { os.Exit(again.Alone(m.Run)) }

// place is where containers are made, and how.
type place struct {
	t       *testing.T
	dir     string
	manager string
	uid     int
}

// newPlace makes a bundle whose container sleeps, and one whose container ends at once.
func newPlace(t *testing.T, manager string) *place {
	t.Helper()
	if testing.Short() {
		t.Skip("needs strace and namespaces")
	}
	dir, err := os.MkdirTemp("", "homerun-budget-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &place{t: t, dir: dir, manager: manager, uid: os.Getuid()}
	for _, name := range []string{"state", "rootfs", "rootfs/bin", "run", "true", "sleep"} {
		p.must(os.MkdirAll(filepath.Join(dir, name), 0o755))
	}
	program := os.Getenv("HOMERUN")
	if program == "" {
		program = "../../bin/homerun"
	}
	p.copyFile(program, "homerun")
	p.copyFile("/bin/busybox", "rootfs/bin/true")
	p.copyFile("/bin/busybox", "rootfs/bin/sleep")
	if p.uid == 0 {
		p.uid = ordinary
	}
	for name, args := range map[string][]string{"true": {"true"}, "sleep": {"sleep", "1000"}} {
		c := spec.Template(true)
		spec.MapOwn(c, uint32(p.uid), uint32(p.uid))
		c.Process.Args, c.Process.Terminal, c.Root.Path = args, false, filepath.Join(dir, "rootfs")
		text, err := json.Marshal(c)
		p.must(err)
		p.must(os.WriteFile(filepath.Join(dir, name, "config.json"), text, 0o644))
	}
	if os.Getuid() == 0 {
		for _, name := range []string{"", "state", "run", "rootfs"} {
			p.must(os.Chown(filepath.Join(dir, name), p.uid, p.uid))
		}
	}
	return p
}

func (p *place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) copyFile(from, to string) {
	p.t.Helper()
	text, err := os.ReadFile(from)
	p.must(err)
	p.must(os.WriteFile(filepath.Join(p.dir, to), text, 0o755))
}

// verb is a command line of homerun.
func (p *place) verb(words ...string) []string {
	return slices.Concat([]string{filepath.Join(p.dir, "homerun"), "--root", filepath.Join(p.dir, "state"), "--cgroup-manager", p.manager}, words)
}

// start starts a command; the function it returns waits for the end, and returns the page faults.
func (p *place) start(args ...string) func() int {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	// A file: what the container holds of a pipe would keep Wait waiting.
	stderr, err := os.CreateTemp(p.dir, "stderr")
	p.must(err)
	cmd.Stderr, cmd.Dir = stderr, p.dir
	cmd.Env = append(os.Environ(), "HOME="+p.dir)
	if os.Getuid() == 0 {
		cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+filepath.Join(p.dir, "run"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(p.uid), Gid: uint32(p.uid)}}
	}
	p.must(cmd.Start())
	return func() int {
		p.t.Helper()
		defer cancel()
		defer stderr.Close()
		if err := cmd.Wait(); err != nil {
			text, _ := os.ReadFile(stderr.Name())
			p.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, text)
		}
		return int(cmd.ProcessState.SysUsage().(*syscall.Rusage).Minflt)
	}
}

// await waits until something is so.
func (p *place) await(what string, is func() bool) {
	p.t.Helper()
	for end := time.Now().Add(deadline); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("%s does not come", what)
		}
	}
}
