package members

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/proc"
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
	own, err := MountNamespace(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	id, err := proc.Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	init, dead := id, proc.ID{Pid: id.Pid, StartTime: id.StartTime + 1}
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
	own, err := MountNamespace(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	sub := child(t)
	pids, err := (&Set{kind: "mnt", inode: own.Inode, id: own.ID}).List()
	if err != nil || !slices.Contains(pids, os.Getpid()) || !slices.Contains(pids, sub) {
		t.Errorf("%v, %v", pids, err)
	}
	for _, pid := range pids {
		if inode := namespaceInode(pid, "mnt"); inode != own.Inode && inode != 0 {
			t.Errorf("process %d is in %d, not in %d", pid, inode, own.Inode)
		}
	}
}
