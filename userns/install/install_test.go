package install

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/userns"
)

// These tests need a kernel that lets this user make user namespaces, and, for
// the helpers, newuidmap and a line in /etc/subuid. As root they run the tests
// of the helpers again as the first user that /etc/subuid grants ids to.

const childVariable = "HOMERUN_TEST_CHILD"

// TestMain lets the test binary be the process in the namespace.
func TestMain(m *testing.M) {
	if kind := os.Getenv(childVariable); kind != "" {
		if kind == "undumpable" {
			unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
		}
		os.Stdout.WriteString("\n")
		io.Copy(io.Discard, os.Stdin)
		return
	}
	os.Exit(m.Run())
}

// must fails the test where the host cannot run it, unless a skip is allowed.
func must(t testing.TB, ok bool, why string) {
	t.Helper()
	if ok {
		return
	}
	if os.Getenv("HOMERUN_TEST_MAY_SKIP") == "1" {
		t.Skip(why)
	}
	t.Fatal(why)
}

// child starts a process in a new user namespace without maps; it ends with
// the test.
func child(t testing.TB, kind string) int {
	t.Helper()
	c := exec.Command("/proc/self/exe")
	c.Env = []string{childVariable + "=" + kind, "GORACE=" + os.Getenv("GORACE")}
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	err = c.Start()
	must(t, err == nil, "this host lets no user namespace be made: "+errorText(err))
	t.Cleanup(func() { stdin.Close(); c.Wait() })
	if _, err := io.ReadFull(stdout, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	return c.Process.Pid
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func facts(t testing.TB) *host.Facts {
	t.Helper()
	p, err := probe.New([3]int{0, 1, 2})
	if err == nil {
		err = p.Measure(t.Context(), &host.Needs{Subordinate: "linux.uidMappings"})
	}
	if err != nil {
		t.Fatal(err)
	}
	return p.Facts
}

// unprivileged runs the test again as a user with subordinate ids when it runs
// as root, and then returns false.
func unprivileged(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		return true
	}
	if !facts(t).UserNamespace.Initial {
		t.Log("nested root has no user to turn into; the unprivileged run is the one that counts")
		return false
	}
	uid, gid := anyUser(t)
	dir := t.TempDir()
	for d := dir; d != "/"; d = filepath.Dir(d) {
		if st, err := os.Stat(d); err == nil && st.Mode().Perm()&1 == 0 {
			os.Chmod(d, 0o755)
		}
	}
	program := filepath.Join(dir, "test")
	copyFile(t, program)
	c := exec.Command(program, "-test.v", "-test.run", "^"+t.Name()+"$")
	c.Dir = "/"
	c.Env = []string{"HOMERUN_TEST_MAY_SKIP=" + os.Getenv("HOMERUN_TEST_MAY_SKIP"), "GORACE=" + os.Getenv("GORACE")}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("as uid %d: %v\n%s", uid, err, out)
	}
	return false
}

