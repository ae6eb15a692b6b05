package container

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/store"
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

// The number of a namespace that has ended may be another one's: it proves
// nothing but with the number that is never given again, with init alive, or for
// a child of ours.
func TestMembership(t *testing.T) {
	own, err := mountNamespace(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	id, err := proc.Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	init := &Container{State: store.State{Pid: id.Pid, StartTime: id.StartTime}}
	dead := &Container{State: store.State{Pid: id.Pid, StartTime: id.StartTime + 1}}
	self, sub := os.Getpid(), child(t)
	for name, test := range map[string]struct {
		m           membership
		self, child bool
		doubt       bool
	}{
		"init lives":            {m: membership{inode: own.Inode, init: init}, self: true, child: true},
		"init has another time": {m: membership{inode: own.Inode, init: dead}, child: true, doubt: true},
		"init has ended":        {m: membership{inode: own.Inode}, child: true, doubt: true},
		"another inode":         {m: membership{inode: own.Inode + 1, init: init}},
		"another namespace":     {m: membership{inode: own.Inode, id: own.ID + 1, init: init}},
		"the same namespace":    {m: membership{inode: own.Inode, id: own.ID}, self: true, child: true},
	} {
		t.Run(name, func(t *testing.T) {
			m := test.m
			m.kind = "mnt"
			if m.id != 0 && own.ID == 0 {
				t.Skip("needs Linux 6.11, for NS_GET_MNTNS_ID")
			}
			if got := m.has(self); got != test.self {
				t.Errorf("has the process itself: %v", got)
			}
			if got := m.has(sub); got != test.child {
				t.Errorf("has a child: %v", got)
			}
			if doubt := m.doubt(); (doubt != nil) != test.doubt || doubt != nil && !strings.Contains(doubt.Error(), strconv.Itoa(self)) {
				t.Errorf("doubt: %v", doubt)
			}
		})
	}
}

// Every process that is listed is in the namespace, and none is left out.
func TestMembers(t *testing.T) {
	own, err := mountNamespace(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	sub := child(t)
	pids, err := (&membership{kind: "mnt", inode: own.Inode, id: own.ID}).list()
	if err != nil || !slices.Contains(pids, os.Getpid()) || !slices.Contains(pids, sub) {
		t.Errorf("%v, %v", pids, err)
	}
	for _, pid := range pids {
		if inode := namespaceInode(pid, "mnt"); inode != own.Inode && inode != 0 {
			t.Errorf("process %d is in %d, not in %d", pid, inode, own.Inode)
		}
	}
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
		if err := c.membership().signal(unix.SIGKILL); err != nil {
			t.Errorf("%s: %v", name, err)
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
			m, err := mountNamespace(pid)
			if err != nil {
				t.Fatal(err)
			}
			return store.State{Members: &m}
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
				if pids, err := c.Processes(); !unseen && (err != nil || !slices.Equal(pids, []int{pid})) || unseen && err == nil {
					t.Errorf("processes %v, %v, want %d", pids, err, pid)
				}
				if err := c.killAll(unix.SIGKILL); (err != nil) != unseen {
					t.Errorf("kill: %v", err)
				}
				if !ended() {
					t.Error("init was not signalled")
				}
				if err := c.killAll(unix.SIGTERM); (err != nil) != unseen {
					t.Errorf("kill, when init has ended: %v", err)
				}
				if pids, err := c.Processes(); len(pids) != 0 || (err != nil) != unseen {
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

// The cgroup whose events are the container's: a scope only if it was made for
// the container.
func TestWholeCgroup(t *testing.T) {
	for want, s := range map[string]store.Cgroup{
		"/a/x.scope":             {Scope: "x.scope", Path: "/a/x.scope/container"},
		"/a/shell.scope/mine":    {Path: "/a/shell.scope/mine"},
		"/a/web.service/mine":    {Path: "/a/web.service/mine"},
		"/a/outer.scope/y.scope": {Scope: "y.scope", Path: "/a/outer.scope/y.scope"},
	} {
		if got := wholeCgroup(&s); got != want {
			t.Errorf("%+v: %s, want %s", s, got, want)
		}
	}
}
