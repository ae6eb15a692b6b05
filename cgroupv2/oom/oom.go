// Package oom counts whom the kernel killed for memory in a cgroup, and tells a start
// that failed for want of it.
//
// # Theory of operation
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
// look at both is the scope's, if that look was a moment ago: the first one, before
// the program ran, or that at a notice, which reaching the limit gives before a kill.
package oom

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"strconv"
	"time"

	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/proc"
	"golang.org/x/sys/unix"
)

// Watch counts kills while somebody waits. It is a value of one caller: not safe for
// concurrent use.
type Watch struct {
	// Kills is the count so far.
	Kills uint64

	fd    int       // memory.events of the cgroup; -1
	above int       // that of the one above; -1
	other uint64    // its kills that are not ours
	seen  time.Time // when both were looked at last
}

// recent is for how long a count of the slice's other kills holds: long enough for a busy
// machine, where half a second was not.
const recent = 2 * time.Second

// New begins to count in a cgroup, of which that many kills are known; with above in
// the one above it too, as for a scope. Without a memory controller there is no such
// file, and without a cgroup ("") nothing to count. Close it.
func New(dir string, above bool, known uint64) *Watch {
	w := &Watch{Kills: known, fd: -1, above: -1}
	if dir == "" {
		return w
	}
	w.fd = openEvents(dir)
	if w.fd >= 0 && above {
		w.above = openEvents(path.Dir(dir))
	}
	w.read()
	return w
}

func openEvents(dir string) int {
	fd, err := unix.Open(dir+"/memory.events", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

// Close ends the counting; Kills stays.
func (w *Watch) Close() {
	descriptor.Close(&w.fd)
	descriptor.Close(&w.above)
}

// read looks at the counts, which also arms the next notice. It is false when
// the cgroup is gone; what was seen stays.
func (w *Watch) read() bool {
	all, _ := readKills(w.above)
	own, ok := readKills(w.fd)
	if ok {
		w.Kills = max(w.Kills, own)
		w.other, w.seen = max(all, own)-own, time.Now()
	}
	return ok
}

// last is the read when the process has ended.
func (w *Watch) last() {
	if w.read() || time.Since(w.seen) > recent {
		return
	}
	if all, ok := readKills(w.above); ok && all > w.other {
		w.Kills = max(w.Kills, all-w.other)
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

// Wait waits until the process of a pidfd ends, or something happened in the cgroup,
// for the given time at most, or if that is negative for ever. The error is ctx's
// when that ends before.
func (w *Watch) Wait(ctx context.Context, pidfd int, limit time.Duration) (ended bool, err error) {
	fds := [2]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}, {Fd: int32(w.fd), Events: unix.POLLPRI}}
	_, err = proc.Poll(ctx, fds[:], limit)
	switch {
	case fds[0].Revents != 0:
		w.last()
		return true, nil
	case fds[1].Revents == 0:
	case w.read():
	default: // the cgroup is gone, and would be ready for ever
		descriptor.Close(&w.fd)
	}
	return false, err
}

// small is a memory limit that is suspected first, in bytes: no libc's program with a
// few libraries starts in less.
const small = 1 << 20

// Explain recognizes a start that failed for want of memory: err, when there is this
// limit, the kernel has killed so many in the container's cgroup, and died says that
// init ended without a word.
func Explain(err error, limit int64, kills uint64, died bool) error {
	e := &fault.Error{Cause: err, Hint: "raise linux.resources.memory.limit"}
	switch {
	case kills > 0:
		e.What = "out of memory (OOM)"
		e.Why = fmt.Sprintf("the kernel killed init before the container's program ran, since it needs more than %d bytes (linux.resources.memory.limit)", limit)
	case limit <= small && died:
		e.Why = fmt.Sprintf("%v (it may need more than linux.resources.memory.limit, %d bytes)", err, limit)
	default:
		return err
	}
	return e
}
