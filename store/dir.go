package store

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/proc"
	"golang.org/x/sys/unix"
)

// The files of a container's directory that more than one verb knows.
const (
	// StateFile holds the State as JSON.
	StateFile = "state.json"
	// ConfigFile is the bundle's config.json as it was when the container was made.
	ConfigFile = "config.json"
	// InitLink is a symbolic link whose text is the second record of init; see
	// Dir.WriteInit.
	InitLink = "init"
	// ExitFile says by its length how init ended; see Dir.ReadExit.
	ExitFile = "exit"
	// StartFIFO and OutcomeFIFO are where start and an init that waits for it meet.
	StartFIFO, OutcomeFIFO = "start", "outcome"
	// StepsFile holds the plan's steps after the wait for start, as JSON.
	StepsFile = "steps.json"
	// ResolvFile and HostsFile are what a container with a network of its own has in /etc.
	ResolvFile, HostsFile = "resolv.conf", "hosts"
)

// Dir is a container's directory, open, and locked unless it is of Peek or List;
// or one that is not made yet.
type Dir struct {
	// ID is the container's, and the directory's name in the state root.
	ID     string
	parent Root
	// path is for messages and for other programs.
	path string
	// fd is what is locked, and root the state root's; -1 when closed, never made,
	// or never locked.
	fd, root int
	// among is the state root's of a List, which opens no directory: files are reached
	// from there. Else it is -1.
	among int
	// made is the mark of the directory, as it was when it was looked at.
	made bool
}

// Made reports whether the container was marked as made when its directory was
// last looked at: opened, locked, or Check was called.
func (d *Dir) Made() bool { return d.made }

// MarkMade says that the container is made.
func (d *Dir) MarkMade() error {
	if err := unix.Fchmod(d.fd, directoryMode|madeMode); err != nil {
		return fmt.Errorf("mark %s as made: %w", d.path, err)
	}
	d.made = true
	return nil
}

// AwaitMade waits until the container is marked as made, for the given time at most,
// and reports whether it is. One that is removed meanwhile is ErrNotExist. The error is
// ctx's when that ends before.
func (d *Dir) AwaitMade(ctx context.Context, limit time.Duration) (made bool, err error) {
	so := func() bool {
		err = d.Check()
		return err != nil || d.made
	}
	// The mark is a bit of its mode. Of its end, while it is open, the state root tells.
	if !proc.Becomes(ctx, limit, so, proc.Watch{Path: d.DescriptorPath("."), Events: unix.IN_ATTRIB},
		proc.Watch{Path: d.DescriptorPath(".."), Events: unix.IN_DELETE}) {
		err = ctx.Err()
	}
	return d.made, err
}

// Path is the directory's path. What is at that path is the directory's own only
// as far as the state root is trusted: files are reached by the other methods.
func (d *Dir) Path() string { return d.path }

// FilePath is the path of a file in it, for messages and for other programs.
func (d *Dir) FilePath(name string) string { return d.path + "/" + name }

// DescriptorPath is a path of a file in it that leads through this process's
// descriptor, for calls that take a path only. It holds until the Dir is closed.
func (d *Dir) DescriptorPath(name string) string {
	return descriptor.Path(d.fd) + "/" + name
}

// IsOpen reports whether the directory is open: made, and not closed.
func (d *Dir) IsOpen() bool { return d.fd >= 0 }

