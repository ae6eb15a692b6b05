package store

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/action"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// delete --force must end a container whose state.json is gone, empty or
// damaged: a disk that was full, a machine that lost its power, somebody's hand.
// So who init is, and its cgroup or scope, are written a second time, in another
// way: as the text of a symbolic link, which is there as a whole or not at all,
// and cannot be truncated. The rest is in config.json, or is found by its name.

// WriteInit writes the second record, from a state with an init. It comes before
// init runs anything. A record that is there already is an error, EEXIST.
func (d *Dir) WriteInit(s *State) error {
	if err := unix.Symlinkat(initText(s), d.fd, InitLink); err != nil {
		return fmt.Errorf("record init of container %q: %w", d.ID, err)
	}
	return nil
}

// ReadInit reads the second record into a state that has what the record says:
// init, its PID namespace, its cgroup, and whether delete removes that. An error is an errno (ENOENT
// without a record), or says that it is none.
func (d *Dir) ReadInit() (State, error) {
	var text [unix.PathMax]byte
	at, name := d.at(InitLink)
	n, err := unix.Readlinkat(at, name, text[:])
	if err != nil {
		return State{}, err
	}
	return parseInit(string(text[:n]))
}

// What the link says of a cgroup that is not a scope's: whether it was made for
// the container, and goes with it.
const (
	cgroupMade  = "+"
	cgroupFound = "-"
	// the one above it, with the limits, too
	cgroupsMade = "++"
)

// inNamespace is between a process id and the PID namespace that it is in.
const inNamespace = "@"

// initText is init's process id, with the number of its PID namespace where that is
// known, and its start time; and its cgroup's number, the scope's name or one of the
// above, and the cgroup's path.
func initText(s *State) string {
	made := func(name string) bool {
		return slices.ContainsFunc(s.Undo, func(u action.Undo) bool {
			cgroup, ok := u.(action.RemoveCgroup)
			return ok && cgroup.Path == name
		})
	}
	owner := cgroupFound
	switch {
	case s.Cgroup.LimitsAbove && made(path.Dir(s.Cgroup.Path)):
		owner = cgroupsMade
	case made(s.Cgroup.Path):
		owner = cgroupMade
	}
	if s.Cgroup.Scope != "" {
		owner = s.Cgroup.Scope
	}
	pid := strconv.Itoa(s.Pid)
	if s.PIDNamespace != 0 {
		pid += inNamespace + strconv.FormatUint(s.PIDNamespace, 10)
	}
	return strings.Join([]string{pid, strconv.FormatUint(s.StartTime, 10), strconv.FormatUint(s.Cgroup.Inode, 10), owner,
		s.Cgroup.Path}, " ")
}

var errInitLink = errors.New("it does not say who init is")

func parseInit(text string) (State, error) {
	f := strings.SplitN(text, " ", 5)
	if len(f) < 5 {
		return State{}, errInitLink
	}
	number, namespace, known := strings.Cut(f[0], inNamespace)
	pid, errPid := strconv.Atoi(number)
	var pids uint64
	var errPids error
	if known {
		pids, errPids = strconv.ParseUint(namespace, 10, 64)
	}
	start, errStart := strconv.ParseUint(f[1], 10, 64)
	inode, errInode := strconv.ParseUint(f[2], 10, 64)
	if errors.Join(errPid, errPids, errStart, errInode) != nil || pid < 1 {
		return State{}, errInitLink
	}
	s := State{Version: StateVersion, Pid: pid, PIDNamespace: pids, StartTime: start, Cgroup: Cgroup{Inode: inode, Path: f[4]}}
	switch f[3] {
	case cgroupFound:
	case cgroupsMade:
		s.Cgroup.LimitsAbove = true
		s.Undo = action.Undos{action.RemoveCgroup{Path: path.Dir(f[4])}, action.RemoveCgroup{Path: f[4], Inode: inode}}
	case cgroupMade:
		s.Undo = action.Undos{action.RemoveCgroup{Path: f[4], Inode: inode}}
	default:
		s.Cgroup.Scope = f[3]
	}
	return s, nil
}
