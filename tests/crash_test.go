package tests

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/traced"
)

// full is for all that takes too long for every day: a kill before every system
// call and not before a sample, and 200 containers with scopes.
var full = flag.Bool("full", false, "run the lifecycle tests in full length")

// crashVerb is a verb that is killed, and what comes before it.
type crashVerb struct {
	name   string
	before [][]string
	args   []string
}

// TestCrash kills homerun with SIGKILL before its 1st, 2nd, ... system call in
// create, start, exec and delete. Whatever it leaves, `state` must describe and
// `delete --force` must remove: processes, mounts, cgroups, scopes, files. A
// second container, which runs all the time, must not notice.
func TestCrash(t *testing.T) {
	for _, w := range worlds(t) {
		t.Run(w.name, func(t *testing.T) { crashWorld(t, w) })
	}
}

// TestCrashScope is the same where systemd makes the cgroups.
func TestCrashScope(t *testing.T) {
	if !hasScopes() {
		t.Skip("needs cgroup v2 and the caller's systemd")
	}
	w := worlds(t)[0]
	t.Run(w.name, func(t *testing.T) { crashWorld(t, w) })
}

// hasScopes reports whether containers of the caller get scopes.
func hasScopes() bool {
	_, err := os.Stat("/sys/fs/cgroup/cgroup.controllers")
	if err == nil && os.Getuid() != 0 {
		_, err = os.Stat(filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "systemd/private"))
	} else if err == nil {
		_, err = os.Stat("/run/systemd/private")
	}
	return err == nil
}

func crashWorld(t *testing.T, w *world) {
	reapOrphans(t)
	c := &crash{world: w, bundle: w.bundle(t, "crash", "echo ran > /tmp/ran; while :; do sleep 0.01; done")}
	c.mark = "homerun: init crash"
	w.must(t, "create", "-b", w.bundle(t, "bystander", "while :; do sleep 1; done"), "bystander")
	w.must(t, "start", "bystander")
	c.bystander, c.cgroup = w.init(t, "bystander"), w.cgroup(t, "bystander")
	c.before = c.snapshot(t)
	create := []string{"create", "-b", c.bundle, "--pid-file", filepath.Join(w.dir, "bundles", "pid"), "crash"}
	verbs := []crashVerb{
		{name: "create", args: create},
		{name: "start", before: [][]string{create}, args: []string{"start", "crash"}},
		{name: "exec", before: [][]string{create, {"start", "crash"}}, args: []string{"exec", "-d", "crash", "/bin/sleep", "100"}},
		{name: "delete", before: [][]string{create}, args: []string{"delete", "--force", "crash"}},
		{name: "delete running", before: [][]string{create, {"start", "crash"}}, args: []string{"delete", "--force", "crash"}},
	}
	for _, v := range verbs {
		if !t.Run(v.name, func(t *testing.T) { c.verb(t, v) }) {
			break
		}
	}
	w.must(t, "delete", "--force", "bystander")
	w.empty(t, w.dir)
}

type crash struct {
	*world
	bundle    string
	mark      string
	bystander int
	cgroup    string
	before    map[string]bool
}

// verb kills one verb at one step after the other.
func (c *crash) verb(t *testing.T, v crashVerb) {
	start := time.Now()
	total, status := c.step(t, v, 0)
	if status != 0 || total < 10 {
		t.Fatalf("without a kill the status is %d after %d system calls", status, total)
	}
	stride, killed, tries := max(total/c.samples(total), 1), 0, 0
	// The number of calls varies a little; the last ones may never come.
	for at := 1; at <= total+5; at += stride {
		tries++
		if _, status := c.step(t, v, at); status == -1 {
			killed++
		}
	}
	t.Logf("killed %d times in about %d system calls, as %s: %.1f s", killed, total, c.name, time.Since(start).Seconds())
	if killed < tries/4 {
		t.Errorf("killed only %d times of %d", killed, tries)
	}
}

// samples is how many kills a verb gets. With a scope each costs a second.
func (c *crash) samples(total int) int {
	switch {
	case *full:
		return total
	case testing.Short():
		return 4
	case c.cgroup != "":
		return 12
	}
	return 40
}

