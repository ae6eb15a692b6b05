package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/spec"
	"github.com/homerun-oci/homerun/tests/traced"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// callLimit is for a verb, which takes less than a second unless it hangs.
const callLimit = 120 * time.Second

// place is where containers are made.
type place struct {
	dir    string // of all files
	small  string // a small file system, if there is one
	state  string // the state root, in small
	rootfs string
	scopes bool
	net    bool // a network of their own can be had
	env    []string

	// mu guards own: those children that somebody here waits for.
	mu  sync.Mutex
	own map[int]bool
}

func newPlace(t *testing.T, dir, small string) *place {
	t.Helper()
	p := &place{dir: dir, small: small, state: filepath.Join(small, "state"), rootfs: filepath.Join(dir, "rootfs"), own: make(map[int]bool)}
	for _, d := range []string{"bundles", "out", "run", "ids"} {
		must(t, os.MkdirAll(filepath.Join(dir, d), 0o700))
	}
	for _, d := range []string{"bin", "proc", "sys", "dev", "tmp", "etc", "ids"} {
		must(t, os.MkdirAll(filepath.Join(p.rootfs, d), 0o755))
	}
	must(t, copyFile("/bin/busybox", filepath.Join(p.rootfs, "bin/busybox")))
	for _, name := range []string{"sh", "sleep", "echo", "true"} {
		must(t, os.Symlink("busybox", filepath.Join(p.rootfs, "bin", name)))
	}
	if _, err := os.Stat(filepath.Join(dir, "bin")); err != nil {
		copyPrograms(t, filepath.Join(dir, "bin"))
	}
	must(t, os.MkdirAll(p.state, 0o700))
	run := os.Getenv("XDG_RUNTIME_DIR")
	if os.Getenv(directoryVariable) != "" || run == "" {
		run = filepath.Join(dir, "run")
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if p.net = err == nil; p.net {
		unix.Close(fd)
	}
	p.env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + dir, "TMPDIR=" + filepath.Join(dir, "out"), "XDG_RUNTIME_DIR=" + run}
	if bus := os.Getenv("DBUS_SESSION_BUS_ADDRESS"); bus != "" && os.Getenv(directoryVariable) == "" {
		p.env = append(p.env, "DBUS_SESSION_BUS_ADDRESS="+bus)
	}
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// copyPrograms copies homerun and its helpers, which `make build` has made.
func copyPrograms(t *testing.T, to string) {
	t.Helper()
	files, _ := filepath.Glob("../../bin/homerun*")
	if len(files) < 2 {
		t.Fatal("no programs in bin: make build")
	}
	must(t, os.MkdirAll(to, 0o755))
	for _, name := range files {
		must(t, copyFile(name, filepath.Join(to, filepath.Base(name))))
	}
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o755)
}

// program is what runs in all containers: it says when it is there, and ends by SIGTERM
// with a status of its own.
const program = `trap 'exit 7' TERM; echo up; echo up >/ids/up; sleep 100000 & wait`

// bundle makes that of an id, of one of some kinds.
func (p *place) bundle(t *testing.T, s *slot) {
	t.Helper()
	c := spec.Template(true)
	c.Root.Path, c.Root.Readonly, c.Process.Terminal = p.rootfs, true, false
	c.Process.Args = []string{"/bin/sh", "-c", program}
	c.Mounts = append(c.Mounts, specs.Mount{Destination: "/ids", Type: "bind", Source: p.shared(s.id), Options: []string{"bind"}})
	c.Linux.UIDMappings, c.Linux.GIDMappings = nil, nil
	switch s.kind {
	case ownIDs:
		spec.MapOwn(c, uint32(os.Getuid()), uint32(os.Getgid()))
	case noPIDNamespace:
		var list []specs.LinuxNamespace
		for _, n := range c.Linux.Namespaces {
			if n.Type != specs.PIDNamespace {
				list = append(list, n)
			}
		}
		c.Linux.Namespaces = list
	case limited:
		memory, pids := int64(64<<20), int64(64)
		if p.scopes {
			c.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &memory}, Pids: &specs.LinuxPids{Limit: &pids}}
		}
	case hooked:
		hook := []specs.Hook{{Path: "/bin/busybox", Args: []string{"busybox", "true"}}}
		c.Hooks = &specs.Hooks{CreateRuntime: hook, Poststop: hook}
	case networked:
		if p.net {
			c.Annotations = map[string]string{"run.homerun.net": s.driver(), "run.homerun.ports": strconv.Itoa(s.port()) + ":80"}
		}
	}
	text, err := json.Marshal(c)
	must(t, err)
	must(t, os.MkdirAll(p.bundleOf(s.id), 0o700))
	must(t, os.MkdirAll(p.shared(s.id), 0o700))
	must(t, os.WriteFile(filepath.Join(p.bundleOf(s.id), "config.json"), text, 0o600))
}

func (p *place) bundleOf(id string) string { return filepath.Join(p.dir, "bundles", id) }

