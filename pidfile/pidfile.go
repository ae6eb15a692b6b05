// Package pidfile writes a process's id to a file for a caller to read: the
// --pid-file of the command line.
package pidfile

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path"
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

// File is a pid file that is about to be written; see [New]. A nil one stands for
// none, and its methods do nothing. It is for one goroutine.
type File struct {
	name      string // as the caller has it, for messages
	dir       int
	base      string
	temporary string // in the same directory
	fd        int    // of the temporary file; -1 when there is none
	written   bool
}

// New opens the pid file's directory, finds a temporary name, and refuses what
// could not be replaced later, when the program runs: what is there and is
// neither a regular file nor a link, and in a sticky directory what is another
// user's. Errors name the file and wrap the errno. Close it. Without a name it is
// nil.
func New(name string) (*File, error) {
	if name == "" {
		return nil, nil
	}
	dir, base := path.Split(name)
	f := &File{name: name, dir: -1, base: base, fd: -1}
	var random [8]byte
	if _, err := unix.Getrandom(random[:], 0); err != nil {
		return nil, f.problem(err)
	}
	f.temporary = "." + base[:min(len(base), 200)] + "." + hex.EncodeToString(random[:])
	if dir == "" {
		dir = "."
	}
	var err error
	if f.dir, err = unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return nil, f.problem(err)
	}
	if err := f.replaceable(); err != nil {
		unix.Close(f.dir)
		return nil, f.problem(err)
	}
	return f, nil
}

// replaceable looks at what has the pid file's name.
func (f *File) replaceable() error {
	var st, dir unix.Stat_t
	err := unix.Fstatat(f.dir, f.base, &st, unix.AT_SYMLINK_NOFOLLOW)
	kind := st.Mode & unix.S_IFMT
	if f.base != "" && err != nil && err != unix.ENOENT {
		return err
	}
	if f.base == "" || err == nil && kind != unix.S_IFREG && kind != unix.S_IFLNK {
		return errors.New("it is there, and is not a regular file")
	}
	if err == nil && unix.Fstat(f.dir, &dir) == nil && protects(&dir, &st, uint32(os.Geteuid())) {
		return unix.EPERM
	}
	return nil
}

// protects reports whether a directory keeps a file in it from being renamed over by
// a user: in a sticky one only the file's owner may, and the directory's, inode(7),
// and root.
func protects(dir, file *unix.Stat_t, user uint32) bool {
	return dir.Mode&unix.S_ISVTX != 0 && dir.Uid != user && file.Uid != user && user != 0
}

func (f *File) problem(err error) error {
	return fmt.Errorf("write the pid file %s: %w", f.name, err)
}

// Temporary is the absolute path of what a kill while the pid file is written
// would leave beside it; "" for none. The pid file itself is the caller's.
func (f *File) Temporary() (string, error) {
	if f == nil {
		return "", nil
	}
	name, err := filepath.Abs(f.name)
	if err != nil {
		return "", fmt.Errorf("find the current directory, from which the pid file counts: %w", err)
	}
	return filepath.Join(filepath.Dir(name), f.temporary), nil
}

// Create makes the temporary file. A name that is taken is an error.
func (f *File) Create() (err error) {
	if f == nil {
		return nil
	}
	f.fd, err = unix.Openat(f.dir, f.temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return f.problem(err)
	}
	return nil
}

// Write writes a process id to the temporary file, without a newline, as all
// callers read it. What is written already stays.
func (f *File) Write(pid int) error {
	if f == nil || f.written {
		return nil
	}
	f.written = true
	for text := strconv.AppendInt(nil, int64(pid), 10); len(text) > 0; {
		n, err := unix.Write(f.fd, text)
		if err != nil && err != unix.EINTR {
			return f.problem(err)
		}
		text = text[max(n, 0):]
	}
	return nil
}

// Commit gives the temporary file the pid file's name.
func (f *File) Commit() error {
	if f == nil {
		return nil
	}
	if err := unix.Renameat(f.dir, f.temporary, f.dir, f.base); err != nil {
		return f.problem(err)
	}
	unix.Close(f.fd)
	f.fd = -1
	return nil
}

// Close gives up the pid file, and removes one that has not got its name. It may
// be called again.
func (f *File) Close() {
	if f == nil {
		return
	}
	if f.fd >= 0 {
		_ = unix.Unlinkat(f.dir, f.temporary, 0)
		unix.Close(f.fd)
	}
	if f.dir >= 0 {
		unix.Close(f.dir)
	}
	f.fd, f.dir = -1, -1
}
