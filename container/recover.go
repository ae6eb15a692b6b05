package container

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/cgroupv2/live"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// delete --force must end a container whose state.json is gone, empty or
// damaged: a disk that was full, a machine that lost its power, somebody's hand.
// So who init is, and its cgroup or scope, are written a second time, in another
// way: as the text of a symbolic link, which is there as a whole or not at all,
// and cannot be truncated. The rest is in config.json, or is found by its name.
// What cannot be found is said, and the container then stays.

// keepInit writes the second record. It comes before init runs anything.
func (c *Container) keepInit() error {
	if err := unix.Symlinkat(c.initText(), c.fd, initLink); err != nil {
		return fmt.Errorf("record init of container %q: %w", c.ID, err)
	}
	return nil
}

// What the link says of a cgroup that is not a scope's: whether it was made for
// the container, and goes with it.
const (
	cgroupMade  = "+"
	cgroupFound = "-"
)

// initText is init's process id and its start time; and its cgroup's number, the
// scope's name or one of the above, and the cgroup's path.
func (c *Container) initText() string {
	s := &c.State
	owner := cgroupFound
	if slices.ContainsFunc(s.Undo, func(u Undo) bool { return u.Kind == "cgroup" && u.Name == s.Cgroup.Path }) {
		owner = cgroupMade
	}
	if s.Cgroup.Scope != "" {
		owner = s.Cgroup.Scope
	}
	return strings.Join([]string{strconv.Itoa(s.Pid), strconv.FormatUint(s.StartTime, 10), strconv.FormatUint(s.Cgroup.Inode, 10), owner,
		s.Cgroup.Path}, " ")
}

// readInit reads it into a state. An error is an errno, or says what is wrong.
func (c *Container) readInit() (State, error) {
	var text [unix.PathMax]byte
	n, err := unix.Readlinkat(c.fd, initLink, text[:])
	if err != nil {
		return State{}, err
	}
	return parseInit(string(text[:n]))
}

func parseInit(text string) (State, error) {
	f := strings.SplitN(text, " ", 5)
	if len(f) < 5 {
		return State{}, errInitLink
	}
	pid, errPid := strconv.Atoi(f[0])
	start, errStart := strconv.ParseUint(f[1], 10, 64)
	inode, errInode := strconv.ParseUint(f[2], 10, 64)
	if errors.Join(errPid, errStart, errInode) != nil || pid < 1 {
		return State{}, errInitLink
	}
	s := State{Version: StateVersion, Pid: pid, StartTime: start, Cgroup: CgroupState{Inode: inode, Path: f[4]}}
	switch f[3] {
	case cgroupFound:
	case cgroupMade:
		s.Undo = []Undo{{Kind: "cgroup", Name: f[4], Inode: inode}}
	default:
		s.Cgroup.Scope = f[3]
	}
	return s, nil
}

var errInitLink = errors.New("it does not say who init is")

// recover makes a state by which delete can end the container when state.json
// tells none: damage says why, or is nil when there is no state.json. A container
// that has no init yet needs none.
func (c *Container) recover(damage error) error {
	s, err := c.readInit()
	if err == unix.ENOENT && damage == nil {
		return nil
	}
	if damage == nil {
		damage = errors.New(c.file(stateFile) + " is missing")
	}
	if err != nil {
		return c.lost(damage, "nothing else says who init is")
	}
	s.ID, s.Bundle = c.ID, "/" // where hooks run; the bundle's is not known
	s.Undo = append(s.Undo, Undo{Kind: "network", Name: c.dir})
	c.State = s
	c.recoverScope()
	if err := c.recoverMembers(damage); err != nil {
		return err
	}
	c.runtime.warn("%v: found init, process %d, by %s", damage, s.Pid, c.file(initLink))
	return nil
}

// recoverScope finds the scope of the container's cgroup, which is in it. If that
// is gone, no process is left in it, and the scope ends by itself.
func (c *Container) recoverScope() {
	s := &c.State.Cgroup
	if s.Scope == "" {
		return
	}
	dir, err := live.Reopen(s.Path, s.Inode)
	if err != nil {
		return
	}
	defer dir.Close()
	scope, err := live.Open(scopeOf(s.Path))
	if err != nil {
		return
	}
	defer scope.Close()
	c.State.Undo = append(c.State.Undo, Undo{Kind: "scope", Name: s.Scope, Inode: scope.ID()})
}

// recoverMembers finds in config.json by what the processes are known.
func (c *Container) recoverMembers(damage error) error {
	lives, err := c.State.init().Lives()
	if err != nil {
		return err
	}
	b, err := c.bundle()
	if err != nil || b.Config.Linux == nil {
		c.State.Members = &Members{}
		if !lives && c.State.Cgroup.Inode == 0 {
			return c.lost(damage, "its config.json is unreadable too, and its init has ended, so nothing says what that left")
		}
		return nil
	}
	c.State.OCIVersion, c.State.Annotations = b.Config.Version, b.Config.Annotations
	if b.Config.Linux.IntelRdt != nil {
		c.runtime.warn("the container's resource class (linux.intelRdt), if it was made for it, is left")
	}
	switch {
	case owns(b.Config, specs.PIDNamespace):
		c.State.Namespaces = unix.CLONE_NEWPID
	case lives:
		return c.recordMembers(b.Config)
	case c.State.Cgroup.Inode == 0:
		return c.lost(damage, "its init has ended, and nothing says what that left: it has neither a PID namespace nor a cgroup")
	}
	return nil
}

// lost is for a container that cannot be found, or not all of it.
func (c *Container) lost(damage error, why string) error {
	return &lostError{c.ID, c.dir, damage, why}
}

type lostError struct {
	id, dir string
	damage  error
	why     string
}

func (e *lostError) Error() string {
	return fmt.Sprintf("cannot end container %q: %v, and %s", e.id, e.damage, e.why)
}

func (e *lostError) Unwrap() error { return e.damage }

// Hint is the advice for it.
func (e *lostError) Hint() string {
	return "end what runs of it, if anything does; then: rm -r " + e.dir
}
