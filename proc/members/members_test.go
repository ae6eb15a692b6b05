package members

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/tests/scarce"
	"golang.org/x/sys/unix"
)

// child is a process of this one that waits until the test ends.
func child(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("sleep", "100")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

// TestNumbers: the ids are in the order of numbers.
func TestNumbers(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"1000", "self", "999", "12", "2"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := numbers(names), []int{2, 12, 999, 1000}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// The number of a namespace that has ended may be another one's: it proves
// nothing but with the number that is never given again, with init alive, or for
// a child of ours.
func TestMembership(t *testing.T) {
	own, err := MountNamespace(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	id, err := proc.Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	init, dead := id, proc.ID{Pid: id.Pid, StartTime: id.StartTime + 1000}
	self, sub := os.Getpid(), child(t)
	for name, test := range map[string]struct {
		m           Set
		self, child bool
		doubt       bool
	}{
		"init lives":            {m: Set{inode: own.Inode, init: init}, self: true, child: true},
		"init has another time": {m: Set{inode: own.Inode, init: dead}, child: true, doubt: true},
		"init has ended":        {m: Set{inode: own.Inode}, child: true, doubt: true},
		"another inode":         {m: Set{inode: own.Inode + 1, init: init}},
		"another namespace":     {m: Set{inode: own.Inode, id: own.ID + 1, init: init}},
		"the same namespace":    {m: Set{inode: own.Inode, id: own.ID}, self: true, child: true},
	} {
		t.Run(name, func(t *testing.T) {
			m := test.m
			m.kind = "mnt"
			if m.id != 0 && own.ID == 0 {
				t.Skip("needs Linux 6.11, for NS_GET_MNTNS_ID")
			}
			if got, err := m.has(self); got != test.self || err != nil {
				t.Errorf("has the process itself: %v, %v", got, err)
			}
			if got, err := m.has(sub); got != test.child || err != nil {
				t.Errorf("has a child: %v, %v", got, err)
			}
			if doubt := m.doubt(); (doubt != nil) != test.doubt || doubt != nil && !strings.Contains(doubt.Error(), strconv.Itoa(self)) {
				t.Errorf("doubt: %v", doubt)
			}
		})
	}
}

// Every process that is listed is in the namespace, and none is left out.
func TestMembers(t *testing.T) {
	own, err := MountNamespace(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	sub := child(t)
	pids, err := (&Set{kind: "mnt", inode: own.Inode, id: own.ID}).List(t.Context())
	if err != nil || !slices.Contains(pids, os.Getpid()) || !slices.Contains(pids, sub) {
		t.Errorf("%v, %v", pids, err)
	}
	for _, pid := range pids {
		if inode, err := namespaceInode(pid, "mnt"); err != nil || inode != own.Inode && inode != 0 {
			t.Errorf("process %d is in %d, not in %d: %v", pid, inode, own.Inode, err)
		}
	}
}

// apart is a child in a namespace of its own, with a child of its own that is a
// stranger's as far as this process can tell; ended waits for the end of the first,
// for a short time only.
func apart(t *testing.T, kind uintptr) (pid, stranger int, ended func() bool) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "sleep 100 & echo $!; wait")
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: kind, Pdeathsig: unix.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscan(out, &stranger); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if kind != unix.CLONE_NEWPID { // where it ends with its init
			unix.Kill(stranger, unix.SIGKILL)
		}
		<-done
	})
	return cmd.Process.Pid, stranger, func() bool {
		select {
		case <-done:
			return true
		case <-time.After(5 * time.Second):
			return false
		}
	}
}

// All in the PID namespace of init are signalled, whatever their number.
func TestSignalInPIDNamespace(t *testing.T) {
	pid, _, ended := apart(t, unix.CLONE_NEWPID)
	init, err := proc.Of(pid)
	if err != nil {
		t.Fatal(err)
	}
	m, err := InPIDNamespace(init)
	if err != nil {
		t.Fatal(err)
	}
	if pids, err := m.List(t.Context()); err != nil || len(pids) != 2 || !slices.Contains(pids, pid) {
		t.Errorf("%v, %v", pids, err)
	}
	if err := m.Signal(t.Context(), 0, time.Second); err != nil {
		t.Error(err)
	}
	if err := m.Signal(t.Context(), unix.SIGKILL, 5*time.Second); err != nil || !ended() {
		t.Errorf("it lives: %v", err)
	}
	if pids, err := m.List(t.Context()); err != nil || pids != nil {
		t.Errorf("%v, %v", pids, err)
	}
	if m, err := InPIDNamespace(init); m != nil || err != nil {
		t.Errorf("of an init that has ended: %+v, %v", m, err)
	}
}