// step prepares the container, runs the verb and kills it at a call, and wants
// nothing left behind by delete --force.
func (c *crash) step(t *testing.T, v crashVerb, at int) (calls, status int) {
	t.Helper()
	for _, args := range v.before {
		c.must(t, args...)
	}
	s := c.stepper(t, v.args)
	defer os.Remove(s.Out.Name())
	defer s.Out.Close()
	calls, status, err := s.Run(at)
	if err != nil {
		t.Fatalf("call %d: %v", at, err)
	}
	where := fmt.Sprintf("%s killed before its call %d of %d", v.name, at, calls)
	if text, err := c.run(t, "list", "-f", "json"); err != nil || !strings.Contains(text, `"bystander"`) {
		t.Fatalf("%s: list: %v: %s", where, err, text)
	}
	if text, err := c.run(t, "delete", "--force", "crash"); err != nil || text != "" {
		t.Fatalf("%s: delete --force: %v: %s", where, err, text)
	}
	c.clean(t, where)
	return calls, status
}

func (c *crash) stepper(t *testing.T, args []string) *traced.Program {
	t.Helper()
	out, err := os.CreateTemp(c.dir, "out")
	check(t, err)
	s := &traced.Program{Command: append([]string{shared.homerun, "--root", c.state}, args...), Dir: "/", Out: out, Limit: 20 * time.Second}
	s.Env = strings.Fields(strings.TrimPrefix(c.environment(), "env -i "))
	if c.become() != "" {
		s.Credential = &syscall.Credential{Uid: uint32(shared.user.uid), Gid: uint32(shared.user.gid)}
	}
	return s
}

// clean waits a moment until all is as it was before.
func (c *crash) clean(t *testing.T, where string) {
	t.Helper()
	os.Remove(filepath.Join(c.dir, "bundles", "pid"))
	var left []string
	for limit := time.Now().Add(3 * time.Second); time.Now().Before(limit); time.Sleep(2 * time.Millisecond) {
		left = left[:0]
		for line := range c.snapshot(t) {
			if !c.before[line] {
				left = append(left, line)
			}
		}
		if len(left) == 0 {
			break
		}
	}
	if len(left) > 0 {
		t.Fatalf("%s leaves\n%s", where, strings.Join(left, "\n"))
	}
	if !running(c.bystander) {
		t.Fatalf("%s: the other container is gone", where)
	}
}

// snapshot is everything that a container could leave.
func (c *crash) snapshot(t *testing.T) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	for _, line := range lines("/proc/self/mountinfo") {
		all["mount: "+line] = true
	}
	for _, line := range marked(c.mark) {
		all["process: "+line] = true
	}
	for _, line := range marked("/tmp/ran; while") {
		all["process: "+line] = true
	}
	for _, dir := range []string{c.state, filepath.Join(c.dir, "bundles"), c.bundle, filepath.Join(c.dir, "run")} {
		entries, err := os.ReadDir(dir)
		check(t, err)
		for _, e := range entries {
			all["file: "+filepath.Join(dir, e.Name())] = true
		}
	}
	for _, line := range scopes("*crash*") {
		all["unit: "+line] = true
	}
	return all
}

// scopes lists units, loaded or failed, and cgroups, by a pattern of their
// name.
func scopes(pattern string) []string {
	if !hasScopes() {
		return nil
	}
	args := []string{"list-units", "--all", "--plain", "--no-legend", pattern}
	if os.Getuid() != 0 {
		args = append([]string{"--user"}, args...)
	}
	text, err := exec.Command("systemctl", args...).Output()
	if err != nil {
		return []string{err.Error()}
	}
	list := strings.FieldsFunc(string(text), func(r rune) bool { return r == '\n' })
	for _, depth := range []string{"*/", "*/*/*/", "*/*/*/*/"} {
		cgroups, _ := filepath.Glob("/sys/fs/cgroup/" + depth + pattern)
		list = append(list, cgroups...)
	}
	return list
}
