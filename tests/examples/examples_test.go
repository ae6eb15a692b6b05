// Package examples builds and runs what is in examples/, as those who copy it would, and
// what go install makes of a release.
package examples

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/again"
)

func TestMain(m *testing.M) { os.Exit(again.Alone(m.Run)) }

// limit is for one command: a Go build on a busy machine is the longest.
const limit = 4 * time.Minute

// tool finds a program. Where it is missing, the test is for another machine.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil || testing.Short() {
		t.Skip("needs " + name + ", and time")
	}
	return path
}

// output runs a command and gives all that it prints.
func output(t *testing.T, env []string, args ...string) (text string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env, cmd.WaitDelay = append(os.Environ(), env...), 10*time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// root makes a root directory of busybox.
func root(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile(tool(t, "busybox"))
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "bin"), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "bin/busybox"), text, 0o755)
	}
	for _, name := range []string{"sh", "sleep", "cat"} {
		if err == nil {
			err = os.Symlink("busybox", filepath.Join(dir, "bin", name))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// build builds a program of a module.
func build(t *testing.T, module, what string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	out, err := output(t, []string{"CGO_ENABLED=0"}, tool(t, "go"), "build", "-C", module, "-o", program, what)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// TestEngine: the small engine is a module of its own, builds as one, and keeps
// containers. It has 150 lines at most.
func TestEngine(t *testing.T) {
	program, dir := build(t, "../../examples/engine", "."), root(t)
	text, err := os.ReadFile("../../examples/engine/main.go")
	if n := strings.Count(string(text), "\n"); err != nil || n > 150 {
		t.Errorf("%d lines, %v", n, err)
	}
	helper, err := os.ReadFile("../../bin/homerun-seccomp")
	if err == nil {
		err = os.WriteFile(filepath.Join(filepath.Dir(program), "homerun-seccomp"), helper, 0o755)
	}
	own := t.TempDir()
	if err := errors.Join(err, os.Chmod(own, 0o700)); err != nil {
		t.Fatal(err)
	}
	env := []string{"XDG_RUNTIME_DIR=" + own}
	if os.Getuid() == 0 {
		t.Cleanup(func() { // whose state root is the machine's
			_ = os.Remove("/run/engine")
			_ = os.Remove("/run/engine-logs")
		})
	}
	name := "test-" + strconv.Itoa(os.Getpid())
	t.Cleanup(func() { _, _ = output(t, env, program, "stop", name) })
	for _, step := range []struct{ args, want string }{
		{"run NAME ROOT sh -c", ""},
		{"ps", "NAME running ["},
		{"exec NAME sh -c", "status 7"},
		{"run NAME ROOT sh", `engine: container "NAME" already exists`},
		{"run x/NAME ROOT sh", "engine: run: want "},
		{"logs NAME", "hello\n"},
		{"logs NAME", "Seccomp:\t2\n"},
		{"stop NAME", ""},
		{"stop NAME", `engine: container "NAME" does not exist`},
		{"logs NAME", "no such file or directory"},
		{"run NAME ROOT no-such-program", "executable file \"no-such-program\" not found"},
		{"logs NAME", "no such file or directory"},
		{"", "engine: usage: engine run"},
	} {
		names := strings.NewReplacer("NAME", name, "ROOT", dir)
		args := append([]string{program}, strings.Fields(names.Replace(step.args))...)
		switch step.args {
		case "run NAME ROOT sh -c":
			args = append(args, "echo hello; cat /proc/self/status; exec sleep 1000")
		case "exec NAME sh -c":
			args = append(args, "cat /proc/1/comm >/dev/null && exit 7")
		}
		got, err := output(t, env, args...)
		for end := time.Now().Add(20 * time.Second); err == nil && got == "" && step.want != "" && time.Now().Before(end); { // the program has yet to write
			time.Sleep(10 * time.Millisecond)
			got, err = output(t, env, args...)
		}
		if exit, ok := err.(*exec.ExitError); ok && exit.ExitCode() == 7 {
			got += "status 7"
		}
		if want := names.Replace(step.want); want == "" && (got != "" || err != nil) || !strings.Contains(got, want) {
			t.Errorf("engine %s: %v, %q, want %q", step.args, err, got, want)
		}
	}
}

// session is what a program in Python does with the module: each line that fails ends
// it with its own text.
const session = `
import json, os, sys, homerun
program, root, bundle, rootfs = sys.argv[1:]
r = homerun.Runtime(program, root)
assert r.json("features")["ociVersionMax"] >= "1.3"
r.call("spec", "--rootless", "-b", bundle)
name = bundle + "/config.json"
config = json.load(open(name))
config["root"]["path"], config["process"]["args"], config["process"]["terminal"] = rootfs, ["sleep", "1000"], False
json.dump(config, open(name, "w"))
r.call("create", "-b", bundle, "web")
assert r.json("state", "web")["status"] == "created"
r.call("start", "web")
assert [c["status"] for c in r.json("list", "-f", "json")] == ["running"]
assert r.popen("exec", "web", "sh", "-c", "exit 7").wait() == 7
try:
    r.call("delete", "web")
    sys.exit("a container that runs was deleted")
except homerun.Error as e:
    assert "not stopped" in str(e) and e.status == 1, e
r.call("kill", "web", "KILL")
assert r.popen("wait", "web", stderr=-3).wait() is not None
r.call("delete", "web")
try:
    list(r.events("web"))
    sys.exit("events of no container")
except homerun.Error as e:
    assert str(e) == 'events web: container "web" does not exist' and e.status == 1, e
assert r.call("run", "--security-opt", "seccomp=unconfined", "--rootfs", rootfs, "--", "sh", "-c", r"printf '\377\r\n'") == "\udcff\r\n"
try:
    r.json("state", "web")
    sys.exit("it is there still")
except homerun.Error as e:
    assert str(e) == 'state web: container "web" does not exist', e
print("good")
`

// TestPython: the module for Python does what its words say.
func TestPython(t *testing.T) {
	python, program := tool(t, "python3"), build(t, "../..", "./cmd/homerun")
	module, err := filepath.Abs("../../examples/python")
	if err != nil {
		t.Fatal(err)
	}
	out, err := output(t, []string{"PYTHONPATH=" + module, "PYTHONDONTWRITEBYTECODE=1"}, python, "-c", session, program, filepath.Join(t.TempDir(), "state"), t.TempDir(), root(t))
	if err != nil || out != "good\n" {
		t.Errorf("%v\n%s", err, out)
	}
}
