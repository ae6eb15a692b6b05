package live

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"golang.org/x/sys/unix"
)

// These tests use ordinary directories for cgroups (fakeCgroup): what is read,
// written and concluded needs no kernel and no privilege.

// put makes a cgroup below root that the caller may use, with further files.
func put(t *testing.T, root, name string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(root, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"cgroup.procs": "", "cgroup.subtree_control": ""}
	for name, text := range files {
		all[name] = text
	}
	for name, text := range all {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A weight of I/O for all disks goes to both files, as far as they exist; that for one disk
// to the first, which says whether the disk has that scheduler.
func TestWeights(t *testing.T) {
	const all, one = `{"blockIO":{"weight":500}}`, `{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":500}]}}`
	for _, test := range []struct{ resources, files, want string }{
		{all, "io.bfq.weight io.weight", "500 / 4950"},
		{all, "io.bfq.weight", "500 / "},
		{all, "io.weight", " / 4950"},
		{all, "", " / "},
		{one, "io.bfq.weight io.weight", "8:0 500 / "},
		{one, "io.weight", " / 8:0 4950"},
	} {
		have := map[string]string{}
		for _, name := range strings.Fields(test.files) {
			have[name] = ""
		}
		d := fakeCgroup(t, have)
		err := d.Apply(writesOf(t, test.resources))
		if got := d.text("io.bfq.weight") + " / " + d.text("io.weight"); got != test.want || (err == nil) != (test.files != "") {
			t.Errorf("%s, %q: %q, not %q: %v", test.resources, test.files, got, test.want, err)
		}
	}
}

// Delegation is advised where it helps: not for a controller that no cgroup has.
func TestMissingController(t *testing.T) {
	root := t.TempDir()
	put(t, root, "top", map[string]string{"cgroup.controllers": "cpu memory\n"})
	user := put(t, root, "top/user", map[string]string{"cgroup.controllers": "memory\n"})
	fd, err := unix.Open(user, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	d := &Dir{fd: fd, path: user}
	for file, want := range map[string]cgroupv2.Refusal{
		"cpu.max":     {File: "cpu.max", Errno: unix.ENOENT, Missing: true},
		"cpuset.cpus": {File: "cpuset.cpus", Errno: unix.ENOENT, Missing: true, Absent: true},
		"rdma.max":    {File: "rdma.max", Errno: unix.ENOENT, Missing: true, Absent: true},
		"memory.none": {File: "memory.none", Errno: unix.ENOENT},
	} {
		var e *fault.Error
		controller, _, _ := strings.Cut(file, ".")
		if err := d.put(cgroupv2.Write{File: file, Value: "1"}); !errors.As(err, &e) || e.Hint != want.Hint() {
			t.Errorf("%s: %v, hint: %s", file, err, fault.Hint(err))
		}
		if e := d.unavailable(controller); want.Missing && e.Hint != want.Hint() {
			t.Errorf("%s: %v, hint: %s", controller, e, e.Hint)
		}
	}
	if gone := (&Dir{path: root + "/top/gone"}); gone.absent("rdma") {
		t.Error("of a cgroup that cannot be read it is known what it lacks")
	}
}

// A limit at or below what is in use is refused before anything is written; what
// cannot be read passes.
func TestCheck(t *testing.T) {
	d := fakeCgroup(t, map[string]string{"memory.current": "100\n", "memory.swap.current": "50\n", "memory.max": "", "memory.reclaim": "", "pids.max": ""})
	for limit, refused := range map[string]string{`"limit":101`: "", `"limit":100`: "100 bytes are in use, so 100 is refused",
		`"limit":120,"swap":150`: "150 bytes are in use, so 150 is refused"} {
		err := d.Apply(writesOf(t, `{"memory":{`+limit+`,"checkBeforeUpdate":true},"pids":{"limit":3}}`))
		if refused == "" {
			// memory.swap.max is not there, and nobody asked for it.
			if err != nil || d.text("memory.max") != "101" || d.text("pids.max") != "3" {
				t.Errorf("%s: %v", limit, err)
			}
			continue
		}
		var e *fault.Error
		if !errors.As(err, &e) || !strings.HasSuffix(e.Error(), refused) || e.Hint != cgroupv2.HintInUse || errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: %v", limit, err)
		}
	}
	d.Reclaim([]cgroupv2.Check{{Limit: 40, Files: []string{"memory.current"}}})
	if got := d.text("memory.reclaim"); got != fmt.Sprint(60+reclaimMore) {
		t.Errorf("reclaims %s", got)
	}
	d.Reclaim([]cgroupv2.Check{{Limit: 400, Files: []string{"memory.current"}}})
	fakeCgroup(t, map[string]string{"memory.current": "9"}).Reclaim([]cgroupv2.Check{{Limit: 4, Files: []string{"memory.current"}}})
	for _, files := range []map[string]string{nil, {"memory.current": "x"}} {
		if err := fakeCgroup(t, files).Check([]cgroupv2.Check{{Limit: 1, Files: []string{"memory.current"}}}); err != nil {
			t.Errorf("%v: %v", files, err)
		}
	}
}

func TestEnsureLeavesWhatHolds(t *testing.T) {
	d := fakeCgroup(t, map[string]string{"pids.max": "5\n", "memory.high": "7\n"})
	if err := os.Chmod(filepath.Join(d.path, "pids.max"), 0o400); err != nil {
		t.Fatal(err)
	}
	err := d.Ensure([]cgroupv2.Write{{File: "pids.max", Value: "5"}, {File: "memory.high", Value: "8"}})
	if err != nil || d.text("memory.high") != "8" || d.text("pids.max") != "5" {
		t.Errorf("%v, %q", err, d.text("memory.high"))
	}
}

func TestMissing(t *testing.T) {
	mount := t.TempDir()
	put(t, mount, "a/b", nil)
	for at, want := range map[string][]string{"/a/b": nil, "/a/b/c/d": {"/a/b/c", "/a/b/c/d"}, "/x": {"/x"}} {
		var got []string
		for _, name := range Missing(cgroupv2.Choice{Path: at, Base: "/a"}, mount) {
			got = append(got, strings.TrimPrefix(name, mount))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: missing %v", at, got)
		}
	}
}

// The first refusal names the controller and who has processes; nothing is left.
func TestCreateRefused(t *testing.T) {
	d := fakeCgroup(t, map[string]string{"cgroup.controllers": "memory\n", "cgroup.subtree_control": "", "cgroup.procs": "5\n", "cgroup.type": "domain\n"})
	var e *fault.Error
	if leaf, made, err := d.Create("a/b", []string{"memory"}); leaf != nil || made != nil || !errors.As(err, &e) {
		t.Errorf("made %v, %v", made, err)
	}
	if names, _ := d.children(); len(names) > 0 {
		t.Errorf("left: %v", names)
	}
	err := d.Enable([]string{"memory"})
	if !errors.As(err, &e) || e.Errno != unix.EBUSY || !strings.Contains(e.What, `write "+memory" to `) || e.Hint == "" || !strings.Contains(err.Error(), "has processes of its own") {
		t.Errorf("%v", err)
	}
	free := fakeCgroup(t, map[string]string{"cgroup.controllers": "cpu memory\n", "cgroup.subtree_control": "cpu\n", "cgroup.procs": "", "cgroup.type": "domain\n"})
	if err := free.Enable([]string{"memory"}); err != nil || free.text("cgroup.subtree_control") != "+memory" {
		t.Errorf("%q, %v", free.text("cgroup.subtree_control"), err)
	}
	if err := free.Enable([]string{"io"}); !errors.As(err, &e) || !strings.Contains(err.Error(), "controller io is not available here") {
		t.Errorf("%v", err)
	}
	if err := fakeCgroup(t, nil).Attach(7); !errors.As(err, &e) || !strings.HasPrefix(e.What, `cgroupv2: write "7" to `) || !strings.HasSuffix(e.What, "/cgroup.procs") {
		t.Errorf("%v", err)
	}
}

// A cgroup stands still when it or one above it is frozen.
func TestFreezes(t *testing.T) {
	root := t.TempDir()
	put(t, root, "a", map[string]string{"cgroup.freeze": "0\n"})
	dir := put(t, root, "a/b", map[string]string{"cgroup.freeze": "0\n", "cgroup.events": "populated 1\nfrozen 0\n"})
	top, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(top)
	d := &Dir{fd: top, path: dir}
	if d.Freezes() {
		t.Error("nothing is frozen")
	}
	put(t, root, "a", map[string]string{"cgroup.freeze": "1\n"})
	if !d.Freezes() || d.Frozen() {
		t.Error("a parent is frozen, and not every process stands")
	}
	if err := d.Freeze(limited(t, 50*time.Millisecond)); err == nil || !strings.Contains(err.Error(), "a process does not stop") || d.text("cgroup.freeze") != "0" {
		t.Errorf("a process that does not stop: %v, %q", err, d.text("cgroup.freeze"))
	}
	if err := d.Thaw(); err != nil {
		t.Error(err)
	}
}

func TestAwaitFrozen(t *testing.T) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])
	running := fakeCgroup(t, map[string]string{"cgroup.events": "frozen 0\n"})
	if frozen, err := running.AwaitFrozen(limited(t, 20*time.Millisecond), pipe[0]); frozen || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("in vain: %v, %v", frozen, err)
	}
	if _, err := unix.Write(pipe[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	if frozen, err := running.AwaitFrozen(limited(t, time.Second), pipe[0]); frozen || err != nil {
		t.Errorf("the other is ready: %v, %v", frozen, err)
	}
	if frozen, err := fakeCgroup(t, map[string]string{"cgroup.events": "frozen 1\n"}).AwaitFrozen(limited(t, time.Second), pipe[0]); !frozen || err != nil {
		t.Errorf("frozen: %v, %v", frozen, err)
	}
	if _, err := fakeCgroup(t, nil).AwaitFrozen(limited(t, time.Second), pipe[0]); !errors.Is(err, unix.ENOENT) {
		t.Errorf("one that is gone: %v", err)
	}
}

// A path that leads out is not printed as where it would have led.
func TestSubLeadsOut(t *testing.T) {
	d := fakeCgroup(t, nil)
	for _, out := range []string{"..", "../beside", "below/../../beside"} {
		if err := os.MkdirAll(filepath.Join(d.path, "below"), 0o755); err != nil {
			t.Fatal(err)
		}
		want := "cgroupv2: open " + out + " below " + d.path + ": bad sub cgroup path: it leads out: invalid cross-device link (EXDEV)"
		if _, err := d.Sub(out); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Only what is empty goes, by the name that still means it.
func TestRemoveEmpty(t *testing.T) {
	d := fakeCgroup(t, nil)
	for _, name := range []string{"empty", "full", "full/below"} {
		if err := os.Mkdir(filepath.Join(d.path, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, stays := range map[string]bool{"empty": false, "full": true} {
		sub, err := d.Sub(name)
		if err != nil {
			t.Fatal(err)
		}
		err = sub.RemoveEmpty(limited(t, time.Second))
		_, gone := os.Stat(sub.path)
		if (gone == nil) != stays || stays && !errors.Is(err, unix.ENOTEMPTY) || !stays && (err != nil || sub.RemoveEmpty(context.Background()) != nil) {
			t.Errorf("%s: %v, %v", name, err, gone)
		}
		sub.Close()
	}
	// A process that never ends: it is waited for as long as the context lasts.
	stuck := fakeCgroup(t, map[string]string{"cgroup.procs": "", "cgroup.events": "populated 1\n"})
	ctx := limited(t, 50*time.Millisecond)
	if err := stuck.Delete(ctx); err == nil {
		t.Error("a directory with files was removed")
	}
	if err := stuck.killByHand(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// ProbeDelegation in a tree as systemd makes it: the mark of root's manager, a
// user manager's service and scope, which have none, and a cgroup namespace's root.
func TestProbeDelegation(t *testing.T) {
	const app = "/user.slice/app.slice"
	mount := t.TempDir()
	put(t, mount, app, nil)
	service := put(t, mount, app+"/x.service", nil)
	put(t, mount, app+"/x.service/runtime", nil)
	put(t, mount, app+"/y.scope", nil)
	probe := func(at string) string {
		d := ProbeDelegation(host.Cgroup{Unified: true, MountPoint: mount, Path: at})
		return fmt.Sprintf("%s|%s|%s|%s", d.Unit, d.Maybe, d.Writable, d.Top)
	}
	tests := map[string]string{
		app + "/x.service": "|" + app + "/x.service|" + app + "|" + app, app + "/x.service/runtime": "|" + app + "/x.service|" + app + "/x.service|" + app,
		app + "/y.scope": "|" + app + "/y.scope|" + app + "|" + app, "/gone/z": "|||", "/": "|||",
	}
	for at, want := range tests {
		if got := probe(at); got != want {
			t.Errorf("%s: %s, want %s", at, got, want)
		}
	}
	if err := unix.Setxattr(service, "user.delegate", []byte("1"), 0); err != nil {
		unable(t, "needs extended attributes in "+mount+": "+err.Error())
	}
	for at, want := range map[string]string{app + "/x.service": app + "/x.service||" + app + "|" + app, app + "/x.service/runtime": app + "/x.service||" + app + "/x.service|" + app} {
		if got := probe(at); got != want {
			t.Errorf("%s, delegated: %s, want %s", at, got, want)
		}
	}
	put(t, mount, "", nil)
	if got := probe("/"); got != "||/|/" {
		t.Errorf("the root of the tree: %s", got)
	}
	put(t, mount, "", map[string]string{"cgroup.events": ""})
	if got := probe("/"); got != "/|||/" {
		t.Errorf("the root of a cgroup namespace: %s", got)
	}
	if d := ProbeDelegation(host.Cgroup{MountPoint: mount, Path: "/"}); d != (cgroupv2.Delegation{}) {
		t.Errorf("without cgroup v2: %+v", d)
	}
}

func TestOfProcess(t *testing.T) {
	if _, err := OfProcess(1 << 30); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// One that is removed, or whose name is another's, is gone; one that stays is waited
// for as long as was said. What else goes beside it does not count.
func TestVanishes(t *testing.T) {
	d := fakeCgroup(t, nil)
	begun := time.Now()
	if d.Vanishes(t.Context(), 60*time.Millisecond) || time.Since(begun) < 50*time.Millisecond {
		t.Errorf("it is there, after %v", time.Since(begun))
	}
	beside := put(t, filepath.Dir(d.path), "beside", nil)
	time.AfterFunc(20*time.Millisecond, func() { _ = os.RemoveAll(beside) })
	time.AfterFunc(40*time.Millisecond, func() { _ = os.RemoveAll(d.path) })
	begun = time.Now()
	if !d.Vanishes(t.Context(), 5*time.Second) || time.Since(begun) > 4*time.Second {
		t.Errorf("it is gone, after %v", time.Since(begun))
	}
	put(t, filepath.Dir(d.path), filepath.Base(d.path), nil)
	if begun = time.Now(); !d.Vanishes(t.Context(), 5*time.Second) || time.Since(begun) > 4*time.Second {
		t.Errorf("its name is another's, after %v", time.Since(begun))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if e := fakeCgroup(t, nil); e.Vanishes(ctx, time.Minute) {
		t.Error("it is there")
	}
}

// Controllers are seen when somebody turns them on in the cgroup above, at once, and
// waited for as long as was said.
func TestBecomesAvailable(t *testing.T) {
	d := fakeCgroup(t, map[string]string{"cgroup.controllers": "cpu\n"})
	above := put(t, filepath.Dir(d.path), ".", nil)
	begun := time.Now()
	if d.BecomesAvailable(t.Context(), []string{"cpu", "memory"}, 60*time.Millisecond) || time.Since(begun) < 50*time.Millisecond {
		t.Errorf("memory is there, after %v", time.Since(begun))
	}
	done := make(chan error, 1)
	time.AfterFunc(20*time.Millisecond, func() {
		done <- errors.Join(os.WriteFile(filepath.Join(d.path, "cgroup.controllers"), []byte("cpu memory\n"), 0o644),
			os.WriteFile(filepath.Join(above, "cgroup.subtree_control"), []byte("+memory"), 0o644))
	})
	begun = time.Now()
	if !d.BecomesAvailable(t.Context(), []string{"cpu", "memory"}, 10*time.Second) || time.Since(begun) > 5*time.Second {
		t.Errorf("they are there, after %v", time.Since(begun))
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if d.BecomesAvailable(ctx, []string{"io"}, time.Minute) {
		t.Error("io is there")
	}
}

// Processes that end are waited for no longer than until then, one that goes on for a
// while only, since an id may be another's, and those without an id for the same while.
func TestAwaitEnds(t *testing.T) {
	took := func(d *Dir) time.Duration {
		begun := time.Now()
		d.awaitEnds(t.Context())
		return time.Since(begun)
	}
	inIt := func() (*exec.Cmd, *Dir) {
		child := exec.Command("sleep", "60")
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = child.Process.Kill(); _ = child.Wait() })
		return child, fakeCgroup(t, map[string]string{"cgroup.procs": fmt.Sprintf("%d\n999999999\n", child.Process.Pid)})
	}
	if _, d := inIt(); took(d) < pollInterval/2 {
		t.Error("one that runs was not waited for")
	}
	if took(fakeCgroup(t, map[string]string{"cgroup.procs": "0\n", "cgroup.events": "populated 1\n"})) < pollInterval/2 {
		t.Error("one without an id was not waited for")
	}
	// A busy machine may be late: once in some it is in time.
	for try := 1; ; try++ {
		child, d := inIt()
		time.AfterFunc(pollInterval/5, func() { _ = child.Process.Kill() })
		ended := took(d)
		if ended > pollInterval/10 && ended < pollInterval*9/10 {
			return
		}
		if try == 20 {
			t.Fatalf("one that ended was waited for %v", ended)
		}
	}
}
