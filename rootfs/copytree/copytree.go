// Package copytree copies a directory with all below it into an empty one, both
// open, for the mount option tmpcopyup. It fills the store of an overlay, too.
//
// # Theory of operation
//
// The tree belongs to the enemy, who may change it meanwhile. No path has more
// than one component, each is resolved in a directory that is open, and none is
// a symbolic link that is followed (O_NOFOLLOW), so nothing leads out. A FIFO or
// a lease cannot keep the copier waiting (O_NONBLOCK), a file that became
// something else is an error, and the caller's mount of the tree has nodev. No
// more is copied of a file than it had when it was opened. The new directory is
// seen by nobody else.
package copytree

import (
	"context"
	"fmt"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"
)

// Options say what is copied beside names, modes, owners and contents.
type Options struct {
	// Mode and Owner give the new directory itself those of the old one.
	Mode, Owner bool
	// Devices makes device nodes; they are left out otherwise.
	Devices bool
	// Layers are the parts of a root, each with an upper directory in the store of an
	// overlay, which is filled in place of a copy.
	Layers []string
}

// copier is the state of a copy.
type copier struct {
	ctx     context.Context
	options Options
	path    []string
	store   unix.Stat_t // that is filled
	buffer  [64 << 10]byte
}

// Copy copies what is in the directory from, with the credentials of the
// calling process, which both descriptors may be O_PATH ones of; with Layers it fills
// the store to of an overlay over from, unless that was done before. An owner who
// has no id in the process's user namespace becomes the process's. The error is
// a *fault.Error, or the context's.
func Copy(ctx context.Context, from, to int, o Options) error {
	c := &copier{ctx: ctx, options: o}
	if len(o.Layers) > 0 {
		return c.fill(from, to)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(from, "", &st, unix.AT_EMPTY_PATH); err != nil {
		return c.failed("fstatat", err)
	}
	return c.directory(from, to, ".", &st, true)
}

func (c *copier) failed(call string, err error) error {
	errno, ok := err.(unix.Errno)
	if !ok {
		return err
	}
	path := "."
	if len(c.path) > 0 {
		path = strings.Join(c.path, "/")
	}
	return &fault.Error{What: fmt.Sprintf("copy %q", path), Why: fmt.Sprintf("%s: %v (%s)", call, errno, unix.ErrnoName(errno)), Errno: errno}
}

const openDirectory = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// directory copies the directory name of from into that of to, which exists.
// Its mode comes last: it may not let its owner write.
func (c *copier) directory(from, to int, name string, st *unix.Stat_t, top bool) error {
	in, err := unix.Openat(from, name, openDirectory, 0)
	if err != nil {
		return c.failed("openat", err)
	}
	defer unix.Close(in)
	out, err := unix.Openat(to, name, openDirectory, 0)
	if err != nil {
		return c.failed("openat", err)
	}
	defer unix.Close(out)
	if err := c.entries(in, out); err != nil {
		return err
	}
	if top {
		return c.attributes(in, out, st, c.options)
	}
	return c.attributes(in, out, st, Options{Owner: true, Mode: true})
}

// entries copies what is in a directory.
func (c *copier) entries(in, out int) error {
	for {
		n, err := unix.ReadDirent(in, c.buffer[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return c.failed("getdents64", err)
		}
		if n == 0 {
			return nil
		}
		_, _, names := unix.ParseDirent(c.buffer[:n], -1, nil)
		for _, name := range names {
			c.path = append(c.path, name)
			if err := c.entry(in, out, name); err != nil {
				return err
			}
			c.path = c.path[:len(c.path)-1]
		}
	}
}

// entry copies one file.
func (c *copier) entry(in, out int, name string) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(in, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return c.failed("fstatat", err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if err := unix.Mkdirat(out, name, 0o700); err != nil {
			return c.failed("mkdirat", err)
		}
		return c.directory(in, out, name, &st, false)
	case unix.S_IFREG:
		return c.file(in, out, name)
	case unix.S_IFLNK:
		return c.link(in, out, name, &st)
	case unix.S_IFCHR, unix.S_IFBLK:
		if !c.options.Devices {
			return nil
		}
	}
	return c.node(out, name, &st)
}

func (c *copier) link(in, out int, name string, st *unix.Stat_t) error {
	n, err := unix.Readlinkat(in, name, c.buffer[:unix.PathMax])
	if err != nil {
		return c.failed("readlinkat", err)
	}
	if err := unix.Symlinkat(string(c.buffer[:n]), out, name); err != nil {
		return c.failed("symlinkat", err)
	}
	return c.owner(out, name, st)
}

// node makes a FIFO, a socket or a device.
func (c *copier) node(out int, name string, st *unix.Stat_t) error {
	if err := unix.Mknodat(out, name, st.Mode&unix.S_IFMT, int(st.Rdev)); err != nil {
		return c.failed("mknodat", err)
	}
	if err := c.owner(out, name, st); err != nil {
		return err
	}
	if err := unix.Fchmodat(out, name, st.Mode&0o7777, 0); err != nil {
		return c.failed("fchmodat", err)
	}
	return nil
}

// owner gives a new file its owner. EINVAL says that this is nobody here.
func (c *copier) owner(out int, name string, st *unix.Stat_t) error {
	err := unix.Fchownat(out, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW)
	if err != nil && err != unix.EINVAL {
		return c.failed("fchownat", err)
	}
	return nil
}

// file copies a regular file.
func (c *copier) file(from, to int, name string) error {
	in, err := unix.Openat(from, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return c.failed("openat", err)
	}
	defer unix.Close(in)
	var st unix.Stat_t
	if err := unix.Fstat(in, &st); err != nil {
		return c.failed("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return c.failed("fstat", unix.ESTALE) // it was one just now
	}
	out, err := unix.Openat(to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return c.failed("openat", err)
	}
	defer unix.Close(out)
	if err := c.contents(in, out, st.Size); err != nil {
		return err
	}
	return c.attributes(in, out, &st, Options{Owner: true, Mode: true})
}

// contents copies a file's data, and leaves its holes: lseek(2).
func (c *copier) contents(in, out int, size int64) error {
	for at := int64(0); at < size; {
		start, err := unix.Seek(in, at, unix.SEEK_DATA)
		if err == unix.ENXIO {
			break // there is a hole up to the end
		} else if err != nil {
			start = at
		}
		end, err := unix.Seek(in, start, unix.SEEK_HOLE)
		if err != nil || end > size {
			end = size
		}
		if end <= start {
			break // it grows, or has shrunk
		}
		if err := c.extent(in, out, start, end); err != nil {
			return err
		}
		at = end
	}
	if err := unix.Ftruncate(out, size); err != nil {
		return c.failed("ftruncate", err)
	}
	return nil
}

// extent copies the bytes from start to end.
func (c *copier) extent(in, out int, start, end int64) error {
	if _, err := unix.Seek(out, start, unix.SEEK_SET); err != nil {
		return c.failed("lseek", err)
	}
	for start < end {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		n, err := unix.Sendfile(out, in, &start, int(min(end-start, 8<<20)))
		switch {
		case err == unix.EINTR || err == unix.EAGAIN:
		case err != nil:
			return c.failed("sendfile", err)
		case n == 0:
			return nil // it has shrunk
		}
	}
	return nil
}

// attributes gives an open file its owner and mode, if the options say so, and
// its extended attributes, in the order in which none takes another away.
func (c *copier) attributes(in, out int, st *unix.Stat_t, which Options) error {
	if which.Owner {
		if err := unix.Fchown(out, int(st.Uid), int(st.Gid)); err != nil && err != unix.EINVAL {
			return c.failed("fchown", err)
		}
	}
	if which.Mode {
		if err := unix.Fchmod(out, st.Mode&0o7777); err != nil {
			return c.failed("fchmod", err)
		}
	}
	return c.xattrs(in, out)
}

// xattrs copies extended attributes. What the new file system does not take, or
// the process may not set, is left out: the file is then less privileged, never
// more. The SELinux label is the mount's to decide.
func (c *copier) xattrs(in, out int) error {
	list := make([]byte, 64<<10) // the most there can be: xattr(7)
	n, err := unix.Flistxattr(in, list)
	if err != nil || n == 0 {
		return nil
	}
	value := make([]byte, 64<<10)
	for _, name := range strings.Split(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		if name == "security.selinux" {
			continue
		}
		n, err := unix.Fgetxattr(in, name, value)
		if err != nil {
			continue // the caller may not see it
		}
		switch err := unix.Fsetxattr(out, name, value[:n], 0); err {
		case nil, unix.EOPNOTSUPP, unix.EPERM, unix.EINVAL:
		default:
			return c.failed("fsetxattr", err)
		}
	}
	return nil
}
