package container

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/launch"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/proc/members"
	"github.com/homerun-oci/homerun/store"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// What was missing for mounts in somebody's own directory is recorded, outermost
// first, and goes again if nothing was put there; what was there stays.
func TestWillRemoveMade(t *testing.T) {
	c, err := made(&Runtime{Options{Root: filepath.Join(t.TempDir(), "root")}}, "c")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	root := t.TempDir()
	if err := os.MkdirAll(root+"/there/deep", 0o755); err != nil {
		t.Fatal(err)
	}
	f := &host.Facts{Rootfs: host.Source{Path: root}, Targets: map[string]host.Target{
		"/there/deep/a/b": {Resolved: "there/deep/a/b", Kind: host.Missing},
		"/there/deep/a/c": {Resolved: "there/deep/a/c", Kind: host.Missing},
		"/there/deep":     {Resolved: "there/deep", Kind: host.Directory},
		"/new":            {Resolved: "new", Kind: host.Missing},
		"/":               {Resolved: ".", Kind: host.Missing},
		"/empty":          {Resolved: "", Kind: host.Missing},
	}}
	c.State.Version, c.State.ID = store.StateVersion, c.ID
	s := c.newStarting(nil)
	s.launch = launch.New(launch.Options{Facts: f})
	defer s.close()
	if err := s.do(t.Context(), action.RecordMade{}); err != nil {
		t.Fatal(err)
	}
	recorded, err := c.dir.ReadState()
	if want := []string{"new", "there/deep/a", "there/deep/a/b", "there/deep/a/c"}; err != nil || !slices.Equal(recorded.Undo.Names(), want) {
		t.Fatalf("%q, want %q; %v", recorded.Undo, want, err)
	}
	if err := errors.Join(os.MkdirAll(root+"/there/deep/a/b", 0o755), os.WriteFile(root+"/there/deep/a/c", []byte("theirs"), 0o644), os.Mkdir(root+"/new", 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, u := range slices.Backward(c.State.Undo) {
		if err := c.undo(t.Context(), u); err != nil {
			t.Error(err)
		}
	}
	var left []string
	err = filepath.WalkDir(root, func(p string, _ os.DirEntry, err error) error {
		left = append(left, strings.TrimPrefix(p, root))
		return err
	})
	if want := []string{"", "/there", "/there/deep", "/there/deep/a", "/there/deep/a/c"}; err != nil || !slices.Equal(left, want) {
		t.Errorf("%q is left, want %q; %v", left, want, err)
	}
}

// What was made stays while another container may have mounts in the root. One that has
// stopped has none, and may be there for good.
func TestRemoveMadeBeside(t *testing.T) {
	own, err := proc.Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for name, test := range map[string]struct {
		beside store.State
		stays  bool
	}{
		"running":                   {store.State{Rootfs: root, Pid: own.Pid, StartTime: own.StartTime, Namespaces: unix.CLONE_NEWPID}, true},
		"running, in it":            {store.State{Rootfs: root + "/in", Pid: own.Pid, StartTime: own.StartTime, Namespaces: unix.CLONE_NEWPID}, true},
		"running, elsewhere":        {store.State{Rootfs: root + "2", Pid: own.Pid, StartTime: own.StartTime, Namespaces: unix.CLONE_NEWPID}, false},
		"being made":                {store.State{Rootfs: root, Namespaces: unix.CLONE_NEWPID}, true},
		"stopped":                   {store.State{Rootfs: root, Pid: 1 << 22, StartTime: 1, Namespaces: unix.CLONE_NEWPID}, false},
		"stopped, around it":        {store.State{Rootfs: filepath.Dir(root), Pid: 1 << 22, StartTime: 1, Namespaces: unix.CLONE_NEWPID}, false},
		"stopped, others may go on": {store.State{Rootfs: root, Pid: 1 << 22, StartTime: 1}, true},
		"of another PID namespace":  {store.State{Rootfs: root, Pid: 1 << 22, StartTime: 1, Namespaces: unix.CLONE_NEWPID, PIDNamespace: 1}, true},
	} {
		r := &Runtime{Options{Root: filepath.Join(t.TempDir(), "root")}}
		other, err := made(r, "other")
		if err != nil {
			t.Fatal(err)
		}
		other.State = test.beside
		other.State.Version, other.State.ID = store.StateVersion, "other"
		c, err := made(r, "c")
		if err := errors.Join(err, other.save(), os.MkdirAll(root+"/proc", 0o755)); err != nil {
			t.Fatal(err)
		}
		c.State.Rootfs = root
		fd, err := unix.Open(root, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		c.State.RootfsDevice, c.State.RootfsInode = numbers(fd)
		unix.Close(fd)
		err = c.undo(t.Context(), action.RemoveMade{Path: "proc"})
		if _, missing := os.Lstat(root + "/proc"); err != nil || (missing == nil) != test.stays {
			t.Errorf("%s: %v, %v", name, err, missing)
		}
		other.Close()
		c.Close()
	}
}

// A directory that has the root's path by now is another one, and what is empty in it
// is somebody else's.
func TestRemoveMadeElsewhere(t *testing.T) {
	c, err := made(&Runtime{Options{Root: filepath.Join(t.TempDir(), "root")}}, "c")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	dir := t.TempDir()
	root, others := dir+"/root", dir+"/others"
	if err := errors.Join(os.Mkdir(root, 0o755), os.MkdirAll(others+"/proc", 0o755)); err != nil {
		t.Fatal(err)
	}
	c.State.Version, c.State.ID = store.StateVersion, c.ID
	s := c.newStarting(nil)
	s.launch = launch.New(launch.Options{Facts: &host.Facts{Rootfs: host.Source{Path: root},
		Targets: map[string]host.Target{"/proc": {Resolved: "proc", Kind: host.Missing}}}})
	defer s.close()
	if err := errors.Join(s.do(t.Context(), action.RecordMade{}), os.Mkdir(root+"/proc", 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, there := range []string{"link", "directory"} {
		if err := os.Rename(root, dir+"/renamed"); err != nil {
			t.Fatal(err)
		}
		if there == "link" {
			err = os.Symlink("others", root)
		} else {
			err = os.Rename(others, root)
		}
		if err == nil {
			err = c.undo(t.Context(), action.RemoveMade{Path: "proc"})
		}
		if _, gone := os.Stat(root + "/proc"); err != nil || gone != nil {
			t.Errorf("a %s: %v, %v", there, err, gone)
		}
		if there == "link" {
			err = os.Remove(root)
		} else {
			err = os.Rename(root, others)
		}
		if err := errors.Join(err, os.Rename(dir+"/renamed", root)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.undo(t.Context(), action.RemoveMade{Path: "proc"}); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(root + "/proc"); !os.IsNotExist(err) {
		t.Errorf("in the root itself: %v", err)
	}
}

// Whom nobody can prove to be the container's is left alone and named, and is no
// reason to keep the container: who killed what it can be sure of has done so.
func TestEndLeavesTheDoubtful(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sleep 100 & echo $!; wait")
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
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
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var line [16]byte
	n, err := out.Read(line[:])
	if err != nil {
		t.Fatal(err)
	}
	stranger := strings.TrimSpace(string(line[:n]))
	m, err := members.MountNamespace(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	child, err := proc.Of(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if own, err := members.MountNamespace(os.Getpid()); err != nil || own.Inode == m.Inode {
		t.Fatalf("no namespace of its own: %v", err) // or all processes of the host would be meant
	}
	var warned []string
	c := &Container{runtime: &Runtime{Options{Warn: func(text string) { warned = append(warned, text) }}},
		State: store.State{Pid: 1 << 22, StartTime: 1, Members: &store.Members{Inode: m.Inode}}}
	if err := c.end(t.Context()); err != nil {
		t.Error(err)
	}
	if len(warned) != 1 || !strings.Contains(warned[0], "["+stranger+"]") {
		t.Errorf("warned %q, want process %s", warned, stranger)
	}
	if lives, err := child.Lives(); err != nil || lives {
		t.Errorf("our own child lives: %v, %v", lives, err)
	}
	if err := exec.Command("kill", stranger).Run(); err != nil {
		t.Errorf("the stranger was ended: %v", err)
	}
}

// How a container's processes are known is recorded if it has no PID namespace
// of its own: by the mount namespace, if that is its own. One that init is in before it has
// made its own is everybody's, whom delete in another mount namespace would kill.
func TestRecordMembers(t *testing.T) {
	pid, _ := inNamespace(t, unix.CLONE_NEWNS)
	own, err := members.MountNamespace(pid)
	if err != nil {
		t.Fatal(err)
	}
	pidNS, mountNS := specs.LinuxNamespace{Type: specs.PIDNamespace}, specs.LinuxNamespace{Type: specs.MountNamespace}
	joinedPID, joinedMount := pidNS, mountNS
	joinedPID.Path, joinedMount.Path = "/proc/1/ns/pid", "/proc/1/ns/mnt"
	early := child(t)
	for _, test := range []struct {
		pid  int
		list []specs.LinuxNamespace
		want *store.Members
	}{
		{pid, []specs.LinuxNamespace{pidNS, mountNS}, nil},
		{pid, []specs.LinuxNamespace{mountNS}, (*store.Members)(&own)},
		{pid, []specs.LinuxNamespace{joinedPID, mountNS}, (*store.Members)(&own)},
		{pid, []specs.LinuxNamespace{joinedMount}, &store.Members{}},
		{pid, nil, &store.Members{}},
		{early, []specs.LinuxNamespace{mountNS}, &store.Members{}},
	} {
		init, err := proc.Of(test.pid)
		if err != nil {
			t.Fatal(err)
		}
		c := &Container{State: store.State{Pid: init.Pid, StartTime: init.StartTime}}
		err = c.recordMembers(&specs.Spec{Linux: &specs.Linux{Namespaces: test.list}})
		if got := c.State.Members; err != nil || (got == nil) != (test.want == nil) || got != nil && *got != *test.want {
			t.Errorf("%v: %+v, %v, want %+v", test.list, got, err, test.want)
		}
	}
}

// wait of a container that has ended says how, or that nobody knows; never a
// status that nobody has seen.
func TestWaitAfterTheEnd(t *testing.T) {
	r := planted(t)
	if e, err := r.Wait(t.Context(), "web"); !errors.Is(err, ErrExitUnknown) || e != nil {
		t.Errorf("without a record: %+v, %v", e, err)
	}
	c, err := r.Open(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	err = c.dir.WriteExit(0x0700)
	c.Close()
	if err != nil {
		t.Fatal(err)
	}
	if e, err := r.Wait(t.Context(), "web"); err != nil || e.Status != 7 {
		t.Errorf("with a record: %+v, %v", e, err)
	}
}

// start looks for a seccomp listener only where create left one waiting.
func TestMeetNobody(t *testing.T) {
	c, err := made(&Runtime{Options{Root: filepath.Join(t.TempDir(), "root")}}, "c")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if a, err := c.meet(t.Context(), &bundle.Bundle{Config: &specs.Spec{}, Seccomp: []byte("not a profile")}); a != nil || err != nil {
		t.Errorf("%+v, %v", a, err)
	}
}

// A delete stops with its context while what it killed does not end. This process
// stands for one that does not.
func TestCancelledEnd(t *testing.T) {
	self, err := proc.Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	c := &Container{runtime: &Runtime{}, State: store.State{Pid: self.Pid, StartTime: self.StartTime}}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if err := c.awaitEnd(ctx, time.Now()); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > endLimit/2 {
		t.Errorf("%v after %s", err, time.Since(begun))
	}
	// What was waited for when its cgroup was killed is not waited for as long again.
	begun = time.Now()
	if err := c.awaitEnd(t.Context(), begun.Add(-endLimit)); err == nil || !strings.Contains(err.Error(), "does not end") || time.Since(begun) > endLimit/2 {
		t.Errorf("%v after %s", err, time.Since(begun))
	}
}
