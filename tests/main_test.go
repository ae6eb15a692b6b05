// Package tests runs homerun as people do: by command scripts, in the places
// where it has to work.
//
// # Theory of operation
//
// A script (script/NAME.txtar, in the language of testscript) says in comments before its
// first command where it runs:
//
//	# worlds: root user nested podman     default: root user nested
//	# runtimes: homerun crun runc         default: homerun
//	# mount: FILE[=CONTENT]               what hides a file of the host
//	# groups: 4 24                        supplementary groups of the user
//
// root is the initial user namespace as root, user an ordinary user with
// subordinate ids, nested the same user below `unshare -r`, podman below
// `podman unshare`. Each script runs in each world in a process of its own, the
// session: this very binary, executed again with the world's credentials. The
// session is a subreaper, so whatever a script leaves running comes to it and is
// found; it also compares mounts and state directories. Sessions run in
// parallel and each has a deadline.
//
// RUNTIME=crun (or runc) runs the scripts that name it against that runtime,
// which reports whether a failing script is about homerun or about the script.
// HOMERUN names a binary to test in place of one that is built here.
//
// Where a world cannot be had, its tests fail, or with HOMERUN_TEST_MAY_SKIP=1
// are skipped.
package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/homerun-oci/homerun/tests/again"
	"github.com/homerun-oci/homerun/tests/beside"
	"golang.org/x/sys/unix"
)

// sessionVariable holds a session as JSON for the process that runs it.
const sessionVariable = "HOMERUN_TEST_SESSION"

// base is what all tests of one run share, in a directory that the
// unprivileged user can read.
type base struct {
	dir     string // of everything below
	self    string // this binary, copied to where the user can execute it
	homerun string
	rootfs  string
	user    *user
}

// shared is set by TestMain.
var shared base

func TestMain(m *testing.M) {
	if text := os.Getenv(sessionVariable); text != "" {
		os.Exit(runSession(text))
	}
	os.Exit(again.Alone(func() int { return testAll(m) }))
}

// testAll makes what tests share, and removes it.
func testAll(m *testing.M) int {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintln(os.Stderr, "become a subreaper:", err)
		return 1
	}
	dir, err := os.MkdirTemp("", "homerun-tests-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	shared.dir = dir
	if err := shared.prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "prepare the tests:", err)
		return 1
	}
	defer shared.user.remove()
	status := m.Run()
	endChildren(0) // podman leaves one to hold its namespaces
	return status
}

func (b *base) prepare() error {
	if err := os.Chmod(b.dir, 0o755); err != nil {
		return err
	}
	b.self = filepath.Join(b.dir, "session")
	self, err := os.Executable()
	if err == nil {
		err = copyFile(self, b.self, 0o755)
	}
	if err != nil {
		return err
	}
	if b.homerun, err = buildHomerun(filepath.Join(b.dir, "bin")); err != nil {
		return err
	}
	if err := beside.Seccomp(filepath.Dir(b.homerun), ".."); err != nil {
		return err
	}
	b.rootfs = filepath.Join(b.dir, "rootfs")
	if err := makeRootfs(b.rootfs); err != nil {
		return err
	}
	if err := copyFile("../bundle/testdata/podman.json", filepath.Join(b.dir, "podman.json"), 0o644); err != nil {
		return err
	}
	b.user, err = findUser(b.dir)
	return err
}

// buildHomerun builds the binary under test once, and beside it the helper that needs nothing
// of the host. Where there is no go, as in the test machine, those in bin/ serve.
func buildHomerun(dir string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if _, err := buildProgram(dir, "homerun-log"); err != nil {
		return "", err
	}
	if given := os.Getenv("HOMERUN"); given != "" {
		out := filepath.Join(dir, "homerun")
		return out, copyFile(given, out, 0o755)
	}
	return buildProgram(dir, "homerun", "-ldflags=-E main.entry")
}

func buildProgram(dir, name string, flags ...string) (string, error) {
	out := filepath.Join(dir, name)
	if _, err := exec.LookPath("go"); err != nil {
		return out, copyFile("../bin/"+name, out, 0o755)
	}
	cmd := exec.Command("go", append(append([]string{"build"}, flags...), "-o", out, "../cmd/"+name)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build ./cmd/%s: %w\n%s", name, err, text)
	}
	return out, nil
}

func copyFile(from, to string, mode os.FileMode) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, text, mode); err != nil {
		return err
	}
	return os.Chmod(to, mode)
}

// unavailable ends a test whose world cannot be had.
func unavailable(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("HOMERUN_TEST_MAY_SKIP") == "1" {
		t.Skipf(format, args...)
	}
	t.Fatalf(format+" (HOMERUN_TEST_MAY_SKIP=1 skips this)", args...)
}