// Those of a mount namespace are signalled as long as init proves its number; then
// our own children alone, and who may be a stranger's is named.
func TestSignalInMountNamespace(t *testing.T) {
	pid, stranger, ended := apart(t, unix.CLONE_NEWNS)
	n, err := MountNamespace(pid)
	if err != nil {
		t.Fatal(err)
	}
	if own, err := MountNamespace(os.Getpid()); err != nil || own.Inode == n.Inode {
		t.Fatalf("no namespace of its own: %v", err)
	}
	init, err := proc.Of(pid)
	if err != nil {
		t.Fatal(err)
	}
	n.ID = 0 // as before Linux 6.11
	if pids, err := InMountNamespace(n, init).List(t.Context()); err != nil || len(pids) != 2 || !slices.Contains(pids, stranger) {
		t.Errorf("%v, %v", pids, err)
	}
	m := InMountNamespace(n, proc.ID{})
	err = m.Signal(t.Context(), unix.SIGTERM, time.Second)
	if !ended() {
		t.Error("our own child was not signalled")
	}
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("processes [%d] may be left", stranger)) || !slices.Equal(m.Doubtful, []int{stranger}) {
		t.Errorf("%v, %v", err, m.Doubtful)
	}
	if err := m.Signal(t.Context(), unix.SIGKILL, time.Second); err == nil || !slices.Equal(m.Doubtful, []int{stranger}) {
		t.Errorf("%v, %v", err, m.Doubtful)
	}
	if id, err := proc.Of(stranger); err != nil || !id.Alive() {
		t.Errorf("the stranger was ended: %v", err)
	}
}

// Nothing tells the processes of an unknown namespace from others, and that is
// nobody rather than everybody.
func TestNobody(t *testing.T) {
	m := InMountNamespace(Namespace{}, proc.ID{})
	if pids, err := m.List(t.Context()); m != nil || pids != nil || err != nil || m.Signal(t.Context(), unix.SIGKILL, 0) != nil {
		t.Errorf("%+v, %v, %v", m, pids, err)
	}
	if n, err := MountNamespace(1 << 22); err == nil || n != (Namespace{}) {
		t.Errorf("%+v, %v", n, err)
	}
	self, err := MountNamespace(os.Getpid())
	if err != nil || self.Inode == 0 {
		t.Errorf("%+v, %v", self, err)
	}
}

// A process that cannot be looked at may be the container's: that is an error, and not
// nobody. It does not keep the others from being looked at.
func TestUnseen(t *testing.T) {
	pid, stranger, _ := apart(t, unix.CLONE_NEWNS)
	n, err := MountNamespace(pid)
	if err != nil {
		t.Fatal(err)
	}
	init, err := proc.Of(pid)
	if err != nil {
		t.Fatal(err)
	}
	m := InMountNamespace(n, init)
	for left, want := range []unix.Errno{unix.EMFILE, unix.EMFILE, 0} {
		if left == 1 && n.ID == 0 {
			continue // before Linux 6.11 it takes no second descriptor
		}
		var pids []int
		scarce.Descriptors(left, func() { pids, err = m.List(t.Context()) })
		if want == 0 && (err != nil || len(pids) != 2) || want != 0 && (!errors.Is(err, want) || len(pids) != 0) {
			t.Errorf("%d descriptors: %v, %v", left, pids, err)
		}
		if want != 0 {
			scarce.Descriptors(left, func() { err = m.Signal(t.Context(), unix.SIGKILL, time.Second) })
			if !errors.Is(err, want) {
				t.Errorf("%d descriptors: killed: %v", left, err)
			}
		}
	}
	if id, err := proc.Of(stranger); err != nil || !id.Alive() {
		t.Errorf("it was killed: %v", err)
	}
}

// TestUntaken: who has ended is told, with its parent, until that has waited for it.
func TestUntaken(t *testing.T) {
	own, err := proc.Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	m, err := InPIDNamespace(own)
	if err != nil {
		t.Fatal(err)
	}
	live := child(t)
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := func() bool {
		pids, err := m.Untaken(t.Context())
		if err != nil || slices.Contains(pids, live) {
			t.Fatalf("%v, with %d, which lives: %v", pids, live, err)
		}
		return slices.Contains(pids, cmd.Process.Pid)
	}
	for begun := time.Now(); !ended(); time.Sleep(time.Millisecond) {
		if time.Since(begun) > time.Minute {
			t.Fatal("a child that has ended is not told")
		}
	}
	if got := proc.Parent(cmd.Process.Pid); got != os.Getpid() {
		t.Errorf("its parent is %d, want %d", got, os.Getpid())
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if ended() || proc.Parent(cmd.Process.Pid) == os.Getpid() {
		t.Error("it is told after it was taken")
	}
	if pids, err := (*Set)(nil).Untaken(t.Context()); pids != nil || err != nil {
		t.Errorf("nobody: %v, %v", pids, err)
	}
}
