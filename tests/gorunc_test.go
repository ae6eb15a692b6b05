package tests

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	runc "github.com/containerd/go-runc"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestGoRunc drives homerun through the module by which containerd's shim,
// nerdctl and dockerd drive runc. The module passes files that only its own
// user can read, so as root this binary runs once more as the user.
func TestGoRunc(t *testing.T) {
	name := "user"
	if os.Getuid() == 0 {
		name = "root"
		t.Run("user", asUser)
	}
	runc.Monitor = shimMonitor{}
	t.Run(name, func(t *testing.T) {
		w := newWorld(t, name)
		g := &goRunc{world: w, Runc: &runc.Runc{Command: w.command, Root: w.state, Log: filepath.Join(w.dir, "log.json"),
			LogFormat: runc.JSON, PdeathSignal: syscall.SIGKILL}}
		var cancel context.CancelFunc
		g.ctx, cancel = context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		t.Run("lifecycle", g.lifecycle)
		t.Run("console", g.console)
		t.Run("failure", g.failure)
		t.Run("death of the parent thread", g.parentThread)
		t.Run("cgroup", g.cgroups)
		t.Run("features", g.facts)
		w.empty(t, w.dir)
	})
}

// asUser runs the test again as the unprivileged user.
func asUser(t *testing.T) {
	top, _, _ := strings.Cut(t.Name(), "/")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, shared.self, "-test.v", "-test.run=^"+top+"$")
	cmd.Env = append((&session{World: "user"}).environment(), "HOMERUN="+shared.homerun)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(shared.user.uid), Gid: uint32(shared.user.gid)}}
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+top+"/user") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

type goRunc struct {
	*world
	*runc.Runc
	ctx context.Context
}

// check ends the test on an error.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// create makes a container with pipes, as the shim does, and returns its
// standard output.
func (g *goRunc) create(t *testing.T, id, script string) *bufio.Reader {
	t.Helper()
	pipes, err := runc.NewPipeIO(os.Getuid(), os.Getgid())
	check(t, err)
	t.Cleanup(func() { pipes.Close() })
	bundle := g.bundle(t, id, script)
	check(t, g.Create(g.ctx, id, bundle, &runc.CreateOpts{IO: pipes, PidFile: filepath.Join(g.dir, id+".pid")}))
	t.Cleanup(func() { g.Delete(context.Background(), id, &runc.DeleteOpts{Force: true}) })
	pid, err := runc.ReadPidFile(filepath.Join(g.dir, id+".pid"))
	check(t, err)
	if got := g.init(t, id); got != pid {
		t.Fatalf("the pid file says %d, state.json %d", pid, got)
	}
	return bufio.NewReader(pipes.Stdout())
}

// line reads one line within the deadline.
func (g *goRunc) line(t *testing.T, r *bufio.Reader, want string) {
	t.Helper()
	got := make(chan string, 1)
	go func() {
		s, err := r.ReadString('\n')
		if err != nil {
			s += err.Error()
		}
		got <- strings.TrimSpace(s)
	}()
	select {
	case s := <-got:
		if s != want {
			t.Fatalf("the container says %q, want %q", s, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("the container does not say %q", want)
	}
}

func (g *goRunc) lifecycle(t *testing.T) {
	out := g.create(t, "one", `trap "echo got USR1" USR1; echo ready; while :; do sleep 0.01; done`)
	g.status(t, "one", "created")
	check(t, g.Start(g.ctx, "one"))
	g.line(t, out, "ready")
	c := g.status(t, "one", "running")
	if c.Pid != g.init(t, "one") || c.Bundle != filepath.Join(g.dir, "bundles", "one") || time.Since(c.Created) > time.Minute {
		t.Errorf("state is %+v", c)
	}
	list, err := g.List(g.ctx)
	check(t, err)
	if len(list) != 1 || list[0].ID != "one" || list[0].Status != "running" {
		t.Errorf("list is %+v", list)
	}
	g.exec(t, "one")
	pids, err := g.Ps(g.ctx, "one")
	check(t, err)
	if !slices.Contains(pids, c.Pid) {
		t.Errorf("ps lists %v without init %d", pids, c.Pid)
	}
	top, err := g.Top(g.ctx, "one", "-ef")
	check(t, err)
	if !slices.Contains(top.Headers, "PID") || len(top.Processes) == 0 {
		t.Errorf("top is %+v", top)
	}
	check(t, g.Kill(g.ctx, "one", int(syscall.SIGUSR1), nil))
	g.line(t, out, "got USR1")
	check(t, g.Kill(g.ctx, "one", int(syscall.SIGKILL), &runc.KillOpts{All: true}))
	g.ends(t, "one")
	// containerd kills once more, and matches the words of the failure.
	check(t, g.Kill(g.ctx, "one", int(syscall.SIGKILL), &runc.KillOpts{All: true}))
	if err := g.Kill(g.ctx, "one", int(syscall.SIGKILL), nil); err == nil || !strings.Contains(err.Error(), "container not running") {
		t.Errorf("kill of a stopped container: %v", err)
	}
	check(t, g.Delete(g.ctx, "one", nil))
	if err := g.Delete(g.ctx, "one", nil); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("delete twice: %v", err)
	}
	check(t, g.Delete(g.ctx, "one", &runc.DeleteOpts{Force: true}))
	list, err = g.List(g.ctx)
	if err != nil || len(list) != 0 {
		t.Errorf("list is %v, %v", list, err)
	}
}

func (g *goRunc) status(t *testing.T, id, want string) *runc.Container {
	t.Helper()
	c, err := g.State(g.ctx, id)
	check(t, err)
	if c.ID != id || c.Status != want {
		t.Fatalf("state is %+v, want %s", c, want)
	}
	return c
}

// ends waits until the container has stopped.
func (g *goRunc) ends(t *testing.T, id string) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := g.State(g.ctx, id)
		check(t, err)
		if c.Status == "stopped" && c.Pid == 0 {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%s does not stop: %+v", id, c)
		}
	}
}

