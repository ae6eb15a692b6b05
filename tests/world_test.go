package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// world is where a Go test drives homerun: as root or as the unprivileged user,
// with a state root, a home and a runtime directory of its own.
type world struct {
	name  string
	dir   string
	state string
	// command runs homerun in the world, whoever calls it.
	command string
}

// worlds are those that can be had here. As root both; the user is then become
// by setpriv(1).
func worlds(t *testing.T) []*world {
	t.Helper()
	names := []string{"user"}
	if os.Getuid() == 0 {
		names = []string{"root", "user"}
	}
	var list []*world
	for _, name := range names {
		list = append(list, newWorld(t, name))
	}
	return list
}

func newWorld(t *testing.T, name string) *world {
	t.Helper()
	w := &world{name: name, dir: filepath.Join(shared.dir, strings.ReplaceAll(t.Name(), "/", "-")+"-"+name)}
	w.state, w.command = filepath.Join(w.dir, "state"), filepath.Join(w.dir, "homerun")
	for _, d := range []string{w.dir, w.state, filepath.Join(w.dir, "run"), filepath.Join(w.dir, "bundles")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		if name == "user" {
			if err := os.Chown(d, shared.user.uid, shared.user.gid); err != nil {
				t.Fatal(err)
			}
		}
	}
	script := "#!/bin/sh\nexec " + w.become() + w.environment() + shared.homerun + " \"$@\"\n"
	if err := os.WriteFile(w.command, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) become() string {
	if w.name == "root" || os.Getuid() != 0 {
		return ""
	}
	return fmt.Sprintf("setpriv --reuid=%d --regid=%d --clear-groups ", shared.user.uid, shared.user.gid)
}

// environment keeps the session's runtime directory where there is one, since
// the user's systemd is found through it.
func (w *world) environment() string {
	run := filepath.Join(w.dir, "run")
	if own := os.Getenv("XDG_RUNTIME_DIR"); own != "" && os.Getuid() != 0 {
		run = own
	}
	return "env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=" + w.dir + " XDG_RUNTIME_DIR=" + run + " "
}

// bundle makes a bundle whose program is a shell script, on the shared root,
// which is read-only.
func (w *world) bundle(t *testing.T, name, script string, edits ...string) string {
	t.Helper()
	dir := filepath.Join(w.dir, "bundles", name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	text, err := exec.Command(shared.homerun, "spec", "--rootless", "-b", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("spec: %v: %s", err, text)
	}
	file := filepath.Join(dir, "config.json")
	text, err = os.ReadFile(file)
	var config any
	if err == nil {
		err = json.Unmarshal(text, &config)
	}
	if err != nil {
		t.Fatal(err)
	}
	edits = append([]string{"-linux.uidMappings", "-linux.gidMappings", "root.path=" + shared.rootfs, "root.readonly=true", "process.terminal=false",
		`process.args=["/bin/sh","-c",` + strconv.Quote(script) + `]`}, edits...)
	for _, e := range edits {
		if config, err = apply(config, e); err != nil {
			t.Fatalf("%s: %v", e, err)
		}
	}
	if text, err = json.Marshal(config); err == nil {
		err = os.WriteFile(file, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// run runs a verb to its end, with files for what init inherits, and returns
// what it said.
func (w *world) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return w.runQuiet(args...)
}

// runQuiet is run for goroutines that are not the test's own.
func (w *world) runQuiet(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return w.runContext(ctx, args...)
}

func (w *world) runContext(ctx context.Context, args ...string) (string, error) {
	out, err := os.CreateTemp(w.dir, "out")
	if err != nil {
		return "", err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd := exec.CommandContext(ctx, w.command, append([]string{"--root", w.state}, args...)...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, w.dir
	err = cmd.Run()
	text, readErr := os.ReadFile(out.Name())
	if readErr != nil {
		return "", readErr
	}
	if err == nil {
		err = ctx.Err()
	}
	return string(text), err
}

// must runs a verb that has to succeed, and silently but for those that print.
func (w *world) must(t *testing.T, args ...string) string {
	t.Helper()
	text, err := w.run(t, args...)
	if err != nil {
		t.Fatalf("homerun %s: %v\n%s", strings.Join(args, " "), err, text)
	}
	return text
}

// init is the process id of a container's init, from state.json: that of a
// container which is not started too.
func (w *world) init(t *testing.T, id string) int {
	t.Helper()
	var state struct {
		Pid int `json:"pid"`
	}
	w.decodeState(t, id, &state)
	if state.Pid < 2 {
		t.Fatalf("state.json of %s has pid %d", id, state.Pid)
	}
	return state.Pid
}

// cgroup is the container's cgroup, or "".
func (w *world) cgroup(t *testing.T, id string) string {
	t.Helper()
	var state struct {
		Cgroup struct {
			Path string `json:"path"`
		} `json:"cgroup"`
	}
	w.decodeState(t, id, &state)
	return state.Cgroup.Path
}

func (w *world) decodeState(t *testing.T, id string, to any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.state, id, "state.json"))
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// empty fails when something is left in the state root or of the processes
// that carry the mark in their command line.
func (w *world) empty(t *testing.T, mark string) {
	t.Helper()
	var left []string
	for limit := time.Now().Add(3 * time.Second); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		if left = w.left(mark); len(left) == 0 {
			return
		}
	}
	t.Fatalf("left behind:\n%s", strings.Join(left, "\n"))
}

// reapOrphans waits for processes that came to this subreaper out of a PID
// namespace, whose init cannot end before. Those that tests started themselves
// are left to them.
func reapOrphans(t *testing.T) {
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
			files, _ := filepath.Glob("/proc/self/task/*/children")
			for _, f := range files {
				text, _ := os.ReadFile(f)
				for _, word := range strings.Fields(string(text)) {
					if pid, err := strconv.Atoi(word); err == nil && nested(pid) {
						unix.Wait4(pid, nil, unix.WNOHANG, nil)
					}
				}
			}
		}
	}()
}

// nested reports whether a process is in a PID namespace below ours.
func nested(pid int) bool {
	for _, line := range lines(filepath.Join("/proc", strconv.Itoa(pid), "status")) {
		if ids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			return len(strings.Fields(ids)) > 1
		}
	}
	return false
}

// left lists what is in the state root, and processes.
func (w *world) left(mark string) []string {
	var list []string
	entries, err := os.ReadDir(w.state)
	if err != nil {
		return []string{err.Error()}
	}
	for _, e := range entries {
		list = append(list, filepath.Join(w.state, e.Name()))
	}
	return append(list, marked(mark)...)
}

// marked lists running processes by a part of their command line.
func marked(mark string) []string {
	var list []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		text, err := os.ReadFile(f)
		if line := strings.ReplaceAll(string(text), "\x00", " "); err == nil && strings.Contains(line, mark) && running(pid) {
			list = append(list, strconv.Itoa(pid)+" "+line)
		}
	}
	return list
}
