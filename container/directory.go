package container

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Theory of operation
//
// What lies in the state root says which processes are killed, which files are
// removed, and which programs run as hooks: with the caller's rights. So each
// verb opens the root once and the container's directory once, looks at what it
// opened (the owner, and who else may write), and reaches all files relative to
// those descriptors. Write access by an access control list shows in the
// group's bits: acl(5).
//
// Two things go by the directory's path, since others open them: the socket's
// directory that a container's mount has as its source (sdnotify.go), and what
// the network helper works with. Nobody but the caller can have put another
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

// markMade says that the container is made.
func (c *Container) markMade() error {
	if c.made {
		return nil
	}
	if err := unix.Fchmod(c.fd, directoryMode|madeMode); err != nil {
		return fmt.Errorf("mark %s as made: %w", c.dir, err)
	}
	c.made = true
	return nil
}

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

// openRoot opens the state root, and refuses one that somebody else owns or can
// write, sticky or not: what is in it may be theirs.
func (r *Runtime) openRoot() (int, error) {
	fd, err := openDirectory(unix.AT_FDCWD, r.Root)
	if err == unix.ENOTDIR || err == unix.ELOOP {
		return -1, fmt.Errorf("the state root %s is not a directory, or is a symbolic link: %w", r.Root, err)
	}
	if err != nil {
		return -1, fmt.Errorf("open the state root %s: %w", r.Root, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("look at the state root %s: %w", r.Root, err)
	}
	if err := private(&st, "the state root "+r.Root, r.Root); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// private refuses a directory that somebody else owns or can write.
func private(st *unix.Stat_t, what, path string) error {
	self := os.Geteuid()
	switch {
	case int(st.Uid) != self:
		return &rootError{fmt.Sprintf("%s belongs to user %d, so user %d does not trust what is in it", what, st.Uid, self),
			"choose another state root: --root DIR"}
	case st.Mode&0o002 != 0:
		return &rootError{fmt.Sprintf("%s can be written by everybody (mode %04o), so what is in it is not trusted", what, st.Mode&0o7777),
			"choose another state root: --root DIR; or, if only you have put something there: chmod go-w " + path}
	case st.Mode&0o020 != 0:
		return &rootError{fmt.Sprintf("%s can be written by group %d (mode %04o), so what is in it is not trusted", what, st.Gid, st.Mode&0o7777),
			"if nobody else is in that group, or has put something there: chmod g-w " + path}
	}
	return nil
}

// rootError is about the state root.
type rootError struct{ text, hint string }

func (e *rootError) Error() string { return e.text }

// Hint is the advice for it.
func (e *rootError) Hint() string { return e.hint }

// makeRoot makes the state root, if it is missing, and opens it.
func (r *Runtime) makeRoot() (int, error) {
	fd, err := r.openRoot()
	if !errors.Is(err, unix.ENOENT) {
		return fd, err
	}
	if err := os.MkdirAll(r.Root, 0o700); err != nil {
		return -1, fmt.Errorf("make the state root %s: %w", r.Root, notWritable(unwrap(err)))
	}
	return r.openRoot()
}

// notWritable adds what helps where the state root cannot be written.
func notWritable(err error) error {
	if err == unix.EROFS || err == unix.EACCES {
		return &placeError{err}
	}
	return err
}

type placeError struct{ errno error }

func (e *placeError) Error() string { return e.errno.Error() }
func (e *placeError) Unwrap() error { return e.errno }

// Hint is the advice for it.
func (e *placeError) Hint() string {
	return "keep the state elsewhere: --root DIR with each verb, or XDG_RUNTIME_DIR, naming a directory that you can write"
}

// checked looks at what was opened as the container's directory.
func (c *Container) checked() error {
	var st unix.Stat_t
	if err := unix.Fstat(c.fd, &st); err != nil {
		return fmt.Errorf("look at %s: %w", c.dir, err)
	}
	if st.Nlink == 0 || st.Mode&unix.S_ISVTX == 0 {
		return c.missing()
	}
	c.made = st.Mode&madeMode != 0
	return private(&st, "the directory of container "+strconv.Quote(c.ID)+", "+c.dir+",", c.dir)
}

// missing says that there is no such container.
func (c *Container) missing() error { return fmt.Errorf("container %q %w", c.ID, ErrNotExist) }

// reach is a path of a file in the container's directory, through its
// descriptor, for what takes a path only.
func (c *Container) reach(name string) string {
	return "/proc/self/fd/" + strconv.Itoa(c.fd) + "/" + name
}

// WriteFile writes a file in the container's directory, in place, since it may
// be mounted. It makes a missing one, with mode 0644, if create says so; else
// that is an error, os.ErrNotExist.
func (c *Container) WriteFile(name string, text []byte, create bool) error {
	flags := unix.O_WRONLY | unix.O_TRUNC | unix.O_NOFOLLOW | unix.O_NONBLOCK
	if create {
		flags |= unix.O_CREAT
	}
	fd, err := c.openFile(name, flags, 0o644)
	if err != nil {
		return fmt.Errorf("open %s: %w", c.file(name), err)
	}
	defer unix.Close(fd)
	if create {
		err = unix.Fchmod(fd, 0o644) // whatever the umask: the container reads it
	}
	if err == nil {
		err = writeAll(fd, text)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", c.file(name), err)
	}
	return nil
}

// openFile opens a file in the container's directory. An error is an errno.
func (c *Container) openFile(name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(c.fd, name, flags|unix.O_CLOEXEC, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// replaceFile writes a file of the container's so that a reader sees the old or
// the new content. When the disk is full the old one stays.
func (c *Container) replaceFile(name string, text []byte) error {
	temporary := "." + name + "." + strconv.Itoa(os.Getpid())
	err := c.writeFile(temporary, text)
	if err == nil {
		err = unix.Renameat(c.fd, temporary, c.fd, name)
	}
	if err != nil {
		_ = unix.Unlinkat(c.fd, temporary, 0)
	}
	return err
}

// writeFile is os.WriteFile without the network poller that an os.File sets up.
// An error is an errno.
func (c *Container) writeFile(name string, text []byte) error {
	fd, err := c.openFile(name, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return writeAll(fd, text)
}

// removeDirectory removes the container's files and then its name. state.json
// goes last, and before it what finds the container without.
func (c *Container) removeDirectory() error {
	for _, name := range []string{startFIFO, outcomeFIFO, exitFile, configFile, initLink, stateFile} {
		_ = unix.Unlinkat(c.fd, name, 0)
	}
	err := unix.Unlinkat(c.root, c.ID, unix.AT_REMOVEDIR)
	if err == unix.ENOTEMPTY || err == unix.EEXIST {
		if err = removeBelow(c.fd); err == nil {
			err = unix.Unlinkat(c.root, c.ID, unix.AT_REMOVEDIR)
		}
	}
	if err != nil && err != unix.ENOENT {
		return fmt.Errorf("remove %s: %w", c.dir, err)
	}
	return nil
}

// removeBelow removes all that is in a directory, following nothing.
func removeBelow(dir int) error {
	names, err := namesIn(dir)
	for _, name := range names {
		e := unix.Unlinkat(dir, name, 0)
		if e == unix.EISDIR {
			var fd int
			if fd, e = openDirectory(dir, name); e == nil {
				e = removeBelow(fd)
				unix.Close(fd)
			}
			if e == nil {
				e = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
			}
		}
		if e != nil && e != unix.ENOENT && err == nil {
			err = fmt.Errorf("%s: %w", name, e)
		}
	}
	return err
}

// namesIn lists an open directory.
func namesIn(dir int) ([]string, error) {
	fd, err := openDirectory(dir, ".") // with a position of its own
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), ".")
	defer f.Close()
	names, err := f.Readdirnames(-1)
	return names, unwrap(err)
}