// exec runs one process attached, whose status comes back, and one detached.
func (g *goRunc) exec(t *testing.T, id string) {
	t.Helper()
	process := specs.Process{Args: []string{"/bin/sh", "-c", "echo from exec; exit 5"}, Env: []string{"PATH=/bin"}, Cwd: "/"}
	pipes, err := runc.NewPipeIO(os.Getuid(), os.Getgid())
	check(t, err)
	defer pipes.Close()
	err = g.Exec(g.ctx, id, process, &runc.ExecOpts{IO: pipes})
	if exit := (*runc.ExitError)(nil); !errors.As(err, &exit) || exit.Status != 5 {
		t.Fatalf("exec: %v, want exit status 5", err)
	}
	g.line(t, bufio.NewReader(pipes.Stdout()), "from exec")

	process.Args = []string{"/bin/sleep", "100"}
	pidFile := filepath.Join(g.dir, id+".exec.pid")
	null, err := runc.NewNullIO()
	check(t, err)
	defer null.Close()
	check(t, g.Exec(g.ctx, id, process, &runc.ExecOpts{IO: null, Detach: true, PidFile: pidFile}))
	pid, err := runc.ReadPidFile(pidFile)
	check(t, err)
	pids, err := g.Ps(g.ctx, id)
	check(t, err)
	if !slices.Contains(pids, pid) || !running(pid) {
		t.Errorf("ps lists %v without the process %d", pids, pid)
	}
	reap(pid)
}

// reap waits for a process that became ours, as callers do that are subreapers:
// init cannot end before all in its PID namespace are waited for.
func reap(pid int) {
	go func() { syscall.Wait4(pid, nil, 0, nil) }()
}

// console takes the terminals of init and of exec, and talks through them.
func (g *goRunc) console(t *testing.T) {
	socket, err := runc.NewTempConsoleSocket()
	check(t, err)
	defer socket.Close()
	// The user must be able to reach it.
	check(t, os.Chmod(filepath.Dir(socket.Path()), 0o755))
	check(t, os.Chmod(socket.Path(), 0o777))
	bundle := g.bundle(t, "tty", "stty size; read line; echo got $line; sleep 100", "process.terminal=true",
		`process.consoleSize={"height":33,"width":44}`)
	check(t, g.Create(g.ctx, "tty", bundle, &runc.CreateOpts{IO: nullIO(t), ConsoleSocket: socket}))
	defer g.Delete(context.Background(), "tty", &runc.DeleteOpts{Force: true})
	init, err := socket.ReceiveMaster()
	check(t, err)
	defer init.Close()
	check(t, g.Start(g.ctx, "tty"))
	out := bufio.NewReader(init)
	g.line(t, out, "33 44")
	_, err = io.WriteString(init, "hello\n")
	check(t, err)
	g.line(t, out, "hello")
	g.line(t, out, "got hello")

	second, err := runc.NewTempConsoleSocket()
	check(t, err)
	defer second.Close()
	check(t, os.Chmod(filepath.Dir(second.Path()), 0o755))
	check(t, os.Chmod(second.Path(), 0o777))
	process := specs.Process{Terminal: true, Args: []string{"/bin/sh", "-c", "tty; sleep 100"}, Env: []string{"PATH=/bin"}, Cwd: "/"}
	pidFile := filepath.Join(g.dir, "tty.exec.pid")
	check(t, g.Exec(g.ctx, "tty", process, &runc.ExecOpts{IO: nullIO(t), ConsoleSocket: second, Detach: true, PidFile: pidFile}))
	pid, err := runc.ReadPidFile(pidFile)
	check(t, err)
	reap(pid)
	other, err := second.ReceiveMaster()
	check(t, err)
	defer other.Close()
	g.line(t, bufio.NewReader(other), "/dev/pts/1")
}