// shared is a directory that is /ids in the container of that id.
func (p *place) shared(id string) string { return filepath.Join(p.dir, "ids", id) }

// ups is the file by which the program says that it is there.
func (p *place) ups(id string) string { return filepath.Join(p.shared(id), "up") }

// done is what came of a verb.
type done struct {
	status    int // -1 when it was killed
	out, errs string
	hung      bool
	// struck: the fault happened, before the verb had ended.
	struck bool
}

// text is all that it said, in a line.
func (d done) text() string { return strings.Join(strings.Fields(d.out+" "+d.errs), " ") }

// verb is the command line of a verb.
func (p *place) verb(args ...string) []string {
	list := []string{filepath.Join(p.dir, "bin/homerun"), "--root", p.state}
	if !p.scopes {
		list = append(list, "--cgroup-manager", "disabled")
	}
	return append(list, args...)
}

// plainly runs a verb that nothing is done to.
func (p *place) plainly(args ...string) done { return p.run(p.verb(args...), nil) }

// run runs a command. started, if it is there, gets the process.
func (p *place) run(command []string, started func(pid int)) (d done) {
	out, errs := p.file(), p.file()
	defer out.Close()
	defer errs.Close()
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.Dir, cmd.Env = out, errs, p.dir, p.env
	p.mu.Lock()
	err := cmd.Start()
	if err == nil {
		p.own[cmd.Process.Pid] = true
	}
	p.mu.Unlock()
	if err != nil {
		return done{status: -2, errs: err.Error()}
	}
	if started != nil {
		started(cmd.Process.Pid)
	}
	err = cmd.Wait()
	p.forget(cmd.Process.Pid)
	d = done{status: cmd.ProcessState.ExitCode(), out: content(out), errs: content(errs), hung: ctx.Err() != nil}
	if d.status < 0 {
		d.errs += fmt.Sprintf(" (%v)", err)
	}
	return d
}

// file is one without a name: containers keep what they got of it.
func (p *place) file() *os.File {
	fd, err := unix.Open(filepath.Join(p.dir, "out"), unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		panic(err)
	}
	return os.NewFile(uintptr(fd), "out")
}

func content(f *os.File) string {
	text := make([]byte, 64<<10)
	n, _ := f.ReadAt(text, 0)
	return string(text[:n])
}

func (p *place) forget(pid int) {
	p.mu.Lock()
	delete(p.own, pid)
	p.mu.Unlock()
}

// step runs a command up to one of its system calls, at which it is killed, or which
// fails.
func (p *place) step(command []string, at int, errno unix.Errno) done {
	out := p.file()
	defer out.Close()
	pid := 0
	s := &traced.Program{Command: command, Env: p.env, Dir: p.dir, Out: out, Limit: callLimit, Fail: errno, Started: func(n int) {
		pid = n
		p.mu.Lock()
		p.own[n] = true
		p.mu.Unlock()
	}}
	calls, status, err := s.Run(at)
	p.forget(pid)
	d := done{status: status, errs: content(out), struck: calls >= at}
	if err != nil {
		d.hung, d.errs = true, d.errs+err.Error()
	}
	return d
}

// reap takes orphans that have come to this process, until the end.
func (p *place) reap(stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(10 * time.Millisecond):
		}
		for pid := range childrenOf(os.Getpid()) {
			if s, err := statOf(pid); err == nil && s.state == 'Z' {
				p.mu.Lock()
				if !p.own[pid] {
					_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
				}
				p.mu.Unlock()
			}
		}
	}
}

// statusOf is the status of a container as one of two verbs prints it, absent when it
// does not exist, and how it ended, where that is known.
func (p *place) statusOf(id string, byList bool) (seen, error) {
	if !byList {
		d := p.plainly("state", id)
		s := seen{Status: damaged}
		switch {
		case d.status == 0 && json.Unmarshal([]byte(d.out), &s) == nil, strings.Contains(d.errs, "damaged"):
			return s, nil
		case d.status == 1 && strings.Contains(d.errs, "does not exist"):
			return seen{Status: absent}, nil
		}
		return seen{}, fmt.Errorf("state: status %d: %s", d.status, d.text())
	}
	d := p.plainly("list", "-f", "json")
	var list []seen
	if d.status != 0 || json.Unmarshal([]byte(d.out), &list) != nil {
		return seen{}, fmt.Errorf("list: status %d: %s", d.status, d.text())
	}
	for _, s := range list {
		if s.ID == id {
			return s, nil
		}
	}
	if strings.Contains(d.errs, strconv.Quote(id)) || strings.Contains(d.errs, p.state+"/"+id+"/") {
		return seen{Status: damaged}, nil
	}
	return seen{Status: absent}, nil
}

// seen is what a verb prints of a container.
type seen struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Pid    int    `json:"pid"`
	Exit   *struct {
		Status int `json:"status"`
	} `json:"exit"`
}
