package strace

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/spec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// box is a container to be, and who makes it.
type box struct {
	t             *testing.T
	dir, root, id string
	homerun       string
	user          *user.User // nil for root
	config        *specs.Spec
	global        []string // flags before the verb
	flags         []string // flags of run, create or exec, which plan has too
	cgroup        int      // a descriptor of where all is started, or -1
	runtimeDir    string   // XDG_RUNTIME_DIR
	variables     []string // of the environment, beside a login's
	around        []string // the command that starts all others
	has           string   // what a line of the runtime column must have
}

// newBox makes a bundle with one static program, for root or an ordinary user.
func newBox(t *testing.T, rootless bool) *box {
	t.Helper()
	if testing.Short() {
		t.Skip("needs strace and namespaces")
	}
	if os.Getuid() != 0 {
		t.Skip("only root's strace reads the memory of a process that is not dumpable, and leaves newuidmap its privileges")
	}
	b := &box{t: t, dir: place(t), cgroup: -1}
	b.id = "strace-" + filepath.Base(b.dir)[len("homerun-strace-"):]
	b.root = filepath.Join(b.dir, "state")
	b.copyPrograms()
	for _, dir := range []string{"state", "run", "rootfs/bin"} {
		if err := os.MkdirAll(filepath.Join(b.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"true", "sleep"} {
		b.copyFile("/bin/busybox", "rootfs/bin/"+name, "busybox-static")
	}
	b.config = spec.Template(rootless)
	b.config.Process.Args, b.config.Process.Terminal = []string{"true"}, false
	if rootless {
		name := handOver(t, b.dir)
		var err error
		if b.user, err = user.Lookup(name); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// copyPrograms copies homerun and its helpers to where an ordinary user may read.
func (b *box) copyPrograms() {
	b.t.Helper()
	name := os.Getenv("HOMERUN")
	if name == "" {
		name = "../../bin/homerun"
	}
	if err := os.Mkdir(filepath.Join(b.dir, "bin"), 0o755); err != nil {
		b.t.Fatal(err)
	}
	for _, program := range []string{"homerun", "homerun-net", "homerun-seccomp"} {
		b.copyFile(filepath.Join(filepath.Dir(name), program), "bin/"+program, "make build")
	}
	b.homerun = filepath.Join(b.dir, "bin/homerun")
}

func (b *box) copyFile(from, to, hint string) {
	b.t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		unavailable(b.t, "%v (%s)", err, hint)
	}
	if err := os.WriteFile(filepath.Join(b.dir, to), text, 0o755); err != nil {
		b.t.Fatal(err)
	}
}

// save writes config.json, and gives all to the user.
func (b *box) save() {
	b.t.Helper()
	write(b.t, filepath.Join(b.dir, "config.json"), b.config)
	if b.user == nil {
		return
	}
	uid, gid := b.ids()
	for _, name := range []string{"", "state", "run", "rootfs", "rootfs/bin", "config.json"} {
		if err := os.Chown(filepath.Join(b.dir, name), uid, gid); err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *box) ids() (uid, gid int) {
	uid, _ = strconv.Atoi(b.user.Uid)
	gid, _ = strconv.Atoi(b.user.Gid)
	return uid, gid
}

// environment is a login's.
func (b *box) environment() []string {
	env := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + b.dir}
	if b.runtimeDir != "" {
		env = append(env, "XDG_RUNTIME_DIR="+b.runtimeDir, "DBUS_SESSION_BUS_ADDRESS=unix:path="+b.runtimeDir+"/bus")
	}
	return append(env, b.variables...)
}

// verb is a command line of homerun.
func (b *box) verb(words ...string) []string {
	return slices.Concat([]string{b.homerun, "--root", b.root}, b.global, words)
}

// start starts a command where and as the box has it. The streams are those of the
// run, so that plan finds the same.
func (b *box) start(ctx context.Context, stdout, stderr *bytes.Buffer, args ...string) *exec.Cmd {
	b.t.Helper()
	all := slices.Concat(b.around, args)
	cmd := exec.CommandContext(ctx, all[0], all[1:]...)
	cmd.Dir, cmd.Env = b.dir, b.environment()
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, UseCgroupFD: b.cgroup >= 0, CgroupFD: b.cgroup}
	if b.user != nil && args[0] == b.homerun { // strace changes to the user itself
		uid, gid := b.ids()
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid), Groups: groups(b.t, b.user)}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		b.t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return cmd
}

func groups(t *testing.T, u *user.User) []uint32 {
	t.Helper()
	names, err := u.GroupIds()
	if err != nil {
		t.Fatal(err)
	}
	var list []uint32
	for _, name := range names {
		n, err := strconv.ParseUint(name, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, uint32(n))
	}
	return list
}

// document is what `plan --json` prints.
type document struct {
	printed
	Runtime []line
}

// plan has homerun print the plan.
func (b *box) plan(words ...string) document {
	b.t.Helper()
	var d document
	out := b.run(b.verb(slices.Concat([]string{"plan", "--json", "--values"}, b.flags, words)...)...)
	if err := json.Unmarshal([]byte(out), &d); err != nil {
		b.t.Fatalf("plan %v: %v\n%s", words, err, out)
	}
	if !slices.Contains(words, "--exec") && !slices.ContainsFunc(d.Runtime, func(l line) bool { return strings.Contains(l.Line, b.has) }) {
		b.t.Fatalf("no line of the plan has %q: %v", b.has, d.Runtime)
	}
	return d
}

// run runs a command to its end.
func (b *box) run(args ...string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	var stdout, stderr bytes.Buffer
	if err := b.start(ctx, &stdout, &stderr, args...).Wait(); err != nil {
		b.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String()
}

// traced is a command that runs under strace.
type traced struct {
	t      *testing.T
	out    string
	ended  chan error
	stderr bytes.Buffer
}

// trace starts a verb under strace.
func (b *box) trace(words ...string) *traced {
	b.t.Helper()
	tr := &traced{t: b.t, out: filepath.Join(place(b.t), "out"), ended: make(chan error, 1)}
	args := []string{tool(b.t, "strace"), "-f", "-v", "-y", "-s", "16384", "-o", tr.out}
	if b.user != nil {
		args = append(args, "-u", b.user.Username)
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	if b.user != nil && b.runtimeDir == "" { // where the seccomp cache is: plan has filled one
		b.runtimeDir = filepath.Join(b.dir, "run")
		defer func() { b.runtimeDir = "" }()
	}
	cmd := b.start(ctx, &bytes.Buffer{}, &tr.stderr, append(args, b.verb(words...)...)...)
	go func() {
		tr.ended <- cmd.Wait()
		cancel()
	}()
	return tr
}

// calls waits for the end, and returns what strace saw.
func (tr *traced) calls() []call {
	tr.t.Helper()
	if err := <-tr.ended; err != nil {
		tr.t.Errorf("strace: %v\n%s", err, tr.stderr.String())
	}
	list := parse(text(tr.t, tr.out))
	if len(list) == 0 {
		tr.t.Fatalf("strace saw nothing\n%s", tr.stderr.String())
	}
	return list
}

// column is the runtime's, for comparing.
func (b *box) column() *column {
	c := &column{dir: filepath.Join(b.root, b.id), id: b.id, rootfs: filepath.Join(b.dir, "rootfs"), notifies: len(b.variables) > 0, hooks: map[string][]string{}}
	if h := b.config.Hooks; h != nil {
		for kind, list := range map[string][]specs.Hook{"prestart": h.Prestart, "createRuntime": h.CreateRuntime, "createContainer": h.CreateContainer, //nolint:staticcheck // deprecated, and still what callers write
			"startContainer": h.StartContainer, "poststart": h.Poststart, "poststop": h.Poststop} {
			for i, one := range list {
				name := fmt.Sprintf("%s[%d]", kind, i)
				c.hooks[name], c.hooks[name+" path"] = one.Args, []string{one.Path}
			}
		}
	}
	return c
}

// compare holds a column against what the runtime did.
func (b *box) compare(c *column, lines []line, calls []call, container []int, run bool) {
	b.t.Helper()
	list, err := c.wants(lines)
	if err == nil && run {
		list = append(list, c.ending(lines)...)
	} else if err == nil && c.notifies {
		list = append(list, wants("the service manager knows", `?unlinkat\("`+q(c.dir)+`/notify/notify\.sock", 0\)`)...)
	}
	if err == nil {
		err = match(list, runtimeEvents(calls, container))
	}
	if err != nil {
		b.t.Error(err)
	}
}

// awaitFile waits until a file of the box is there.
func (b *box) awaitFile(name string) {
	b.t.Helper()
	b.eventually("a file "+name, func() bool {
		_, err := os.Lstat(filepath.Join(b.dir, name))
		return err == nil
	})
}

// awaitProgram waits until init, whose pid file is there, has become its program.
func (b *box) awaitProgram(name string) {
	b.t.Helper()
	pid := text(b.t, filepath.Join(b.dir, "state/pid"))
	b.eventually(name, func() bool { return text(b.t, "/proc/"+pid+"/comm") == name+"\n" })
}

func (b *box) eventually(what string, is func() bool) {
	b.t.Helper()
	for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if is() {
			return
		}
	}
	b.t.Fatalf("%s does not come", what)
}
