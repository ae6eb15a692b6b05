// Package security holds homerun against the attacks that other runtimes fell
// to. README.md says which test answers which advisory.
//
// The tests run as root and act as three callers: root, root with a user
// namespace for the container, and a user without privileges.
package security

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/tests/again"
	"github.com/homerun-oci/homerun/tests/beside"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// world is what all tests share.
type world struct {
	dir, homerun, inside string
	user                 *user.User
	skip                 string
	ids                  atomic.Int64
}

var w = &world{}

func TestMain(m *testing.M) {
	os.Exit(again.Alone(func() int {
		defer func() { os.RemoveAll(w.dir) }()
		if err := w.setUp(); err != nil {
			fmt.Fprintln(os.Stderr, "security tests:", err)
			return 1
		}
		return m.Run()
	}))
}

func (w *world) setUp() (err error) {
	if os.Getuid() != 0 {
		w.skip = "the security tests run as root, and as an unprivileged user from there"
		return nil
	}
	if w.dir, err = os.MkdirTemp("", "homerun-security-"); err != nil {
		return err
	}
	if err = os.Chmod(w.dir, 0o755); err != nil {
		return err
	}
	w.homerun, w.inside = filepath.Join(w.dir, "homerun"), filepath.Join(w.dir, "inside")
	if err = w.build(); err != nil {
		return err
	}
	if w.user, err = testUser(); err != nil {
		return err
	}
	uid, gid := w.user.Uid, w.user.Gid
	return firstError(os.Mkdir(w.path("root"), 0o700), os.Mkdir(w.path("user"), 0o700), chown(w.path("user"), uid, gid))
}

// build makes the two programs. HOMERUN names another homerun to test; where
// there is no go, as in the test machine, the programs in bin/ serve. Helpers
// are looked for next to the main binary; there is that for seccomp profiles.
func (w *world) build() error {
	homerun, inside := os.Getenv("HOMERUN"), "../../bin/test/security-inside"
	if _, err := exec.LookPath("go"); err == nil {
		if homerun == "" {
			homerun = w.homerun
			if err := goBuild(homerun, "../../cmd/homerun"); err != nil {
				return err
			}
		}
		if err := goBuild(inside, "./inside"); err != nil {
			return err
		}
	} else if homerun == "" {
		homerun = "../../bin/homerun"
	}
	for to, from := range map[string]string{w.homerun: homerun, w.inside: inside} {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, text, 0o755)
		}
		if err != nil {
			return err
		}
	}
	return beside.Seccomp(w.dir, "../..")
}

func goBuild(out, pkg string) error {
	args := []string{"build", "-o", out, pkg}
	if pkg == "../../cmd/homerun" {
		args = []string{"build", "-ldflags=-E main.entry", "-o", out, pkg} // as the Makefile has it
	}
	c := exec.Command("go", args...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, text)
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func chown(path, uid, gid string) error {
	u, _ := strconv.Atoi(uid)
	g, _ := strconv.Atoi(gid)
	return os.Lchown(path, u, g)
}

// testUser finds somebody who has subordinate ids, or makes him.
func testUser() (*user.User, error) {
	text, _ := os.ReadFile("/etc/subuid")
	for _, line := range strings.Split(string(text), "\n") {
		name, _, _ := strings.Cut(line, ":")
		if u, err := user.Lookup(name); err == nil && u.Uid != "0" {
			return u, nil
		}
	}
	if text, err := exec.Command("useradd", "-m", "homerun-test").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make a user with subordinate ids: %w: %s", err, text)
	}
	return user.Lookup("homerun-test")
}

func (w *world) path(elements ...string) string {
	return filepath.Join(append([]string{w.dir}, elements...)...)
}

// need ends a test that cannot run here. Without HOMERUN_TEST_MAY_SKIP that is
// a failure: a skipped security test proves nothing.
func need(t testing.TB) {
	t.Helper()
	if w.skip == "" {
		return
	}
	if os.Getenv("HOMERUN_TEST_MAY_SKIP") == "1" {
		t.Skip(w.skip)
	}
	t.Fatal(w.skip)
}

// caller is who runs homerun, and as whom the container's root runs.
type caller struct {
	name string
	// namespace gives the container a user namespace; user is an unprivileged
	// caller.
	namespace, user bool
	// manager is whom it asks for cgroups; nobody, if empty.
	manager string
}

func callers() []caller {
	return []caller{{name: "root"}, {name: "mapped", namespace: true}, {name: "user", namespace: true, user: true}}
}

// forAll runs a test as each caller.
func forAll(t *testing.T, test func(t *testing.T, c caller)) {
	need(t)
	for _, c := range callers() {
		t.Run(c.name, func(t *testing.T) { test(t, c) })
	}
}

// Host ids of a mapped container's root.
const mappedID, mappedSize = 300000, 65536

