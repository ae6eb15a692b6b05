package store

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Theory of operation
//
// Who records how init ended has no memory and no library but the system calls
// of a plan: package compile, InputExit. So the record is the length of a file:
// the wait status and one. It says when by its modification time.

// Exit is how a container's init ended.
type Exit struct {
	// Status is the exit status: 128 and the signal's number when a signal
	// ended it.
	Status int `json:"status"`
	// Signal is that signal's name, as SIGKILL; empty without one.
	Signal string `json:"signal,omitempty"`
	// Time is when it was recorded, in UTC.
	Time time.Time `json:"time"`
}

// NewExit is what a wait status says, now: wait(2).
func NewExit(status unix.WaitStatus) *Exit {
	e := &Exit{Status: status.ExitStatus(), Time: time.Now().UTC()}
	if status.Signaled() {
		e.Status, e.Signal = 128+int(status.Signal()), unix.SignalName(status.Signal())
	}
	return e
}

// String is the status in words.
func (e *Exit) String() string {
	if e.Signal != "" {
		return "killed by " + e.Signal
	}
	return "exit status " + strconv.Itoa(e.Status)
}

// ReadExit reads how init ended, once it has; nil when that is not recorded.
func (d *Dir) ReadExit() (*Exit, error) {
	fd, err := d.OpenFile(ExitFile, unix.O_RDONLY|unix.O_NONBLOCK)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the exit record of container %q: %w", d.ID, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Size == 0 {
		return nil, err
	}
	e := NewExit(unix.WaitStatus(st.Size - 1))
	e.Time = time.Unix(st.Mtim.Unix()).UTC()
	return e, nil
}

// WriteExit records how init ended, for a caller that was told. A record that is
// there already stays, also one that is not written yet.
func (d *Dir) WriteExit(status unix.WaitStatus) error {
	fd, err := d.MakeExit()
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	if err == nil {
		defer unix.Close(fd)
		err = unix.Ftruncate(fd, int64(status)+1) // no byte is written: the disk may be full
	}
	if err != nil {
		return fmt.Errorf("write the exit record of container %q: %w", d.ID, err)
	}
	return nil
}

// MakeExit makes an empty record and opens it for who will write it. The
// descriptor is the caller's; an error is an errno.
func (d *Dir) MakeExit() (int, error) {
	return d.openFile(ExitFile, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
}
