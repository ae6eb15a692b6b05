package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/proc"
	"golang.org/x/sys/unix"
)

// StateVersion is the version of state.json. docs/state.schema.json describes
// it; a reader refuses a newer one.
const StateVersion = 1

// State is what is written to state.json.
type State struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	// OCIVersion, Bundle, Annotations are from config.json.
	OCIVersion  string            `json:"ociVersion"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Created is in UTC.
	Created time.Time `json:"created"`
	// UID is the effective user id of who made the container.
	UID int `json:"uid"`
	// Pid is init's, and StartTime its start in clock ticks since boot (field
	// 22 of /proc/PID/stat), by which a new process with the same id is told.
	Pid       int    `json:"pid,omitempty"`
	StartTime uint64 `json:"startTime,omitempty"`
	// Waiter is the process that records how init ended; nil without one.
	Waiter *proc.ID `json:"waiter,omitempty"`
	// Namespaces are the CLONE_NEW* of the namespaces that exec joins.
	Namespaces int `json:"namespaces"`
	// Marked says that the directory's mode tells when the container is made. It
	// is false in what an older homerun wrote.
	Marked bool `json:"marked,omitempty"`
	// Members says how the processes of a container without a PID namespace of
	// its own are known; nil with one.
	Members *Members `json:"members,omitempty"`
	// Steps is the number behind that of the plan's last record (package stage),
	// by which start finds the step that failed.
	Steps int `json:"steps,omitempty"`
	// Chroot says that init's root is not the root of its mount namespace.
	Chroot bool `json:"chroot,omitempty"`
	// KeepsKeyring says that the program has its caller's session keyring.
	KeepsKeyring bool `json:"keepsKeyring,omitempty"`
	// Cgroup is where the container's processes are; empty without one.
	Cgroup CgroupState `json:"cgroup,omitzero"`
	// Undo lists what is to be undone by delete, in the order it was made.
	Undo []Undo `json:"undo,omitempty"`
	// Raw has what of the above is not UTF-8.
	Raw *RawNames `json:"raw,omitempty"`
}

// init names the container's init.
func (s *State) init() proc.ID { return proc.ID{Pid: s.Pid, StartTime: s.StartTime} }

// CgroupState is the container's cgroup.
type CgroupState struct {
	// Manager is systemd, cgroupfs or none.
	Manager string `json:"manager,omitempty"`
	// Path is the cgroup's directory, and Inode its number, by which another one
	// of the same name is told.
	Path  string `json:"path,omitempty"`
	Inode uint64 `json:"inode,omitempty"`
	// Scope is the systemd unit's name.
	Scope string `json:"scope,omitempty"`
	// OOMKills counts the processes that the kernel killed for memory, when
	// the container had ended.
	OOMKills uint64 `json:"oomKills,omitempty"`
}

// Undo is one thing that delete undoes.
type Undo struct {
	// Kind is cgroup, scope, network, intelrdt, file, made.
	Kind string `json:"kind"`
	// Name is a path, a unit, or a class of resctrl as JSON.
	Name string `json:"name"`
	// Inode belongs to a cgroup, or to that of a scope. Without one it is not
	// known whether the cgroup was made.
	Inode uint64 `json:"inode,omitempty"`
}

// The statuses of a container: runtime.md, "State", and paused.
const (
	Creating = "creating"
	Created  = "created"
	Running  = "running"
	Stopped  = "stopped"
	Paused   = "paused"
)

const (
	stateFile   = "state.json"
	configFile  = "config.json"
	startFIFO   = "start"
	outcomeFIFO = "outcome"
	initLink    = "init" // see recover.go
)

// read reads state.json. A container without one is still being made.
func (c *Container) read() error {
	text, err := bundle.ReadRegularAt(c.fd, stateFile)
	if err == unix.ENOENT {
		var st unix.Stat_t
		if unix.Fstat(c.fd, &st) != nil || st.Nlink == 0 {
			return c.missing()
		}
		c.State = State{Version: StateVersion, ID: c.ID}
		return nil
	}
	switch err {
	case nil:
	case unix.EMFILE, unix.ENFILE, unix.ENOMEM:
		return fmt.Errorf("read %s: %w", c.file(stateFile), err) // which says nothing of the file
	default:
		return &damagedError{c.file(stateFile), c.ID, err.Error()}
	}
	s, err := parseState(text)
	switch {
	case err != nil:
		return &damagedError{c.file(stateFile), c.ID, err.Error()}
	case s.Version > StateVersion:
		return fmt.Errorf("%s is of version %d, newer than this homerun", c.file(stateFile), s.Version)
	case s.ID != c.ID:
		return &damagedError{c.file(stateFile), c.ID, fmt.Sprintf("it is that of container %q", s.ID)}
	}
	c.State = s
	return nil
}

// parseState decodes state.json.
func parseState(text []byte) (s State, err error) {
	switch err = json.Unmarshal(text, &s); {
	case len(text) == 0:
		return State{}, errors.New("it is empty")
	case err != nil:
		return State{}, err
	case s.Version < 1 || s.Pid < 0:
		return State{}, errors.New("it has no version, or a negative pid")
	}
	s.restoreRaw()
	return s, nil
}

// damagedError is for a state.json that does not tell what the container is.
type damagedError struct{ file, id, reason string }

func (e *damagedError) Error() string { return e.file + " is damaged: " + e.reason }

// Hint is the advice for it.
func (e *damagedError) Hint() string {
	return "homerun delete --force " + e.id + " finds the container by what else there is, and ends it"
}

// write writes state.json as a whole.
func (c *Container) write() error {
	c.State.keepRaw()
	text, err := json.Marshal(&c.State)
	if err == nil {
		err = c.replaceFile(stateFile, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write the state of container %q: %w", c.ID, err)
	}
	return nil
}

// Status tells what the container does now. It is an error when it cannot be
// seen whether init lives.
func (c *Container) Status() (string, error) {
	s := &c.State
	if s.Pid == 0 {
		return Creating, nil
	}
	lives, err := s.init().Lives()
	switch {
	case err != nil:
		return "", err
	case !lives:
		return Stopped, nil
	case s.Marked && !c.made:
		return Creating, nil
	case c.frozen():
		return Paused, nil
	case c.waits():
		return Created, nil
	}
	return Running, nil
}

// waits tells whether init waits for start: then it reads from the FIFO.
func (c *Container) waits() bool {
	fd, err := c.openFile(startFIFO, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// Document is what `state` prints: runtime.md, "State", and the members that
// crun and runc add.
type Document struct {
	OCIVersion   string            `json:"ociVersion"`
	ID           string            `json:"id"`
	Status       string            `json:"status"`
	Pid          int               `json:"pid"`
	Bundle       string            `json:"bundle"`
	Rootfs       string            `json:"rootfs"`
	Created      time.Time         `json:"created"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	Owner        string            `json:"owner"`
	SystemdScope string            `json:"systemd-scope,omitempty"`
	OOMKills     uint64            `json:"oomKills,omitempty"`
	// Exit is how a stopped container's init ended, if that is recorded.
	Exit *Exit `json:"exit,omitempty"`
}

// Document describes the container as it is now.
func (c *Container) Document() (Document, error) {
	s := &c.State
	status, err := c.Status()
	if err != nil {
		return Document{}, err
	}
	d := Document{OCIVersion: s.OCIVersion, ID: c.ID, Status: status, Pid: s.Pid, Bundle: s.Bundle, Rootfs: s.Rootfs,
		Created: s.Created, Annotations: s.Annotations, Owner: owner(s.UID), SystemdScope: s.Cgroup.Scope,
		OOMKills: c.oomKills()}
	if d.OCIVersion == "" {
		d.OCIVersion = "1.0.0"
	}
	if d.Status == Stopped {
		d.Pid = 0
		if d.Exit, err = c.Exit(); err != nil {
			c.runtime.warn("%v", err)
		}
	}
	return d, nil
}

// owner is a user's name, or the number when /etc/passwd has none. A directory
// service is not asked: that would take a C library.
func owner(uid int) string {
	n := strconv.Itoa(uid)
	text, err := bundle.ReadRegular("/etc/passwd") // without the network poller that os has
	if err != nil {
		return n
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.SplitN(line, ":", 4); len(f) == 4 && f[2] == n {
			return f[0]
		}
	}
	return n
}