// Lock locks the directory again, after Unlock, and waits for whoever has the
// lock, or until ctx ends, whose error is returned then. One that was removed
// meanwhile is ErrNotExist, also when another container has its id by now.
func (d *Dir) Lock(ctx context.Context) error {
	how := unix.LOCK_EX
	if ctx.Done() != nil {
		how |= unix.LOCK_NB // since nothing but a signal ends flock(2)
	}
	for wait := time.Millisecond; ctx.Err() == nil; wait = min(2*wait, mostWait) {
		err := unix.Flock(d.fd, how)
		switch err {
		case nil:
			return d.Check()
		case unix.EINTR:
			continue
		case unix.EWOULDBLOCK:
		default:
			return fmt.Errorf("lock %s: %w", d.path, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return ctx.Err()
}

// mostWait is how long a lock that is free may be noticed late. inotify(7) tells of a
// closed descriptor before the kernel gives its lock back, and a thread left in flock(2)
// would stay until it has the lock, one for each who gave up.
const mostWait = 16 * time.Millisecond

// Unlock gives the lock back. The directory can still be used, and be locked
// again, until it is closed.
func (d *Dir) Unlock() { _ = unix.Flock(d.fd, unix.LOCK_UN) }

// Close gives the lock back, and the descriptors. It may be called again.
func (d *Dir) Close() {
	for _, fd := range [...]*int{&d.fd, &d.root} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
	d.among = -1
}

// Check looks at what was opened as the container's directory: whether it is one,
// whether it may be trusted, and whether the container is made. One that was removed
// is ErrNotExist.
func (d *Dir) Check() error {
	var st unix.Stat_t
	if err := d.stat(&st); err == unix.ENOENT {
		return missing(d.ID)
	} else if err != nil {
		return fmt.Errorf("look at %s: %w", d.path, err)
	}
	if st.Nlink == 0 || st.Mode&(unix.S_IFMT|unix.S_ISVTX) != unix.S_IFDIR|unix.S_ISVTX {
		return missing(d.ID)
	}
	d.made = st.Mode&madeMode != 0
	return private(&st, func() string { return "the directory of container " + strconv.Quote(d.ID) + ", " + d.path + "," }, d.path)
}

// stat looks at the directory. An error is an errno.
func (d *Dir) stat(st *unix.Stat_t) error {
	if d.among >= 0 {
		return unix.Fstatat(d.among, d.ID, st, unix.AT_SYMLINK_NOFOLLOW)
	}
	return unix.Fstat(d.fd, st)
}

// at is where a file is reached: from a descriptor, by a relative path.
func (d *Dir) at(name string) (int, string) {
	if d.among >= 0 {
		return d.among, d.ID + "/" + name
	}
	return d.fd, name
}

// OpenFile opens a file that is there, with open(2)'s flags; the descriptor is
// close-on-exec, and no symbolic link is followed. An error is an errno.
func (d *Dir) OpenFile(name string, flags int) (int, error) {
	return d.openFile(name, flags|unix.O_NOFOLLOW, 0)
}

func (d *Dir) openFile(name string, flags int, mode uint32) (int, error) {
	at, name := d.at(name)
	for {
		fd, err := unix.Openat(at, name, flags|unix.O_CLOEXEC, mode)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// ReadFile reads a regular file of at most 64 MiB. An error is an errno, or says
// that it is none.
func (d *Dir) ReadFile(name string) ([]byte, error) { return bundle.ReadRegularAt(d.at(name)) }

// Config reads the container's config.json, whose paths count from dir, the
// bundle's. Errors are a *fault.Error.
func (d *Dir) Config(dir string) (*bundle.Bundle, error) {
	at, name := d.at(ConfigFile)
	return bundle.LoadAt(at, name, dir)
}

// WriteFile writes a file that only the caller may read. Who reads it meanwhile
// sees a part. An error has an errno.
func (d *Dir) WriteFile(name string, text []byte) error {
	fd, err := d.openFile(name, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return notWritable(err, d.path)
	}
	defer unix.Close(fd)
	return notWritable(writeAll(fd, text), d.path)
}

// ReplaceFile is WriteFile for a file whose readers see the old or the new
// content. When the disk is full the old one stays.
func (d *Dir) ReplaceFile(name string, text []byte) error {
	temporary := "." + name + "." + strconv.Itoa(os.Getpid())
	err := d.WriteFile(temporary, text)
	if err == nil {
		err = unix.Renameat(d.fd, temporary, d.fd, name)
	}
	if err != nil {
		_ = unix.Unlinkat(d.fd, temporary, 0)
	}
	return err
}

// inPlace are the flags of a file that may be mounted in a container.
const inPlace = unix.O_WRONLY | unix.O_TRUNC | unix.O_NOFOLLOW | unix.O_NONBLOCK

// MakeShared makes an empty file that everybody may read, for WriteInPlace.
func (d *Dir) MakeShared(name string) error {
	fd, err := d.openFile(name, inPlace|unix.O_CREAT, 0o644)
	if err != nil {
		return fmt.Errorf("open %s: %w", d.FilePath(name), notWritable(err, d.path))
	}
	defer unix.Close(fd)
	if err := unix.Fchmod(fd, 0o644); err != nil { // whatever the umask: the container reads it
		return fmt.Errorf("write %s: %w", d.FilePath(name), err)
	}
	return nil
}

// WriteInPlace writes a file that is there and may be mounted in a container, so
// it stays the same file.
func (d *Dir) WriteInPlace(name string, text []byte) error {
	fd, err := d.openFile(name, inPlace, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", d.FilePath(name), err)
	}
	defer unix.Close(fd)
	if err := writeAll(fd, text); err != nil {
		return fmt.Errorf("write %s: %w", d.FilePath(name), notWritable(err, d.path))
	}
	return nil
}

// writeAll is what an os.File does, without the network poller that it sets up.
// An error is an errno.
func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil && err != unix.EINTR {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}

// MakeFIFO makes a FIFO and opens both of its ends as one descriptor, which is the
// caller's.
func (d *Dir) MakeFIFO(name string) (int, error) {
	if err := unix.Mknodat(d.fd, name, unix.S_IFIFO|0o600, 0); err != nil {
		return -1, fmt.Errorf("make the FIFO %s: %w", name, err)
	}
	fd, err := d.OpenFile(name, unix.O_RDWR)
	if err != nil {
		return -1, fmt.Errorf("open the FIFO %s: %w", name, err)
	}
	return fd, nil
}

// Has reports whether there is a file of that name, or a link.
func (d *Dir) Has(name string) bool {
	at, name := d.at(name)
	return unix.Faccessat(at, name, unix.F_OK, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// RemoveFile removes a file that others can do without: errors are dropped.
func (d *Dir) RemoveFile(name string) { _ = unix.Unlinkat(d.fd, name, 0) }

// Remove removes all files of a locked directory and then its name, which makes
// the container exist. It follows nothing. state.json goes last, and before it
// what finds the container without. One that was removed is no error. What comes
// meanwhile goes too: the network's helper may end a moment after its container.
func (d *Dir) Remove() error {
	// A list of what is there would cost as much as ten names that are not.
	for _, name := range [...]string{ResolvFile, HostsFile, StartFIFO, OutcomeFIFO, StepsFile, ExitFile, ConfigFile, InitLink, StateFile} {
		d.RemoveFile(name)
	}
	err := unix.Unlinkat(d.root, d.ID, unix.AT_REMOVEDIR)
	for tries := 0; (err == unix.ENOTEMPTY || err == unix.EEXIST) && tries < removals; tries++ {
		if err = removeBelow(d.fd); err == nil {
			err = unix.Unlinkat(d.root, d.ID, unix.AT_REMOVEDIR)
		}
	}
	if err != nil && err != unix.ENOENT {
		return fmt.Errorf("remove %s: %w", d.path, err)
	}
	return nil
}

// removals bounds how often a directory is emptied that somebody fills.
const removals = 100

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