func copyFile(t *testing.T, to string) {
	t.Helper()
	data, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

// anyUser is a user of /etc/passwd whom /etc/subuid grants ids.
func anyUser(t *testing.T) (uid, gid uint32) {
	t.Helper()
	subuid, _ := os.ReadFile("/etc/subuid")
	passwd, _ := os.ReadFile("/etc/passwd")
	for _, line := range strings.Split(string(passwd), "\n") {
		f := strings.Split(line, ":")
		if len(f) < 7 || len(userns.Grants(subuid, []string{f[0], f[2]})) == 0 {
			continue
		}
		u, _ := strconv.ParseUint(f[2], 10, 32)
		g, _ := strconv.ParseUint(f[3], 10, 32)
		if u != 0 {
			return uint32(u), uint32(g)
		}
	}
	must(t, false, "no user has a line in /etc/subuid: add one (usermod --add-subuids 100000-165535 USER)")
	return 0, 0
}

func checkMap(t *testing.T, pid int, m userns.Map) {
	t.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/" + string(m.Kind) + "_map")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(string(text)), " ")
	if want := strings.Join(strings.Fields(m.Text()), " "); got != want {
		t.Errorf("%s_map is %q; want %q", m.Kind, got, want)
	}
}

// TestHelpers maps the subordinate ids with newuidmap and newgidmap.
func TestHelpers(t *testing.T) {
	if !unprivileged(t) {
		return
	}
	f := facts(t)
	uids, gids, notes, err := userns.Default(f)
	must(t, err == nil && notes == nil, "no subordinate ids: "+strings.Join(notes, "; "))
	maps, err := userns.Resolve(uids, gids, f)
	if err != nil {
		t.Fatal(err)
	}
	if maps.UID.Method != userns.Helper || maps.GID.Method != userns.Helper {
		t.Fatalf("methods: %+v", maps)
	}
	pid := child(t, "plain")
	if err := mapAll(context.Background(), pid, maps, f); err != nil {
		t.Fatal(err)
	}
	checkMap(t, pid, maps.UID)
	checkMap(t, pid, maps.GID)
}

// TestSelf has the kernel agree with what Resolve says about a single id. The
// parent writes here in the process's stead, on the same terms.
func TestSelf(t *testing.T) {
	if !unprivileged(t) {
		return
	}
	f := facts(t)
	maps, err := userns.Resolve(
		[]host.Mapping{{HostID: uint32(f.Process.UID), Size: 1}},
		[]host.Mapping{{ContainerID: 5, HostID: uint32(f.Process.GID), Size: 1}}, f)
	if err != nil {
		t.Fatal(err)
	}
	if maps.UID.Method != userns.Self || maps.GID.Method != userns.Self || !maps.GID.DenySetgroups {
		t.Fatalf("methods: %+v", maps)
	}
	pid := child(t, "plain")
	if err := mapAll(context.Background(), pid, maps, f); err != nil {
		t.Fatal(err)
	}
	proc := "/proc/" + strconv.Itoa(pid)
	if err := os.WriteFile(proc+"/gid_map", []byte(maps.GID.Text()), 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("gid_map without setgroups=deny: %v; want EPERM", err)
	}
	for _, w := range [][2]string{{"setgroups", "deny"}, {"uid_map", maps.UID.Text()}, {"gid_map", maps.GID.Text()}} {
		if err := os.WriteFile(proc+"/"+w[0], []byte(w[1]), 0); err != nil {
			t.Fatal(err)
		}
	}
	checkMap(t, pid, maps.UID)
	checkMap(t, pid, maps.GID)
}

// TestPrivileged writes the maps directly, as root does.
func TestPrivileged(t *testing.T) {
	f := facts(t)
	if f.Process.Capabilities&(1<<unix.CAP_SETUID) == 0 {
		t.Log("needs CAP_SETUID; the run as root is the one that counts")
		return
	}
	uids := []host.Mapping{{HostID: 0, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 65536}}
	gids := uids
	if !f.UserNamespace.Initial {
		var err error
		if uids, gids, _, err = userns.Default(f); err != nil {
			t.Fatal(err)
		}
	}
	maps, err := userns.Resolve(uids, gids, f)
	if err != nil {
		t.Fatal(err)
	}
	pid := child(t, "plain")
	if err := mapAll(context.Background(), pid, maps, f); err != nil {
		t.Fatal(err)
	}
	checkMap(t, pid, maps.UID)
	checkMap(t, pid, maps.GID)
	err = mapAll(context.Background(), pid, maps, f)
	if err == nil || !errors.Is(err, unix.EPERM) {
		t.Errorf("a second write: %v; want EPERM", err)
	}
}

// TestUndumpable holds the theory of operation to its word: the helpers map a
// process that is not dumpable, and nobody unprivileged else does.
func TestUndumpable(t *testing.T) {
	if !unprivileged(t) {
		return
	}
	f := facts(t)
	single := []host.Mapping{{HostID: uint32(f.Process.UID), Size: 1}}
	m := userns.Map{Kind: userns.UID, Method: userns.Helper, Program: f.Subordinate.NewUIDMap, Mappings: single}
	pid := child(t, "undumpable")
	err := os.WriteFile("/proc/"+strconv.Itoa(pid)+"/uid_map", []byte(m.Text()), 0)
	if !errors.Is(err, unix.EACCES) {
		t.Errorf("direct write: %v; want EACCES", err)
	}
	if err := mapAll(context.Background(), pid, userns.Maps{UID: m}, f); err != nil {
		t.Fatal(err)
	}
	checkMap(t, pid, m)
}

// TestNotGranted: the helper refuses ids of others; the error has its words and
// the line that was used.
func TestNotGranted(t *testing.T) {
	if !unprivileged(t) {
		return
	}
	f := facts(t)
	maps := userns.Maps{UID: userns.Map{Kind: userns.UID, Method: userns.Helper, Program: f.Subordinate.NewUIDMap,
		Mappings: []host.Mapping{{HostID: 1, Size: 5}}}}
	wantFailure(t, maps, f, child(t, "plain"), "not allowed", "of /etc/subuid grants")
}

// TestHelperIsMissing and the next: a helper that is not there or just a file.
func TestHelperIsMissing(t *testing.T) {
	wantFailure(t, fake("/nonexistent/newuidmap"), &host.Facts{}, 1, "no such file or directory", "")
}

func TestHelperIsNotSetuid(t *testing.T) {
	wantFailure(t, fake("/bin/false"), &host.Facts{}, 1, "exit status 1", "setuid root")
}

func fake(program string) userns.Maps {
	return userns.Maps{UID: userns.Map{Kind: userns.UID, Method: userns.Helper, Program: program,
		Mappings: []host.Mapping{{Size: 1}}}}
}

func wantFailure(t *testing.T, maps userns.Maps, f *host.Facts, pid int, text, hint string) {
	t.Helper()
	err := mapAll(context.Background(), pid, maps, f)
	var e *fault.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v; want a *fault.Error", err)
	}
	if !strings.Contains(e.Error(), text) || strings.Contains(e.Error(), "\n") {
		t.Errorf("text is %q; want %q in one line", e.Error(), text)
	}
	if !strings.Contains(e.Hint, hint) {
		t.Errorf("hint is %q; want %q", e.Hint, hint)
	}
}

