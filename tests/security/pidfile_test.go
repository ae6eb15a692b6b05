package security

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestPidFileLinks: a pid file is asked for in a directory of somebody else's,
// who has links in place under the name of the pid file, and under each name
// beside it that a process id makes. What they lead to stays as it is, and the
// pid file is written all the same. So for create, run and exec.
func TestPidFileLinks(t *testing.T) {
	need(t)
	root := caller{name: "root"}
	b := newBundle(t, root, "sleep")
	b.save()
	short := newBundle(t, root, "ok")
	short.save()
	other := freeUser(t, 62000)
	dir := w.path(fmt.Sprintf("pids%d", w.ids.Add(1)))
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.Chmod(dir, 0o777), os.Chown(dir, other, other))
	target := w.path(fmt.Sprintf("target%d", w.ids.Add(1)))
	must(t, os.WriteFile(target, []byte("precious"), 0o600))
	t.Cleanup(func() { os.RemoveAll(dir); os.Remove(target) })
	defer root.homerun(t, "delete", "--force", b.id())
	link := func(name string) {
		must(t, os.Symlink(target, filepath.Join(dir, name)), os.Lchown(filepath.Join(dir, name), other, other))
	}
	for _, verb := range [][]string{{"create", "-b", b.dir, "--pid-file", "FILE", b.id()}, {"start", b.id()},
		{"exec", "--pid-file", "FILE", b.id(), "/inside"}, {"run", "-b", short.dir, "--pid-file", "FILE", short.id()}} {
		// Process ids come one after the other, so the next ones are known.
		text, err := os.ReadFile("/proc/sys/kernel/ns_last_pid")
		must(t, err)
		last, err := strconv.Atoi(strings.TrimSpace(string(text)))
		must(t, err)
		name := verb[0] + ".pid"
		link(name)
		for pid := last; pid < last+3000; pid++ {
			link("." + name + "." + strconv.Itoa(pid))
		}
		for i := range verb {
			verb[i] = strings.ReplaceAll(verb[i], "FILE", filepath.Join(dir, name))
		}
		r := root.homerun(t, verb...)
		if text, err := os.ReadFile(target); err != nil || string(text) != "precious" {
			t.Fatalf("%s: what the links lead to is %q, %v", verb[0], text, err)
		}
		if r.status != 0 {
			t.Errorf("%s: status %d: %s", verb[0], r.status, r.stderr)
		}
		if verb[0] == "start" {
			continue
		}
		st, err := os.Lstat(filepath.Join(dir, name))
		must(t, err)
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !st.Mode().IsRegular() || !matches(`^\d+$`, string(text)) {
			t.Errorf("%s: the pid file is %s %q, %v", verb[0], st.Mode(), text, err)
		}
	}
}

// TestPidFileTaken: in a sticky directory somebody else has the pid file's name
// already, so it cannot be had, and the program does not run.
func TestPidFileTaken(t *testing.T) {
	need(t)
	c := caller{name: "user", namespace: true, user: true}
	dir := w.path(fmt.Sprintf("sticky%d", w.ids.Add(1)))
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.Chmod(dir, 0o777|os.ModeSticky))
	file := filepath.Join(dir, "web.pid")
	must(t, os.WriteFile(file, []byte("1"), 0o666))
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := newBundle(t, c, "report")
	if r := b.run("--pid-file", file); r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, "write the pid file "+file+": operation not permitted") {
		t.Errorf("status %d, stdout %s, stderr %s", r.status, r.stdout, r.stderr)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if r := b.run("--pid-file", filepath.Join(dir, "own.pid")); r.status != 0 {
		t.Errorf("status %d, stderr %s", r.status, r.stderr)
	}
}
