package container

import (
	"bytes"
	"errors"
	"fmt"
	"github.com/homerun-oci/homerun/cgroupv2/live"
	"path"
	"strconv"
	"time"

	"github.com/homerun-oci/homerun/launch"
	"github.com/homerun-oci/homerun/store"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// The kernel counts in a cgroup whom it killed there for memory, and the count
// goes with the cgroup. One that homerun made stays until delete. A scope is
// taken away by systemd within a millisecond of its last process's end: so
// whoever waits for that end (run, wait, events) has the file open, reads it on
// each of the kernel's notices and once more at the end, before anything else,
// and keeps the number in state.json.
//
// Where systemd is quicker still, the slice knows: its count has that of all
// scopes in it, also of those that were. What is more in it than at the last
// look at both is the scope's, if that look was a moment ago. It was if the
// kernel killed, since reaching the limit comes first and gives a notice.

// oomWatch counts kills while somebody waits.
type oomWatch struct {
	fd    int // memory.events of the scope, or of the container's cgroup; -1
	kills uint64
	slice int       // memory.events of the slice; -1
	other uint64    // the slice's kills that are not ours
	seen  time.Time // when the kernel last gave a notice
}

// recent is for how long a count of the slice's other kills holds.
const recent = 500 * time.Millisecond

// watchOOM begins to count. Without a memory controller there is no such file.
func (c *Container) watchOOM() *oomWatch {
	w := &oomWatch{fd: -1, kills: c.State.Cgroup.OOMKills, slice: -1}
	if c.State.Cgroup.Path == "" {
		return w
	}
	own := wholeCgroup(&c.State.Cgroup)
	w.fd = openEvents(own)
	if w.fd >= 0 && c.State.Cgroup.Scope != "" {
		w.slice = openEvents(path.Dir(own))
	}
	w.read()
	return w
}

// wholeCgroup is the cgroup that holds the container and nothing else. A scope that
// homerun did not make, above a cgroup that it did, has others in it: what the
// kernel did to those is not the container's.
func wholeCgroup(s *store.Cgroup) string {
	if s.Scope == "" {
		return s.Path
	}
	return scopeOf(s.Path)
}

func openEvents(dir string) int {
	fd, err := unix.Open(dir+"/memory.events", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

func (w *oomWatch) close() {
	for _, fd := range []int{w.fd, w.slice} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	w.fd, w.slice = -1, -1
}

// read looks at the counts, which also arms the next notice. It is false when
// the cgroup is gone; what was seen stays.
func (w *oomWatch) read() bool {
	all, _ := readKills(w.slice)
	own, ok := readKills(w.fd)
	if ok {
		w.kills = max(w.kills, own)
		w.other = max(all, own) - own
	}
	return ok
}

// last is the read when the process has ended.
func (w *oomWatch) last() {
	if w.read() || time.Since(w.seen) > recent {
		return
	}
	if all, ok := readKills(w.slice); ok && all > w.other {
		w.kills = max(w.kills, all-w.other)
	}
}

// readKills reads oom_kill of an open memory.events.
func readKills(fd int) (kills uint64, ok bool) {
	if fd < 0 {
		return 0, false
	}
	var text [256]byte
	n, err := unix.Pread(fd, text[:], 0)
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(text[:n]) {
		if number, found := bytes.CutPrefix(line, []byte("oom_kill ")); found {
			kills, err = strconv.ParseUint(string(bytes.TrimSpace(number)), 10, 64)
			return kills, err == nil
		}
	}
	return 0, false
}

// wait waits until the process ends, or something happened in the cgroup, for
// the given time at most (-1: for ever).
func (w *oomWatch) wait(pidfd int, milliseconds int) (ended bool, err error) {
	fds := [2]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}, {Fd: int32(w.fd), Events: unix.POLLPRI}}
	_, err = unix.Poll(fds[:], milliseconds)
	switch {
	case fds[0].Revents != 0:
		w.last()
		return true, nil
	case fds[1].Revents == 0:
	case w.read():
		w.seen = time.Now()
	default: // the cgroup is gone, and would be ready for ever
		unix.Close(w.fd)
		w.fd = -1
	}
	if err == unix.EINTR {
		err = nil
	}
	return false, err
}

// oomKills counts the processes of the container that the kernel killed for
// memory, as far as it is known.
func (c *Container) oomKills() uint64 {
	w := c.watchOOM()
	w.close()
	return w.kills
}

// keepOOMKills writes the count to state.json when there is something to tell.
// The container may be gone.
func (c *Container) keepOOMKills(n uint64) {
	if n == c.State.Cgroup.OOMKills {
		return
	}
	c.State.Cgroup.OOMKills = n
	now, err := c.runtime.Open(c.ID)
	if err != nil {
		return
	}
	defer now.Close()
	if now.State.Init() != c.State.Init() {
		return
	}
	now.State.Cgroup.OOMKills = n
	if err := now.save(); err != nil {
		c.runtime.warn("%v", err)
	}
}

// oomError says that init was killed for memory before the program ran.
type oomError struct {
	limit int64
	sure  bool
	cause error
}

func (e *oomError) Error() string {
	if e.sure {
		return fmt.Sprintf("out of memory (OOM): the kernel killed init before the container's program ran, "+
			"since it needs more than %d bytes (linux.resources.memory.limit)", e.limit)
	}
	return fmt.Sprintf("%v (it may need more than linux.resources.memory.limit, %d bytes)", e.cause, e.limit)
}

func (e *oomError) Unwrap() error { return e.cause }

// Hint is the advice for it.
func (e *oomError) Hint() string { return "raise linux.resources.memory.limit" }

// small is a memory limit that is suspected first: no libc's program with a
// few libraries starts in less.
const small = 1 << 20

// explainOOM recognizes a start that failed for want of memory.
func (c *Container) explainOOM(err error, s *specs.Spec) error {
	res := resources(s)
	if err == nil || res == nil || res.Memory == nil || res.Memory.Limit == nil || *res.Memory.Limit < 0 {
		return err
	}
	e := &oomError{limit: *res.Memory.Limit, sure: c.oomKills() > 0, cause: err}
	if e.sure || e.limit <= small && errors.Is(err, launch.ErrDied) {
		return e
	}
	return err
}

// frozenAbove refuses a cgroup that is frozen, or below one that is: init would
// stand still, and whoever waits for it too.
func frozenAbove(dir *live.Dir) error {
	if !dir.Freezes() {
		return nil
	}
	return &frozenError{dir.Path()}
}

type frozenError struct{ path string }

func (e *frozenError) Error() string {
	return "the cgroup " + e.path + " is frozen, or one above it is: nothing can start in it"
}

// Hint is the advice for it.
func (e *frozenError) Hint() string {
	return "thaw it first: systemctl --user thaw UNIT, or write 0 to the cgroup.freeze of the cgroup that was frozen"
}
