package tests

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// deadline bounds one script in one world.
const deadline = 60 * time.Second

// header is what a script says about itself.
type header struct {
	worlds, runtimes, mounts, groups []string
}

func readHeader(file string) (header, error) {
	h := header{worlds: []string{"root", "user", "nested"}, runtimes: []string{"homerun"}}
	text, err := os.ReadFile(file)
	if err != nil {
		return h, err
	}
	for _, line := range strings.Split(string(text), "\n") {
		comment, ok := strings.CutPrefix(line, "# ")
		if !ok {
			break
		}
		key, value, _ := strings.Cut(comment, ": ")
		switch words := strings.Fields(value); key {
		case "worlds":
			h.worlds = words
		case "runtimes":
			h.runtimes = words
		case "mount":
			h.mounts = append(h.mounts, value)
		case "groups":
			h.groups = words
		}
	}
	return h, nil
}

// TestScripts runs each script in each world that it names.
func TestScripts(t *testing.T) {
	runtime := os.Getenv("RUNTIME")
	if runtime == "" {
		runtime = "homerun"
	}
	// A look at the binary, whose path is never the same again, keeps go from
	// answering out of its cache: go does not see that the test depends on it.
	if _, err := os.Stat(shared.homerun); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		h, err := readHeader(file)
		if err != nil {
			t.Fatal(err)
		}
		if !contains(h.runtimes, runtime) {
			continue
		}
		for _, world := range h.worlds {
			if runtime == "runc" && world == "nested" {
				continue // runc wants to return to its mount namespace, and may not
			}
			name := strings.TrimSuffix(filepath.Base(file), ".txtar")
			t.Run(name+"/"+world, func(t *testing.T) {
				t.Parallel()
				runScript(t, file, &session{World: world, Runtime: runtime, Mounts: h.mounts, Groups: h.groups})
			})
		}
	}
}

// runScript runs one script in one world and shows its log if it fails.
func runScript(t *testing.T, file string, s *session) {
	s.Dir = filepath.Join(shared.dir, strings.ReplaceAll(t.Name(), "/", "-"))
	s.Script = filepath.Join(s.Dir, filepath.Base(file))
	if err := os.Mkdir(s.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := copyFile(file, s.Script, 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := startSession(t, s)
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	} else {
		t.Logf("%s", out)
	}
}

// startSession runs a session to its end.
func startSession(t *testing.T, s *session) ([]byte, error) {
	t.Helper()
	s.Base, s.Homerun, s.Rootfs = shared.dir, shared.homerun, shared.rootfs
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline+10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, shared.self)
	cmd.Env = append(s.environment(), sessionVariable+"="+string(text))
	cmd.Dir = s.Dir
	cmd.WaitDelay = 5 * time.Second
	s.enter(t, cmd)
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		err = errors.Join(err, ctx.Err())
	}
	return out, err
}

// enter sets up a world: who runs the session, and below what.
func (s *session) enter(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	root := os.Getuid() == 0
	switch {
	case s.World == "root" && !root:
		unavailable(t, "needs root")
	case len(s.Mounts) > 0 && !root:
		unavailable(t, "needs root to hide %s", s.Mounts)
	case s.World == "nested":
		wrap(cmd, "/usr/bin/unshare", "-r")
	case s.World == "podman":
		if _, err := exec.LookPath("podman"); err != nil {
			unavailable(t, "needs podman")
		}
		wrap(cmd, "/usr/bin/podman", "unshare")
	}
	if s.World == "root" || !root {
		return
	}
	if err := os.Chown(s.Dir, shared.user.uid, shared.user.gid); err != nil {
		t.Fatal(err)
	}
	credential := &syscall.Credential{Uid: uint32(shared.user.uid), Gid: uint32(shared.user.gid)}
	for _, g := range s.Groups {
		n, err := strconv.Atoi(g)
		if err != nil {
			t.Fatal(err)
		}
		credential.Groups = append(credential.Groups, uint32(n))
	}
	if len(s.Mounts) > 0 {
		wrap(cmd, "/usr/bin/unshare", "-m", "/bin/sh", "-c", s.hide(), "hide", "/usr/bin/setpriv",
			"--reuid="+shared.user.name, "--regid="+strconv.Itoa(shared.user.gid), "--clear-groups")
		return
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
}

// wrap puts a command before another.
func wrap(cmd *exec.Cmd, words ...string) {
	cmd.Path = words[0]
	cmd.Args = append(words, cmd.Args...)
}

// hide is a shell script that puts other files over some of the host's, and
// then runs its arguments.
func (s *session) hide() string {
	script := "set -e\n"
	for i, m := range s.Mounts {
		file, content, _ := strings.Cut(m, "=")
		cover := filepath.Join(s.Dir, "cover"+strconv.Itoa(i))
		mode := "644"
		if strings.HasPrefix(content, "#!") {
			mode = "755"
		}
		script += "printf '%b' '" + content + "' > " + cover + "\nchmod " + mode + " " + cover +
			"\nmount --bind " + cover + " " + file + "\n"
	}
	return script + `exec "$@"`
}

// environment is the session's: nothing of the caller's.
func (s *session) environment() []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "TERM=xterm",
		"GOTRACEBACK=all"}
	if s.World == "root" {
		return append(env, "HOME=/root", "USER=root")
	}
	u := shared.user
	return append(env, "HOME="+u.home, "USER="+u.name, "LOGNAME="+u.name, "XDG_RUNTIME_DIR="+u.runtime)
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}
