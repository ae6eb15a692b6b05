package container

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Theory of operation
//
// A pid file is written as a whole: beside it, under a temporary name, and then
// renamed, when the program runs. All that can fail before is done before: a
// program does not run for a pid file that cannot be had.
//
// Others may be able to write in its directory. They must neither guess that
// name, or a link of theirs would have the caller write elsewhere, nor have
// anything there: a name that is taken is an error (O_EXCL). What the pid file
// itself is, a link of theirs too, is replaced, not followed. All is done in the
// directory that was opened first.

// pidFile is a pid file that is about to be written. A nil one stands for none.
type pidFile struct {
	name      string // as the caller has it, for messages
	dir       int
	base      string
	temporary string // in the same directory
	fd        int    // of the temporary file; -1 when there is none
	written   bool
}

// newPidFile opens the pid file's directory, finds a temporary name, and refuses
// what could not be replaced later, when the program runs. Close it. Without a
// name it is nil.
func newPidFile(name string) (*pidFile, error) {
	if name == "" {
		return nil, nil
	}
	dir, base := splitFile(name)
	p := &pidFile{name: name, dir: -1, base: base, fd: -1}
	var random [8]byte
	if _, err := unix.Getrandom(random[:], 0); err != nil {
		return nil, p.problem(err)
	}
	p.temporary = "." + base + "." + hex.EncodeToString(random[:])
	if dir == "" {
		dir = "."
	}
	var err error
	if p.dir, err = unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, p.problem(err)
	}
	if err := p.replaceable(); err != nil {
		unix.Close(p.dir)
		return nil, p.problem(err)
	}
	return p, nil
}

// replaceable looks at what has the pid file's name. In a sticky directory only
// its owner, and the directory's, may rename over a file: inode(7).
func (p *pidFile) replaceable() error {
	var st, dir unix.Stat_t
	err := unix.Fstatat(p.dir, p.base, &st, unix.AT_SYMLINK_NOFOLLOW)
	kind := st.Mode & unix.S_IFMT
	switch self := uint32(os.Geteuid()); {
	case p.base == "", err == nil && kind != unix.S_IFREG && kind != unix.S_IFLNK:
		return errors.New("it is there, and is not a regular file")
	case err != nil || st.Uid == self || self == 0:
		return nil // a missing one, or ours; root may all
	case unix.Fstat(p.dir, &dir) == nil && dir.Mode&unix.S_ISVTX != 0 && dir.Uid != self:
		return unix.EPERM
	}
	return nil
}

func (p *pidFile) problem(err error) error {
	return fmt.Errorf("write the pid file %s: %w", p.name, err)
}

// undo has delete remove what a kill while the pid file is written would leave
// beside it. The pid file itself is the caller's.
func (p *pidFile) undo() (Undo, error) {
	name, err := filepath.Abs(p.name)
	if err != nil {
		return Undo{}, fmt.Errorf("find the current directory, from which the pid file counts: %w", err)
	}
	return Undo{Kind: "file", Name: filepath.Join(filepath.Dir(name), p.temporary)}, nil
}

// create makes the temporary file.
func (p *pidFile) create() (err error) {
	if p == nil {
		return nil
	}
	p.fd, err = unix.Openat(p.dir, p.temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return p.problem(err)
	}
	return nil
}

// write writes a process id to it, once, without a newline, as all callers read it.
func (p *pidFile) write(pid int) error {
	if p == nil || p.written {
		return nil
	}
	p.written = true
	if err := writeAll(p.fd, strconv.AppendInt(nil, int64(pid), 10)); err != nil {
		return p.problem(err)
	}
	return nil
}

// commit gives it its name.
func (p *pidFile) commit() error {
	if p == nil {
		return nil
	}
	if err := unix.Renameat(p.dir, p.temporary, p.dir, p.base); err != nil {
		return p.problem(err)
	}
	closeOnce(&p.fd)
	return nil
}

// close closes the pid file, and removes one that has not got its name.
func (p *pidFile) close() {
	if p == nil {
		return
	}
	if p.fd >= 0 {
		_ = unix.Unlinkat(p.dir, p.temporary, 0)
	}
	closeOnce(&p.fd)
	closeOnce(&p.dir)
}
