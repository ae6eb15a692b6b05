package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// tries is how often in a row a program must run for a limit to count.
	tries = 5
	// step is the unit of memory.max: a page.
	step = 4
	// limitRun is how long one run may take: a runtime may hang.
	limitRun = 20 * time.Second
)

// runtime is one that is measured.
type runtime struct {
	name, path string
}

// lab is where it is measured.
type lab struct {
	dir  string
	next int
}

// measure runs in the machine.
func measure(built string) error {
	dir, err := os.MkdirTemp("", "smallest")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l := &lab{dir: dir}
	if err := l.rootfs(built); err != nil {
		return err
	}
	var columns []column
	for _, r := range []runtime{{"homerun", filepath.Join(built, "homerun")}, {"crun", "crun"}, {"runc", "runc"}} {
		c, err := l.column(r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		columns = append(columns, c)
	}
	fmt.Print(table(columns))
	return nil
}

// rootfs takes the programs into a root file system. Whoever reads a file
// first is charged for its pages: so they are written here, by nobody's
// container.
func (l *lab) rootfs(built string) error {
	root := filepath.Join(l.dir, "rootfs")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	if err := command("tar", "-C", root, "-xf", "/usr/share/homerun-test/busybox.tar"); err != nil {
		return err
	}
	for _, name := range []string{"true", "pause"} {
		text, err := os.ReadFile(filepath.Join(built, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, "bare-"+name), text, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// column is what is found out about one runtime.
type column struct {
	name           string
	bare, busybox  int // KiB
	resident       int // KiB, of a waiting init
	threads        int
	single, busily int // of runs
}

func (l *lab) column(r runtime) (c column, err error) {
	c.name = r.version()
	if c.bare, err = l.bisect(r, "/bare-true"); err != nil {
		return c, err
	}
	if c.busybox, err = l.bisect(r, "/bin/busybox", "true"); err != nil {
		return c, err
	}
	if c.resident, c.threads, err = l.waiting(r); err != nil {
		return c, err
	}
	c.single = l.count(r)
	stop, err := load()
	if err != nil {
		return c, err
	}
	defer stop()
	c.busily = l.count(r)
	return c, nil
}

func (r runtime) version() string {
	if r.name == "homerun" {
		return r.name
	}
	out, _ := exec.Command(r.path, "--version").Output()
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.Replace(line, " version ", " ", 1)
}

// bisect finds the smallest memory.max, in KiB.
func (l *lab) bisect(r runtime, args ...string) (int, error) {
	low, high := 0, 16<<10/step
	for high-low > 1 {
		middle := (low + high) / 2
		if l.runs(r, middle*step, args) {
			high = middle
		} else {
			low = middle
		}
	}
	if high*step == 16<<10 {
		return 0, fmt.Errorf("%v does not run in 16 MiB", args)
	}
	return high * step, nil
}

func (l *lab) runs(r runtime, kib int, args []string) bool {
	for range tries {
		if _, err := l.run(r, object{"memory": object{"limit": kib << 10}}, args...); err != nil {
			return false
		}
	}
	return true
}

// run makes a container and deletes what is left of it.
func (l *lab) run(r runtime, limits object, args ...string) (string, error) {
	id, bundle, err := l.bundle(limits, args)
	if err != nil {
		return "", err
	}
	out, err := l.call(r, "run", "--bundle", bundle, id)
	_, _ = l.call(r, "delete", "--force", id)
	return out, err
}

func (l *lab) bundle(limits object, args []string) (id, dir string, err error) {
	l.next++
	id = "smallest" + strconv.Itoa(l.next)
	dir = filepath.Join(l.dir, id)
	return id, dir, writeBundle(dir, filepath.Join(l.dir, "rootfs"), limits, args)
}

// call runs one verb. Its output goes to a file: a waiting init holds it open.
func (l *lab) call(r runtime, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limitRun)
	defer cancel()
	out, err := os.CreateTemp(l.dir, "output")
	if err != nil {
		return "", err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	args = append([]string{"--systemd-cgroup", "--root", filepath.Join(l.dir, "state-"+r.name)}, args...)
	cmd := exec.CommandContext(ctx, r.path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	runErr := cmd.Run()
	text, err := os.ReadFile(out.Name())
	if runErr != nil {
		err = fmt.Errorf("%w: %s", runErr, bytes.TrimSpace(text))
	}
	return string(text), err
}

// waiting measures the init of a created container.
func (l *lab) waiting(r runtime) (kib, threads int, err error) {
	id, bundle, err := l.bundle(object{}, []string{"/bare-true"})
	if err != nil {
		return 0, 0, err
	}
	file := filepath.Join(bundle, "pid")
	if _, err = l.call(r, "create", "--bundle", bundle, "--pid-file", file, id); err != nil {
		return 0, 0, err
	}
	defer l.call(r, "delete", "--force", id)
	pid, err := os.ReadFile(file)
	if err != nil {
		return 0, 0, err
	}
	status, err := os.ReadFile("/proc/" + string(pid) + "/status")
	if err != nil {
		return 0, 0, err
	}
	return statusField(status, "VmRSS"), statusField(status, "Threads"), nil
}

func statusField(status []byte, name string) int {
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name+":" {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	return 0
}

// many is how often pids.limit 1 is tried.
const many = 30

// count says how often a program runs and prints where no other process can be.
func (l *lab) count(r runtime) (n int) {
	for range many {
		if out, err := l.run(r, object{"pids": object{"limit": 1}}, "/bin/busybox", "echo", "alone"); err == nil && out == "alone\n" {
			n++
		}
	}
	return n
}

// load keeps the machine busy with four loops and their forks.
func load() (stop func(), err error) {
	var started []*exec.Cmd
	stop = func() {
		for _, cmd := range started {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			_ = cmd.Wait()
		}
	}
	for range 4 {
		cmd := exec.Command("sh", "-c", "while :; do /bin/true; done")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			stop()
			return nil, err
		}
		started = append(started, cmd)
	}
	return stop, nil
}
