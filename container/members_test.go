package container

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/proc/members"
	"github.com/homerun-oci/homerun/store"
	specs "github.com/opencontainers/runtime-spec/specs-go"
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

// A container whose processes nothing tells from others has no members, rather
// than everybody.
func TestNoMembership(t *testing.T) {
	for name, s := range map[string]store.State{
		"never made":                      {},
		"joined mount namespace":          {Pid: os.Getpid(), Members: &store.Members{}},
		"ended, PID namespace of its own": {Pid: 1 << 22, StartTime: 1, Namespaces: unix.CLONE_NEWPID},
	} {
		c := &Container{State: s}
		if m := c.membership(); m != nil {
			t.Errorf("%s: %+v", name, m)
		}
		if err := c.membership().Signal(t.Context(), unix.SIGKILL, endLimit); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An init that has ended before it is recorded says why itself, in the stage's report:
// that its namespaces are gone is not the error. A zombie and no process at all.
func TestMembersOfTheDead(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := proc.AwaitEnd(t.Context(), fd, time.Minute); err != nil {
		t.Fatal(err)
	}
	s := &specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}}}}
	for _, pid := range []int{cmd.Process.Pid, 1 << 30} {
		c := &Container{State: store.State{Pid: pid}}
		if err := c.recordMembers(s); err != nil || c.State.Members == nil || c.State.Members.Inode != 0 {
			t.Errorf("process %d: %v, %+v", pid, err, c.State.Members)
		}
	}
}

// A container whose cgroup is gone, or cannot be looked at, while init lives still
// has its processes, and they are signalled: known by the mount namespace, by the
// PID namespace, or by init alone. Once init has ended, a cgroup that is gone says
// that nobody is left.
func TestGoneCgroup(t *testing.T) {
	for name, test := range map[string]struct {
		kind  uintptr // of init's own namespace
		state func(pid int) store.State
	}{
		"mount namespace": {unix.CLONE_NEWNS, func(pid int) store.State {
			m, err := members.MountNamespace(pid)
			if err != nil {
				t.Fatal(err)
			}
			return store.State{Members: (*store.Members)(&m)}
		}},
		"PID namespace": {unix.CLONE_NEWPID, func(int) store.State { return store.State{Namespaces: unix.CLONE_NEWPID} }},
		"init alone":    {0, func(int) store.State { return store.State{Members: &store.Members{}} }},
	} {
		for what, path := range map[string]string{"gone": "/nowhere/cgroup", "another file system": t.TempDir(), "none": ""} {
			t.Run(name+", "+what, func(t *testing.T) {
				pid, ended := inNamespace(t, test.kind)
				c := &Container{runtime: &Runtime{}, State: test.state(pid)}
				id, err := proc.Of(pid)
				if err != nil {
					t.Fatal(err)
				}
				c.State.Pid, c.State.StartTime, c.State.Cgroup = pid, id.StartTime, store.Cgroup{Path: path, Inode: 7}
				unseen := name == "init alone" && what == "another file system"
				if pids, err := c.Processes(t.Context()); !unseen && (err != nil || !slices.Equal(pids, []int{pid})) || unseen && err == nil {
					t.Errorf("processes %v, %v, want %d", pids, err, pid)
				}
				if err := c.killAll(t.Context(), unix.SIGKILL); (err != nil) != unseen {
					t.Errorf("kill: %v", err)
				}
				if !ended() {
					t.Error("init was not signalled")
				}
				if err := c.killAll(t.Context(), unix.SIGTERM); (err != nil) != unseen {
					t.Errorf("kill, when init has ended: %v", err)
				}
				if pids, err := c.Processes(t.Context()); len(pids) != 0 || (err != nil) != unseen {
					t.Errorf("processes %v, %v, when init has ended", pids, err)
				}
			})
		}
	}
}

// inNamespace is a child in a new namespace; ended waits for its end, and for a
// short time only.
func inNamespace(t *testing.T, kind uintptr) (pid int, ended func() bool) {
	t.Helper()
	cmd := exec.Command("sleep", "100")
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: kind, Pdeathsig: unix.SIGKILL}
	if kind != 0 && os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-done })
	return cmd.Process.Pid, func() bool {
		select {
		case <-done:
			return true
		case <-time.After(5 * time.Second):
			return false
		}
	}
}