// owner is the host id of the container's root.
func (c caller) owner() (uid, gid int) {
	switch {
	case c.user:
		uid, _ = strconv.Atoi(w.user.Uid)
		gid, _ = strconv.Atoi(w.user.Gid)
	case c.namespace:
		return mappedID, mappedID
	}
	return uid, gid
}

// bundle is a container to be: its config and its root directory.
type bundle struct {
	t    testing.TB
	c    caller
	dir  string
	spec *specs.Spec
}

// newBundle makes a bundle whose program is inside, with arguments.
func newBundle(t testing.TB, c caller, args ...string) *bundle {
	t.Helper()
	dir := w.path("b" + strconv.FormatInt(w.ids.Add(1), 10))
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &bundle{t: t, c: c, dir: dir, spec: newSpec(c, args)}
	b.mkdir("")
	if err := os.Chown(dir, 0, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(w.inside, b.root("inside")); err != nil {
		t.Fatal(err)
	}
	return b
}

// root is a path in the rootfs, on the host.
func (b *bundle) root(p string) string { return filepath.Join(b.dir, "rootfs", p) }

// mkdir makes a directory in the rootfs, owned by the container's root.
func (b *bundle) mkdir(p string) {
	b.t.Helper()
	uid, gid := b.c.owner()
	for at := filepath.Join("rootfs", p); ; at = filepath.Dir(at) {
		if err := os.MkdirAll(filepath.Join(b.dir, at), 0o755); err != nil {
			b.t.Fatal(err)
		}
		if err := os.Lchown(filepath.Join(b.dir, at), uid, gid); err != nil {
			b.t.Fatal(err)
		}
		if at == "rootfs" {
			return
		}
	}
}

// write makes a file in the rootfs.
func (b *bundle) write(p, text string) {
	b.t.Helper()
	b.mkdir(filepath.Dir(p))
	uid, gid := b.c.owner()
	if err := firstError(os.WriteFile(b.root(p), []byte(text), 0o644), os.Lchown(b.root(p), uid, gid)); err != nil {
		b.t.Fatal(err)
	}
}

// symlink makes a symbolic link in the rootfs.
func (b *bundle) symlink(text, p string) {
	b.t.Helper()
	b.mkdir(filepath.Dir(p))
	uid, gid := b.c.owner()
	if err := firstError(os.Symlink(text, b.root(p)), os.Lchown(b.root(p), uid, gid)); err != nil {
		b.t.Fatal(err)
	}
}

// result is how a command ended.
type result struct {
	status         int
	stdout, stderr string
}

// report decodes what inside told.
func (r result) report(t testing.TB) report {
	t.Helper()
	var rep report
	if err := json.Unmarshal([]byte(r.stdout), &rep); err != nil {
		t.Fatalf("no report (status %d): %v\nstdout: %s\nstderr: %s", r.status, err, r.stdout, r.stderr)
	}
	return rep
}

// report mirrors that of the program inside.
type report struct {
	FDs, Status, Tries map[string]string
	Mounts, Env        []string
	Proc, Null         bool
	Cwd                string
}

// save writes config.json.
func (b *bundle) save() {
	b.t.Helper()
	text, err := json.Marshal(b.spec)
	if err == nil {
		err = os.WriteFile(filepath.Join(b.dir, "config.json"), text, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// run runs the container to its end.
func (b *bundle) run(flags ...string) result {
	b.t.Helper()
	b.save()
	args := append([]string{"run", "-b", b.dir}, flags...)
	return b.c.homerun(b.t, append(args, b.id())...)
}

func (b *bundle) id() string { return filepath.Base(b.dir) }

// homerun runs a verb and waits for it.
func (c caller) homerun(t testing.TB, args ...string) result {
	t.Helper()
	return c.within(t, 20*time.Second, args...)
}

// within is homerun, which may take so long.
func (c caller) within(t testing.TB, limit time.Duration, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := c.command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Errorf("homerun %s: hangs for %v\nstderr: %s", strings.Join(args, " "), limit, stderr.String())
	}
	if _, exited := err.(*exec.ExitError); err != nil && !exited && !errors.Is(err, exec.ErrWaitDelay) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// command is a homerun that is not started yet.
func (c caller) command(ctx context.Context, args ...string) *exec.Cmd {
	state := "root"
	if c.user {
		state = "user"
	}
	cmd := exec.CommandContext(ctx, w.homerun, append([]string{"--root", w.path(state), "--cgroup-manager", cmp.Or(c.manager, "disabled")}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "XDG_RUNTIME_DIR=" + w.path(state)}
	cmd.Dir = w.dir
	cmd.WaitDelay = time.Second / 2 // the init that create leaves has our pipes
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if c.user {
		uid, gid := c.owner()
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return cmd
}
