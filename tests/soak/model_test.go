package soak

import (
	"slices"
	"sync"
	"sync/atomic"
)

// What a container may be: what `state` says, or that there is none, or that its
// state.json cannot be read, of which `delete --force` knows what to do.
const (
	absent   = "absent"
	creating = "creating"
	created  = "created"
	running  = "running"
	paused   = "paused"
	stopped  = "stopped"
	damaged  = "damaged"
)

// Kinds of containers.
const (
	usually = iota
	ownIDs
	noPIDNamespace
	limited
	hooked
	networked
	onRootfs // run --rootfs, with a layer and a filter
	kinds
)

// slot is an id, and what a client knows of its container.
type slot struct {
	id     string
	number int
	kind   int
	status string
	// pid is init's, as long as the same one runs.
	pid int
	// detached: `run -d` made it, so its end is recorded. left: a `run` that was killed
	// left it, which the next one clears away.
	detached, left bool
	// code is with what it has ended; -1 when nobody knows.
	code int
	// weak: a fault of the client's has made its program weak, for as long as it lives,
	// as with a limit that it has from homerun.
	weak bool
	// mu is for who hurts the container, which is that of now until it is unlocked.
	mu sync.Mutex
	// hurt: somebody has killed something of it.
	hurt atomic.Bool
}

// driver is which network it has.
func (s *slot) driver() string { return []string{"pasta", "slirp4netns"}[s.number/kinds%2] }

// port is one of the host's.
func (s *slot) port() int { return 23400 + s.number }

// renew is for a container that is about to be made.
func (s *slot) renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hurt.Store(false)
	s.weak, s.left, s.detached, s.code, s.pid = false, false, false, -1, 0
}

// expect says whether an operation that nothing disturbs succeeds, and what is true
// after it.
func (o *operation) expect(s *slot, scopes bool) (succeeds bool, after string) {
	from := o.from
	if o.cgroup && !scopes {
		from = nil
	}
	if slices.Contains(from, s.status) || o.makes && s.status == stopped && s.left {
		if o.to == "" {
			return true, s.status
		}
		return true, o.to
	}
	return false, s.status
}

// promises reports whether the container must be what the operation makes of it when its
// exit status says that it was done, whatever disturbed it. That of `run` is the program's,
// and a signal that was sent may find a program which does not catch it yet.
func (o *operation) promises(said bool) bool {
	return said && (o.makes || o.to != "") && o.name != "run" && o.name != "kill TERM"
}

// disturbed says what may be true after an operation that something disturbed: what was
// before, what comes after, or what an operation leaves that was killed, if it was to
// change something. Some of it becomes something else yet: a container whose homerun
// was killed before it was made ends with that.
func (o *operation) disturbed(s *slot, succeeds bool, after string) []string {
	list := []string{s.status, after}
	if !succeeds {
		return list
	}
	switch {
	case o.makes: // absent: it has cleared away what was there
		list = append(list, absent, creating, stopped, created, damaged)
	case after == absent:
		list = append(list, creating, stopped, damaged)
	case after == stopped || o.name == "start":
		list = append(list, stopped, running)
	case s.status == paused:
		list = append(list, running)
	}
	return list
}

// fits reports whether a status is one that may be. One that is hurt, or weak, may have
// stopped at any time.
func (s *slot) fits(status string, may []string) bool {
	return slices.Contains(may, status) || status == stopped && (s.hurt.Load() || s.weak) && !slices.Equal(may, []string{absent})
}