func nullIO(t *testing.T) runc.IO {
	t.Helper()
	null, err := runc.NewNullIO()
	check(t, err)
	t.Cleanup(func() { null.Close() })
	return null
}

// failure reads the log as containerd does: the last error of a stream.
func (g *goRunc) failure(t *testing.T) {
	bundle := g.bundle(t, "bad", "", `process.args=["nosuch"]`)
	err := g.Create(g.ctx, "bad", bundle, &runc.CreateOpts{IO: nullIO(t)})
	if err == nil {
		t.Fatal("create succeeds")
	}
	file, err := os.Open(g.Log)
	check(t, err)
	defer file.Close()
	var message string
	for d := json.NewDecoder(file); ; {
		var entry struct {
			Level, Msg string
			Time       time.Time
		}
		if err := d.Decode(&entry); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if entry.Level == "error" {
			message = entry.Msg
		}
	}
	if !strings.Contains(message, `executable file "nosuch" not found in $PATH`) {
		t.Errorf("the log says %q", message)
	}
	if c, err := g.State(g.ctx, "bad"); err == nil {
		t.Errorf("state is %+v", c)
	}
}

// parentThread creates from a thread that ends: the signal that the shim asks
// for must not come to init.
func (g *goRunc) parentThread(t *testing.T) {
	done := make(chan *bufio.Reader)
	go func() {
		runtime.LockOSThread() // and never unlocked, so the thread ends
		done <- g.create(t, "orphan", "echo alive; sleep 100")
	}()
	out := <-done
	time.Sleep(100 * time.Millisecond)
	check(t, g.Start(g.ctx, "orphan"))
	g.line(t, out, "alive")
	check(t, g.Delete(g.ctx, "orphan", &runc.DeleteOpts{Force: true}))
}

// cgroups is what needs a cgroup: limits, statistics, the freezer.
func (g *goRunc) cgroups(t *testing.T) {
	out := g.create(t, "cg", "echo ready; while :; do sleep 0.01; done")
	check(t, g.Start(g.ctx, "cg"))
	g.line(t, out, "ready")
	if g.cgroup(t, "cg") == "" {
		t.Skip("needs cgroup v2 that is delegated to the caller")
	}
	check(t, g.Pause(g.ctx, "cg"))
	g.status(t, "cg", "paused")
	if err := g.Exec(g.ctx, "cg", specs.Process{Args: []string{"/bin/true"}, Cwd: "/"}, nil); err == nil {
		t.Error("exec in a paused container succeeds")
	}
	check(t, g.Resume(g.ctx, "cg"))
	g.status(t, "cg", "running")

	limit, memory := int64(40), int64(64<<20)
	check(t, g.Update(g.ctx, "cg", &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}, Memory: &specs.LinuxMemory{Limit: &memory}}))
	stats, err := g.Stats(g.ctx, "cg")
	check(t, err)
	if stats.Pids.Limit != 40 || stats.Pids.Current < 1 || stats.Memory.Usage.Limit != 64<<20 || stats.Cpu.Usage.Total == 0 {
		t.Errorf("stats are %+v", stats)
	}
	ctx, cancel := context.WithTimeout(g.ctx, 5*time.Second)
	defer cancel()
	events, err := g.Events(ctx, "cg", time.Second)
	check(t, err)
	select {
	case e := <-events:
		if e == nil || e.Err != nil || e.Type != "stats" || e.ID != "cg" || e.Stats.Pids.Limit != 40 {
			t.Errorf("the event is %+v", e)
		}
	case <-ctx.Done():
		t.Error("no event comes")
	}
}

// facts is what dockerd and the shim ask at their start.
func (g *goRunc) facts(t *testing.T) {
	// The module knows runc's --version only. dockerd takes the version from the
	// last line with that word, and the commit from its own.
	text := g.must(t, "--version")
	if lines := strings.Split(text, "\n"); !strings.HasPrefix(lines[0], "homerun version ") || strings.Count(text, "version") != 1 ||
		!slices.Contains(lines, "spec: 1.3.0") {
		t.Errorf("--version prints %q", text)
	}
	f, err := g.Features(g.ctx)
	check(t, err)
	if f.OCIVersionMin == "" || f.OCIVersionMax == "" || !slices.Contains(f.MountOptions, "rro") ||
		!slices.Contains(f.Linux.Namespaces, "user") {
		t.Errorf("features are %+v", f)
	}
}
