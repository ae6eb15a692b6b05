package container

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/store"
	"golang.org/x/sys/unix"
)

// The statuses of a container: runtime.md, "State", and paused.
const (
	Creating = "creating"
	Created  = "created"
	Running  = "running"
	Stopped  = "stopped"
	Paused   = "paused"
)

// ErrStatus is for what a container does not do in the status that it has, and would
// in another: start when it runs already, be deleted while it runs, resume when it is
// not paused. Of one that has stopped it is [ErrNotRunning].
var ErrStatus = errors.New("not in this status")

// Status says what the container does now. It is an error when it cannot be
// seen whether init lives.
func (c *Container) Status() (string, error) {
	s := &c.State
	if s.Pid == 0 {
		return Creating, nil
	}
	lives, err := s.Init().Lives()
	switch {
	case err != nil:
		return "", err
	case !lives:
		return Stopped, nil
	case s.Marked && !c.dir.Made():
		return Creating, nil
	case c.cgroup().Frozen():
		return Paused, nil
	case c.waits():
		return Created, nil
	}
	return Running, nil
}

// errElsewhere is for a container that was made in another PID namespace.
var errElsewhere = errors.New("the container was made in another PID namespace")

// here refuses a container whose process ids, which were recorded in another PID
// namespace, are nobody's or others' in this one: it would be taken for one that has
// stopped.
func (c *Container) here() error {
	s := &c.State
	if s.Pid == 0 || s.PIDNamespace == 0 {
		return nil
	}
	own, err := c.beside.pidNamespace()
	switch {
	case err != nil:
		return proc.Unreadable(fmt.Sprintf("see whether process %d lives: ", s.Pid), "pid", err)
	case own != s.PIDNamespace:
		return &fault.Error{What: fmt.Sprintf("container %q was made in another PID namespace", c.ID), Cause: errElsewhere,
			Why:  fmt.Sprintf("its init is process %d there, and that number is nobody's or another process's here", s.Pid),
			Hint: "run homerun where the container was made; if that PID namespace has ended, so has the container: rm -r " + c.dir.Path()}
	}
	return nil
}

// waits reports whether init waits for start: then it reads from the FIFO.
func (c *Container) waits() bool {
	fd, err := c.dir.OpenFile(store.StartFIFO, unix.O_WRONLY|unix.O_NONBLOCK)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}

// OCIState is the state of a container as the specification has it (runtime.md,
// "State"), with the members that crun and runc add: what `state` prints.
type OCIState struct {
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
	Exit *store.Exit `json:"exit,omitempty"`
}

// OCIState describes the container as it is now.
func (c *Container) OCIState() (OCIState, error) {
	s := &c.State
	status, err := c.Status()
	if err != nil {
		return OCIState{}, err
	}
	d := OCIState{OCIVersion: s.OCIVersion, ID: c.ID, Status: status, Pid: s.Pid, Bundle: s.Bundle, Rootfs: s.Rootfs,
		Created: s.Created, Annotations: s.Annotations, Owner: c.beside.owner(s.UID), SystemdScope: s.Cgroup.Scope,
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

// beside is what is the same for all containers of a list, and read once.
type beside struct {
	namespace uint64 // this process's PID namespace; 0 before it is asked for
	owners    map[int]string
	list      bool
	until     time.Time // how long the containers of a list may have their ends recorded
}

// patience is how long who records how a container ended is waited for. In a list it
// is so long for all of them: whoever stopped one such process may have stopped many.
func (l *beside) patience() time.Duration {
	if !l.list {
		return reapLimit
	}
	if l.until.IsZero() {
		l.until = time.Now().Add(reapLimit)
	}
	return max(0, time.Until(l.until))
}

func (l *beside) pidNamespace() (own uint64, err error) {
	if l.namespace == 0 {
		l.namespace, err = proc.PIDNamespace()
	}
	return l.namespace, err
}

func (l *beside) owner(uid int) string {
	name, known := l.owners[uid]
	if !known {
		name = owner(uid)
		if l.owners == nil {
			l.owners = make(map[int]string)
		}
		l.owners[uid] = name
	}
	return name
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