// mapAll starts the maps and awaits them.
func mapAll(ctx context.Context, pid int, maps userns.Maps, f *host.Facts) error {
	helpers, err := Start(pid, &maps, true)
	if err != nil {
		return err
	}
	return helpers.Await(ctx, f)
}

// hanging is a helper that hangs, with its standard error closed.
func hanging(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "hang")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nexec 2>&- 1>&-; exec /bin/sleep 60\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return program
}

// TestAbandon: a helper that nobody awaits is ended and reaped, and so is the first of
// two when the second is not executed.
func TestAbandon(t *testing.T) {
	start := time.Now()
	one := fake(hanging(t))
	helpers, err := Start(1, &one, true)
	if err != nil {
		t.Fatal(err)
	}
	helpers.Abandon()
	helpers.Abandon()
	two := fake("/bin/true")
	two.GID = fake("/nonexistent/newgidmap").UID
	if err := mapAll(t.Context(), 1, two, &host.Facts{}); !errors.Is(err, unix.ENOENT) || err.Error() != "start /nonexistent/newgidmap: no such file or directory" {
		t.Errorf("got %v; want ENOENT", err)
	}
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid > 0 || err != unix.ECHILD {
		t.Errorf("a helper is left: %d, %v", pid, err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestSurroundings: a helper begins in "/", with no environment, and no descriptor of it is
// left here.
func TestSurroundings(t *testing.T) {
	program := filepath.Join(t.TempDir(), "helper")
	text := "#!/bin/sh\necho in $PWD, $(wc -c </proc/$$/environ) bytes >&2; exit 1\n"
	if err := os.WriteFile(program, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	before := descriptors(t)
	err := mapAll(t.Context(), 1, fake(program), &host.Facts{})
	if err == nil || !strings.Contains(err.Error(), ": in /, 0 bytes: ") {
		t.Errorf("got %v", err)
	}
	if now := descriptors(t); !slices.Equal(now, before) {
		t.Errorf("%v are open, and were %v", now, before)
	}
}

// descriptors are the numbers of those that are open.
func descriptors(t *testing.T) (list []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// TestNoDescriptorLeft: where there is none for the pidfd, the helper is ended and reaped.
func TestNoDescriptorLeft(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	program := hanging(t)
	free := 0 // the number from which on none is open
	for _, name := range descriptors(t) {
		n, _ := strconv.Atoi(name)
		free = max(free, n+1)
	}
	for fd := -1; fd < free; { // no gaps below
		var err error
		if fd, err = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		free = max(free, fd)
	}
	const own = 3 // /dev/null and a pipe
	limit := unix.Rlimit{Cur: uint64(free + 1 + own), Max: old.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &old) }()
	maps, start := fake(program), time.Now()
	if _, err := Start(1, &maps, true); !errors.Is(err, unix.EMFILE) || !strings.HasPrefix(err.Error(), "start "+program) {
		t.Errorf("got %v; want EMFILE", err)
	}
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("a helper is left: %d, %v", pid, err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestTalkative: a helper that says more than a pipe holds ends all the same, and the
// beginning of what it says is kept.
func TestTalkative(t *testing.T) {
	program := filepath.Join(t.TempDir(), "newuidmap")
	script := "#!/bin/sh\necho too much >&2\nwhile [ $((i += 1)) -lt 3000 ]; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx >&2; done 2>&2\nexit 7\n"
	if err := os.WriteFile(program, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	err := mapAll(ctx, 1, fake(program), &host.Facts{})
	if err == nil || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), ": too much; xxx") || len(err.Error()) > 2*maxComplaint {
		t.Errorf("got %.300v", err)
	}
}

// TestTimeout: a helper that hangs, even with its standard error closed, is
// killed.
func TestTimeout(t *testing.T) {
	program := hanging(t)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	err := mapAll(ctx, 1, fake(program), &host.Facts{})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v; want deadline exceeded", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// BenchmarkHelpers compares the two helpers as they are started here with
// os/exec; run it as a user with subordinate ids.
func BenchmarkHelpers(b *testing.B) {
	f := facts(b)
	must(b, f.Subordinate.NewUIDMap != "", "newuidmap is not installed")
	m := userns.Map{Kind: userns.UID, Method: userns.Helper, Program: f.Subordinate.NewUIDMap,
		Mappings: []host.Mapping{{HostID: uint32(f.Process.UID), Size: 1}}}
	g := userns.Map{Kind: userns.GID, Method: userns.Helper, Program: f.Subordinate.NewGIDMap,
		Mappings: []host.Mapping{{HostID: uint32(f.Process.GID), Size: 1}}}
	b.Run("spawn", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			pid := child(b, "plain")
			b.StartTimer()
			if err := mapAll(context.Background(), pid, userns.Maps{UID: m, GID: g}, f); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("exec", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			pid := child(b, "plain")
			b.StartTimer()
			u, v := exec.Command(m.Program, m.Args(pid)[1:]...), exec.Command(g.Program, g.Args(pid)[1:]...)
			if err := errors.Join(u.Start(), v.Start(), u.Wait(), v.Wait()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
