package cgroup

import (
	"context"
	"os"
	"path"

	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host/probe"
	"github.com/homerun-oci/homerun/store"
	"github.com/homerun-oci/homerun/systemd/bus"
)

// Cgroup is the cgroup of one container, as it is recorded in the container's state.
type Cgroup struct {
	// State is the container's: its init, its cgroup, and what is to be undone.
	State *store.State
	// Tree is where cgroups are, and Manager where the service manager is: the
	// kernel's, and the one that is found, but in tests.
	Tree    live.Tree
	Manager bus.Place
	// Bus leads to the service manager; nil until it is needed, unless somebody has
	// connected to it already.
	Bus *bus.Conn
}

// CloseBus closes the connection to the service manager.
func (c *Cgroup) CloseBus() {
	if c.Bus != nil {
		c.Bus.Close()
		c.Bus = nil
	}
}

// Open opens the cgroup that is recorded; nil when there is none. One that is gone
// is os.ErrNotExist, also when its name is another container's by now, as that of
// a scope which ended with its last process.
func (c Cgroup) Open() (*live.Dir, error) {
	if c.State.Cgroup.Path == "" {
		return nil, nil
	}
	return c.Tree.Reopen(c.State.Cgroup.Path, c.State.Cgroup.Inode)
}

// Frozen reports whether the container is paused.
func (c Cgroup) Frozen() bool {
	dir, err := c.Open()
	if err != nil || dir == nil {
		return false
	}
	defer dir.Close()
	return dir.Frozen()
}

// Thaw lets the container go on if it is paused. What somebody else froze above
// it stays so.
func (c Cgroup) Thaw() {
	dir, err := c.Open()
	if err != nil || dir == nil {
		return
	}
	defer dir.Close()
	if dir.Frozen() {
		_ = dir.Thaw()
	}
}

// Whole is the cgroup that holds the container and nothing else; empty without
// one. A scope that homerun did not make, above a cgroup that it did, has others in
// it: what the kernel did to those is not the container's.
func Whole(g *store.Cgroup) string {
	if g.Scope == "" {
		return g.Path
	}
	return ScopeOf(g)
}

// ScopeOf is the scope's cgroup, at or above the container's. A cgroup below that,
// which the container may have made, can have the name of a scope, too.
func ScopeOf(g *store.Cgroup) string {
	for d := g.Path; len(d) > 1; d = path.Dir(d) {
		if path.Base(d) == g.Scope {
			return d
		}
	}
	return g.Path
}

// Connect finds the service manager that has the container's scope.
func (c Cgroup) Connect(ctx context.Context) (*bus.Conn, error) {
	attempt, err := c.ask(ctx)
	if err != nil {
		return nil, err
	}
	return attempt.Wait(ctx)
}

// ask begins to connect.
func (c Cgroup) ask(ctx context.Context) (*bus.Attempt, error) {
	if c.Manager != (bus.Place{}) {
		return bus.Begin(ctx, c.Manager), nil
	}
	p, err := probe.New([3]int{})
	if err != nil {
		return nil, err
	}
	return bus.Begin(ctx, bus.NewPlace(p.Facts, os.Getenv)), nil
}

// CheckThawed refuses a cgroup that is frozen, or below one that is: init would
// stand still, and whoever waits for it too.
func CheckThawed(dir *live.Dir) error {
	if !dir.Freezes() {
		return nil
	}
	return NotThawed(dir)
}

// NotThawed is the error of a cgroup in which nothing can start.
func NotThawed(dir *live.Dir) error {
	return &fault.Error{What: "the cgroup " + dir.Path() + " is frozen, or one above it is", Why: "nothing can start in it",
		Hint: "thaw it first: systemctl --user thaw UNIT, or write 0 to the cgroup.freeze of the cgroup that was frozen"}
}
