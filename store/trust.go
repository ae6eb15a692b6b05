package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// What lies in the state root says which processes are killed, which files are
// removed, and which programs run as hooks: with the caller's rights. So each
// verb opens the root once and the container's directory once, looks at what it
// opened (the owner, and who else may write), and reaches all files relative to
// those descriptors. A list, which only reads, looks at directories from the
// root's, in which nobody else can put another one. Write access by an access control list shows in the
// group's bits: acl(5).
//
// Two things go by the directory's path, since others open them: the directory of
// the socket for sd_notify(3), which a container's mount has as its source, and
// what the network helper works with. Nobody but the caller can have put another
// directory at that path: the root's own is closed to others.
//
// A container's directory is told from any other by its sticky bit, which it is
// made with: so `--root /etc` has no containers, and neither have empty
// directories that somebody made in the root, or other runtimes' containers.

// directoryMode is that of a container's directory.
const directoryMode = unix.S_ISVTX | 0o700

// madeMode is added to it when init has come as far as it comes before start, or
// runs the program. Until then init may be where the host's files are still seen.
// One system call says so, where state.json written once more would take many.
const madeMode = unix.S_ISUID

// openDirectory opens a directory, not through a symbolic link. An error is an
// errno.
func openDirectory(at int, name string) (int, error) {
	for {
		fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// open opens the state root, and refuses one that somebody else owns or can
// write, sticky or not: what is in it may be theirs.
func (r Root) open() (int, error) {
	if r == "" { // a Runtime that New has not made
		return -1, errors.New("the state root has no path")
	}
	fd, err := openDirectory(unix.AT_FDCWD, string(r))
	if err == unix.ENOTDIR || err == unix.ELOOP {
		return -1, fmt.Errorf("the state root %s is not a directory, or is a symbolic link: %w", r, err)
	}
	if err != nil {
		return -1, fmt.Errorf("open the state root %s: %w", r, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("look at the state root %s: %w", r, err)
	}
	if err := private(&st, func() string { return "the state root " + string(r) }, string(r)); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// make makes the state root, if it is missing, and opens it.
func (r Root) make() (int, error) {
	fd, err := r.open()
	if !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	if err := os.MkdirAll(string(r), 0o700); err != nil {
		return -1, fmt.Errorf("make the state root %s: %w", r, notWritable(unwrap(err), string(r)))
	}
	return r.open()
}

// private refuses a directory that somebody else owns or can write. What it is, an error says.
func private(st *unix.Stat_t, what func() string, path string) error {
	self := os.Geteuid()
	switch {
	case int(st.Uid) != self:
		return &fault.Error{Why: fmt.Sprintf("%s belongs to user %d, so user %d does not trust what is in it", what(), st.Uid, self),
			Hint: "choose another state root: --root DIR with each verb, or XDG_RUNTIME_DIR, naming a directory of your own; homerun doctor says what to do with this one"}
	case st.Mode&0o002 != 0:
		return &fault.Error{Why: fmt.Sprintf("%s can be written by everybody (mode %04o), so what is in it is not trusted", what(), st.Mode&0o7777),
			Hint: "choose another state root: --root DIR; or, if only you have put something there: chmod go-w " + path}
	case st.Mode&0o020 != 0:
		return &fault.Error{Why: fmt.Sprintf("%s can be written by group %d (mode %04o), so what is in it is not trusted", what(), st.Gid, st.Mode&0o7777),
			Hint: "if nobody else is in that group, or has put something there: chmod g-w " + path}
	}
	return nil
}

// notWritable adds what helps where nothing can be written at a path of the state root.
func notWritable(err error, path string) error {
	switch err {
	case unix.EROFS, unix.EACCES:
		return &fault.Error{Why: err.Error(), Cause: err,
			Hint: "keep the state elsewhere: --root DIR with each verb, or XDG_RUNTIME_DIR, naming a directory that you can write"}
	case unix.ENOSPC, unix.EDQUOT:
		at := mountOf(path)
		return &fault.Error{Why: "the file system at " + at + " is full: " + err.Error(), Cause: err,
			Hint: "remove something there (df " + at + "; df -i " + at + "), or keep the state elsewhere: --root DIR with each verb, or XDG_RUNTIME_DIR"}
	}
	return err
}

// mountOf is the directory that the file system of a path, or of what there is above it,
// is mounted on.
func mountOf(path string) string {
	var st, above unix.Stat_t
	for path != "/" && unix.Stat(path, &st) != nil {
		path = filepath.Dir(path)
	}
	for path != "/" {
		if err := unix.Stat(filepath.Dir(path), &above); err != nil || above.Dev != st.Dev {
			break
		}
		path = filepath.Dir(path)
	}
	return path
}

// unwrap takes the errno out of an *os.PathError, whose words repeat ours.
func unwrap(err error) error {
	if p, ok := err.(*os.PathError); ok {
		return p.Err
	}
	return err
}
