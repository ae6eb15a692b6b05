package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/jsonread"
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
	OCIVersion string `json:"ociVersion"`
	Bundle     string `json:"bundle"`
	Rootfs     string `json:"rootfs"`
	// RootfsDevice and RootfsInode are the root's numbers, where something was made in
	// it that delete removes: by then another directory may have its path.
	RootfsDevice uint64            `json:"rootfsDevice,omitempty"`
	RootfsInode  uint64            `json:"rootfsInode,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	// Created is in UTC.
	Created time.Time `json:"created"`
	// UID is the effective user id of who made the container.
	UID int `json:"uid"`
	// Pid is init's, and StartTime its start in clock ticks since boot, by which
	// a new process with the same id is told; see Init. Pid is 0 before init is
	// made.
	Pid       int    `json:"pid,omitempty"`
	StartTime uint64 `json:"startTime,omitempty"`
	// PIDNamespace is the number of the PID namespace in which these numbers are; 0 in
	// what an older homerun wrote.
	PIDNamespace uint64 `json:"pidNamespace,omitempty"`
	// Users is the user namespace of init; nil in what an older homerun wrote.
	Users *Users `json:"users,omitempty"`
	// Waiter is the process that records how init ended; nil without one.
	Waiter *proc.ID `json:"waiter,omitempty"`
	// Namespaces are the CLONE_NEW* of the namespaces that exec joins.
	Namespaces int `json:"namespaces"`
	// Marked says that the directory's mode says when the container is made; see
	// Dir.Made. It is false in what an older homerun wrote.
	Marked bool `json:"marked,omitempty"`
	// KeepsKeyring says that the program has its caller's session keyring.
	KeepsKeyring bool `json:"keepsKeyring,omitempty"`
	// Foreground says that the runtime waited for init and would have deleted the
	// container: of one that has stopped, a runtime that was killed has left it.
	Foreground bool `json:"foreground,omitempty"`
	// Members says how the processes of a container without a PID namespace of
	// its own are known; nil with one.
	Members *Members `json:"members,omitempty"`
	// Steps is the number after that of the plan's last record (package stage),
	// by which start finds the step that failed.
	Steps int `json:"steps,omitempty"`
	// Chroot says that init's root is not the root of its mount namespace.
	Chroot bool `json:"chroot,omitempty"`
	// Cgroup is where the container's processes are; empty without one.
	Cgroup Cgroup `json:"cgroup,omitzero"`
	// Undo lists what is to be undone by delete, in the order it was made.
	Undo action.Undos `json:"undo,omitempty"`
	// Raw has what of the above is not UTF-8.
	Raw *RawNames `json:"raw,omitempty"`
}

// Cgroup is the container's cgroup.
type Cgroup struct {
	// Manager is systemd, cgroupfs or disabled.
	Manager string `json:"manager,omitempty"`
	// Path is the cgroup's directory, and Inode its number, by which another one
	// of the same name is told.
	Path  string `json:"path,omitempty"`
	Inode uint64 `json:"inode,omitempty"`
	// LimitsAbove says that the cgroup above it has the same limits, which nobody in
	// the container can change. The scope has them in any case.
	LimitsAbove bool `json:"limitsAbove,omitempty"`
	// Scope is the systemd unit's name.
	Scope string `json:"scope,omitempty"`
	// OOMKills counts the processes that the kernel killed for memory, when
	// the container had ended.
	OOMKills uint64 `json:"oomKills,omitempty"`
}

// Users is the user namespace that init is started in.
type Users struct {
	// Inode is its number, or with Above that of the one in which it was made.
	Inode uint64 `json:"inode"`
	Above bool   `json:"above,omitempty"`
}

// Members says how the processes of a container without a PID namespace of its
// own are known.
type Members struct {
	// Inode is that of the mount namespace that was made for the container; 0
	// without one.
	Inode uint64 `json:"mountInode,omitempty"`
	// ID is the same namespace's number that is never given again; 0 where the
	// kernel has none.
	ID uint64 `json:"mountID,omitempty"`
}

// Init names the container's init. It has no number before init is made.
func (s *State) Init() proc.ID { return proc.ID{Pid: s.Pid, StartTime: s.StartTime} }

// ReadState reads state.json. A container without one is still being made, and
// has the state of one without an init. Errors are ErrNotExist when the container
// is gone, ErrDamaged, or say that the file is of a version to come.
func (d *Dir) ReadState() (State, error) {
	text, err := d.ReadFile(StateFile)
	if err == unix.ENOENT {
		var st unix.Stat_t
		if d.stat(&st) != nil || st.Nlink == 0 {
			return State{}, missing(d.ID)
		}
		return State{Version: StateVersion, ID: d.ID}, nil
	}
	switch err {
	case nil:
	case unix.EMFILE, unix.ENFILE, unix.ENOMEM:
		return State{}, fmt.Errorf("read %s: %w", d.FilePath(StateFile), err) // which says nothing of the file
	default:
		return State{}, d.damaged(err)
	}
	s, err := parseState(text)
	switch {
	case err != nil:
		return State{}, d.damaged(err)
	case s.Version > StateVersion:
		return State{}, fmt.Errorf("%s is of version %d, newer than this homerun", d.FilePath(StateFile), s.Version)
	case s.ID != d.ID:
		return State{}, d.damaged(fmt.Errorf("it is that of container %q", s.ID))
	}
	return s, nil
}

//go:generate go run ../hack/gendecoder

// parseState decodes state.json.
func parseState(text []byte) (s State, err error) {
	if len(text) == 0 {
		return State{}, errors.New("it is empty")
	}
	read, err := jsonread.Document(new(jsonread.Reader), text, decodeState)
	if err != nil {
		return State{}, err
	}
	s = *read
	switch {
	case s.Version < 1 || s.Pid < 0:
		return State{}, errors.New("it has no version, or a negative pid")
	}
	s.restoreRaw()
	return s, nil
}

func (d *Dir) damaged(reason error) error {
	return &fault.Error{What: d.FilePath(StateFile) + " is damaged", Why: reason.Error(), Cause: ErrDamaged,
		Hint: "homerun delete --force " + d.ID + " finds the container by what else there is, and ends it"}
}

// ErrDamaged is for a state.json that does not tell what the container is.
var ErrDamaged = errors.New("the state is damaged")

// WriteState writes state.json as a whole: when the disk is full the old one
// stays.
func (d *Dir) WriteState(s *State) error {
	s.keepRaw()
	text, err := s.MarshalJSON()
	if err == nil {
		err = d.ReplaceFile(StateFile, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write the state of container %q: %w", d.ID, err)
	}
	return nil
}
