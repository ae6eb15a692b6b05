package security

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// plantedState is a container that somebody put into a state root, for the owner
// of a file and of a bundle to come upon.
type plantedState struct {
	root   string
	victim string // the victim's directory: file, which the state names, and what the hook makes
}

// plant writes a state whose undo removes the victim's file, and a config whose
// hook writes where only the victim can.
func (p *plantedState) plant(t *testing.T, dir string) {
	t.Helper()
	state := map[string]any{"version": 1, "id": "web", "ociVersion": "1.3.0", "bundle": "/", "rootfs": "/", "created": time.Now(), "uid": 1,
		"pid": 1 << 22, "startTime": 1, "namespaces": syscall.CLONE_NEWPID,
		"undo": []any{map[string]any{"kind": "file", "name": filepath.Join(p.victim, "file")}}}
	config := specs.Spec{Version: "1.3.0", Linux: &specs.Linux{}, Hooks: &specs.Hooks{
		Poststop: []specs.Hook{{Path: "/bin/touch", Args: []string{"touch", filepath.Join(p.victim, "hook")}}}}}
	must(t, os.MkdirAll(dir, 0o755))
	for name, v := range map[string]any{"state.json": state, "config.json": config} {
		text, err := json.Marshal(v)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), text, 0o644))
	}
}

// unharmed fails when what was planted took effect.
func (p *plantedState) unharmed(t *testing.T, where string) {
	t.Helper()
	if _, err := os.Lstat(filepath.Join(p.victim, "file")); err != nil {
		t.Errorf("%s: the file of the victim's: %v", where, err)
		must(t, os.WriteFile(filepath.Join(p.victim, "file"), nil, 0o644))
	}
	if err := os.Remove(filepath.Join(p.victim, "hook")); err == nil {
		t.Errorf("%s: the hook of somebody else ran as the victim", where)
	}
}

// freeUser is a user id that has neither a runtime directory nor a state root,
// so that its state root is below /tmp.
func freeUser(t *testing.T, from int) int {
	t.Helper()
	for id := from; id < from+1000; id++ {
		_, run := os.Lstat("/run/user/" + strconv.Itoa(id))
		_, tmp := os.Lstat(defaultRoot(id))
		if errors.Is(run, os.ErrNotExist) && errors.Is(tmp, os.ErrNotExist) {
			return id
		}
	}
	t.Fatal("no user id is free")
	return 0
}

func defaultRoot(uid int) string { return "/tmp/homerun-" + strconv.Itoa(uid) }

