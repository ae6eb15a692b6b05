package container

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/proc/members"
	"github.com/homerun-oci/homerun/store"
	"github.com/homerun-oci/homerun/tests/scarce"
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
	ours, err := members.MountNamespace(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	host := store.Members(ours)
	for name, s := range map[string]store.State{
		"the host's mount namespace":      {Members: &host},
		"never made":                      {},
		"joined mount namespace":          {Pid: os.Getpid(), Members: &store.Members{}},
		"ended, PID namespace of its own": {Pid: 1 << 22, StartTime: 1, Namespaces: unix.CLONE_NEWPID},
	} {
		c := &Container{State: s}
		m, err := c.membership()
		if m != nil || err != nil {
			t.Errorf("%s: %+v, %v", name, m, err)
			continue // a signal would reach everybody
		}
		if err := m.Signal(t.Context(), unix.SIGKILL, endLimit); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// unrecorded has a container of which nothing says by what its processes are known, but
// config.json, which asks for a mount namespace.
func unrecorded(t *testing.T, init proc.ID) *Runtime {
	t.Helper()
	r := planted(t)
	c, err := r.Open(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.State.Pid, c.State.StartTime = init.Pid, init.StartTime
	c.State.Namespaces, c.State.Members = unix.CLONE_NEWNS, &store.Members{}
	if err := c.save(); err != nil {
		t.Fatal(err)
	}
	config := `{"ociVersion": "1.0.0", "root": {"path": "rootfs"}, "linux": {"namespaces": [{"type": "mount"}]}}`
	if err := c.dir.ReplaceFile(store.ConfigFile, []byte(config)); err != nil {
		t.Fatal(err)
	}
	return r
}

// A start that fails looks at init's namespace before that is killed: what the program has
// started already is known by it.
func TestMembersOfAFailure(t *testing.T) {
	pid, _ := inNamespace(t, unix.CLONE_NEWNS)
	own, err := members.MountNamespace(pid)
	if err != nil {
		t.Fatal(err)
	}
	init, err := proc.Of(pid)
	if err != nil {
		t.Fatal(err)
	}
	c, err := unrecorded(t, init).Open(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := c.newStarting(nil)
	defer s.closeHandles()
	if err := s.do(t.Context(), plan.Answer{}); err == nil { // there is no FIFO
		t.Fatal("it did not fail")
	}
	if got := store.Members(own); *c.State.Members != got {
		t.Errorf("%+v, want %+v", *c.State.Members, got)
	}
}

// A process of exec's that lives is enough to know by what the container's are known, also
// when init, of a start that was killed, has ended just then.
func TestMembersByExec(t *testing.T) {
	pid, _ := inNamespace(t, unix.CLONE_NEWNS)
	own, err := members.MountNamespace(pid)
	if err != nil {
		t.Fatal(err)
	}
	for _, lives := range []bool{true, false} {
		r := unrecorded(t, proc.ID{Pid: 1 << 22, StartTime: 1})
		asking, err := r.Peek("web")
		if err != nil {
			t.Fatal(err)
		}
		asking.ensureMembers(t.Context(), pid, func() (bool, error) { return lives, nil })
		asking.Close()
		now, err := r.Peek("web")
		if err != nil {
			t.Fatal(err)
		}
		now.Close()
		want := store.Members{}
		if lives {
			want = store.Members(own)
		}
		if got := *now.State.Members; got != want {
			t.Errorf("lives %t: %+v, want %+v", lives, got, want)
		}
	}
}

// Where it cannot be seen which processes are the container's, that is an error: who
// deletes would leave them, and says so instead.
func TestUnseenMembers(t *testing.T) {
	for name, test := range map[string]struct {
		kind       uintptr
		members    bool
		namespaces int
	}{
		"mount namespace": {unix.CLONE_NEWNS, true, unix.CLONE_NEWNS},
		"PID namespace":   {unix.CLONE_NEWPID, false, unix.CLONE_NEWPID},
	} {
		pid, _ := inNamespace(t, test.kind)
		id, err := proc.Of(pid)
		if err != nil {
			t.Fatal(err)
		}
		c := &Container{runtime: &Runtime{}, State: store.State{Pid: pid, StartTime: id.StartTime, Namespaces: test.namespaces}}
		if test.members {
			m, err := members.MountNamespace(pid)
			if err != nil {
				t.Fatal(err)
			}
			c.State.Members = (*store.Members)(&m)
		}
		for left := range 3 {
			var pids []int
			scarce.Descriptors(left, func() { pids, err = c.Processes(t.Context()) })
			if err == nil && !slices.Equal(pids, []int{pid}) || err != nil && !errors.Is(err, unix.EMFILE) {
				t.Errorf("%s, %d descriptors: %v, %v", name, left, pids, err)
			}
		}
		scarce.Descriptors(0, func() { err = c.end(t.Context()) })
		if !errors.Is(err, unix.EMFILE) || !id.Alive() {
			t.Errorf("%s: killed without descriptors: %v", name, err)
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