// as runs homerun as a user without a runtime directory.
func as(t *testing.T, uid int, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.homerun, append([]string{"--cgroup-manager", "disabled"}, args...)...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, "/", time.Second/2
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// verbsOf are all verbs that read a state root, each with what makes it go
// furthest.
func verbsOf(bundle string) [][]string {
	return [][]string{{"list"}, {"list", "-q"}, {"list", "-f", "json"}, {"state", "web"}, {"ps", "web"}, {"kill", "web", "KILL"},
		{"kill", "--all", "web", "KILL"}, {"start", "web"}, {"exec", "web", "true"}, {"pause", "web"}, {"resume", "web"}, {"wait", "web"},
		{"update", "--pids-limit", "5", "web"}, {"events", "--stats", "web"}, {"port", "web"}, {"create", "-b", bundle, "other"},
		{"run", "-b", bundle, "other"}, {"run", "--net", "none", "--rootfs", "/", "--", "true"}, {"delete", "web"}, {"delete", "--force", "web"},
		{"delete", "--force", "none"}}
}

// TestForeignStateRoot: what somebody else may have put into a state root is
// never believed, whatever the verb. Who sees /tmp/homerun-UID missing can make
// it first; and a root that was made by its user with a loose umask, or was
// opened to a group, takes directories of others.
func TestForeignStateRoot(t *testing.T) {
	need(t)
	victim := freeUser(t, 61000)
	other := freeUser(t, victim+1)
	b := newBundle(t, caller{name: "user", namespace: true, user: true}, "ok")
	b.save()
	const says = "belongs to user|can be written by everybody|can be written by group|is a symbolic link"
	for _, test := range []struct {
		name           string
		owner          int // of the root
		mode           os.FileMode
		container      int // the owner of the container's directory
		containerMode  os.FileMode
		link, onlyThis bool // the root is a link; only the container is refused, not the root
	}{
		{name: "another's, open to all", owner: other, mode: 0o777, container: other, containerMode: 0o777},
		{name: "another's, closed", owner: other, mode: 0o755, container: other, containerMode: 0o755},
		{name: "another's, the container the victim's", owner: other, mode: 0o755, container: victim, containerMode: 0o700},
		{name: "the victim's, open to all", owner: victim, mode: 0o777, container: other, containerMode: 0o755},
		{name: "the victim's, sticky", owner: victim, mode: 0o703 | os.ModeSticky, container: victim, containerMode: 0o700},
		{name: "the victim's, open to a group", owner: victim, mode: 0o770, container: victim, containerMode: 0o700},
		{name: "a link of another's", owner: other, mode: 0o755, container: victim, containerMode: 0o700, link: true},
		{name: "the victim's, the container another's", owner: victim, mode: 0o700, container: other, containerMode: 0o755, onlyThis: true},
		{name: "the victim's, the container open", owner: victim, mode: 0o700, container: victim, containerMode: 0o702, onlyThis: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := &plantedState{root: defaultRoot(victim), victim: w.path(fmt.Sprintf("victim%d", w.ids.Add(1)))}
			must(t, os.Mkdir(p.victim, 0o700))
			must(t, os.WriteFile(filepath.Join(p.victim, "file"), nil, 0o644))
			must(t, os.Chown(p.victim, victim, victim))
			t.Cleanup(func() { os.RemoveAll(p.root); os.RemoveAll(p.victim) })
			at := p.root
			if test.link {
				at = filepath.Join(p.victim, "root")
				must(t, os.Symlink(at, p.root))
				must(t, os.Lchown(p.root, other, other))
			}
			dir := filepath.Join(at, "web")
			for _, verb := range verbsOf(b.dir) {
				p.plant(t, dir)
				for _, d := range []string{dir, dir + "/state.json", dir + "/config.json"} {
					must(t, os.Chown(d, test.container, test.container))
				}
				// All that marks a container is in others' hands as well.
				must(t, os.Chmod(dir, test.containerMode|os.ModeSticky))
				owner := test.owner
				if test.link {
					owner = victim
				}
				must(t, os.Chown(at, owner, owner))
				must(t, os.Chmod(at, test.mode))
				r := as(t, victim, verb...)
				where := strings.Join(verb, " ")
				p.unharmed(t, where)
				_, err := os.Stat(dir + "/state.json")
				if err != nil {
					t.Errorf("%s: what was planted is gone: %v", where, err)
				}
				if test.onlyThis && verb[len(verb)-1] != "web" {
					if strings.Contains(r.stdout, "web") {
						t.Errorf("%s speaks of what is not the victim's: %s", where, r.stdout)
					}
					continue
				}
				if r.status == 0 || !matches(says, r.stderr) {
					t.Errorf("%s: status %d, stdout %s, stderr %s", where, r.status, r.stdout, r.stderr)
				}
			}
		})
	}
}

// TestNoContainer: a directory that no homerun made is no container, even in a
// root that is the caller's own: neither in /etc, nor an empty one, nor another
// runtime's. It is not listed, and delete --force leaves it as it is.
func TestNoContainer(t *testing.T) {
	need(t)
	root := caller{name: "root"}
	dir := w.path(fmt.Sprintf("other%d", w.ids.Add(1)))
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &plantedState{root: dir, victim: w.path(fmt.Sprintf("victim%d", w.ids.Add(1)))}
	t.Cleanup(func() { os.RemoveAll(p.victim) })
	must(t, os.Mkdir(p.victim, 0o700))
	must(t, os.WriteFile(filepath.Join(p.victim, "file"), nil, 0o644))
	p.plant(t, filepath.Join(dir, "web"))
	for _, d := range []string{"empty", ".cache", "full/of/things"} {
		must(t, os.MkdirAll(filepath.Join(dir, d), 0o700))
	}
	must(t, os.Symlink("web", filepath.Join(dir, "link")))
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	before := describe(t, dir, true)
	for _, at := range []string{dir, "/etc", "/usr"} {
		if r := root.homerun(t, "--root", at, "list", "-q"); r.status != 0 || r.stdout+r.stderr != "" {
			t.Errorf("list of %s: status %d, %s%s", at, r.status, r.stdout, r.stderr)
		}
	}
	for _, id := range []string{"web", "empty", ".cache", "full", "link", "file"} {
		if r := root.homerun(t, "--root", dir, "state", id); r.status != 1 || !strings.Contains(r.stderr, "does not exist") {
			t.Errorf("state %s: status %d, %s%s", id, r.status, r.stdout, r.stderr)
		}
		root.homerun(t, "--root", dir, "delete", id)
		root.homerun(t, "--root", dir, "delete", "--force", id)
		p.unharmed(t, "delete "+id)
	}
	if after := describe(t, dir, true); after != before {
		t.Errorf("delete changed what is no container:\n%s", difference(before, after))
	}
}

func matches(expression, text string) bool { return regexp.MustCompile(expression).MatchString(text) }
