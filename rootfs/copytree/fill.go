package copytree

import (
	"encoding/binary"
	"path"
	"strings"

	"github.com/homerun-oci/homerun/rootfs"
	"golang.org/x/sys/unix"
)

// Theory of operation: filling the store of an overlay
//
// In a user namespace nobody may change what belongs to ids that it does not have:
// on the host's / that is everything. In an overlay a directory has the owner that it
// has in the upper layer, so the store begins with all directories, as the
// container's root's own: then files can be made, removed, and replaced, which is what
// package managers do. A file that is opened to be changed is looked at itself; so
// those that programs change in place are copied too, where they may be read, and are
// empty where not: the files of /etc, logs, the lists of installed packages, and
// files that are empty, which are locks. A directory that the caller may not read
// is empty, and opaque: the kernel looks for nothing below it.

const (
	// maxCopied is the size in bytes up to which a file is copied.
	maxCopied = 1 << 20
	// maxDatabase is that of a list of installed packages.
	maxDatabase = 64 << 20
	opaque      = "user.overlay.opaque"
)

// fill fills the store to for an overlay over the directory from.
func (c *copier) fill(from, to int) error {
	var st unix.Stat_t
	if unix.Fstatat(to, rootfs.Filled, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		return nil
	}
	if err := unix.Fstat(to, &c.store); err != nil {
		return c.failed("fstat", err)
	}
	for _, layer := range c.options.Layers {
		in, err := openInside(from, path.Join(".", layer))
		if err != nil {
			continue // nobody may look at it
		}
		out, err := openInside(to, rootfs.UpperPath(layer))
		if err != nil {
			unix.Close(in)
			return c.failed("openat2", err)
		}
		err = c.fillDirectory(in, out, layer)
		unix.Close(in)
		unix.Close(out)
		if err != nil {
			return err
		}
	}
	if err := unix.Mkdirat(to, rootfs.Filled, 0o700); err != nil {
		return c.failed("mkdirat", err)
	}
	return nil
}

func openInside(dir int, name string) (int, error) {
	return unix.Openat2(dir, name, &unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS})
}

// fillDirectory fills one directory; at is its path in the root.
func (c *copier) fillDirectory(in, out int, at string) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	var list []entry
	buffer := make([]byte, 32<<10)
	for {
		n, err := unix.ReadDirent(in, buffer)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			break // what cannot be read is not there
		}
		list = append(list, entries(buffer[:n])...)
	}
	for _, e := range list {
		c.path = append(c.path, e.name)
		err := c.fillEntry(in, out, at, e)
		c.path = c.path[:len(c.path)-1]
		if err != nil {
			return err
		}
	}
	return nil
}

// entry is a name in a directory and its type, DT_* of readdir(3).
type entry struct {
	name string
	kind byte
}

// entries reads what getdents64(2) wrote.
func entries(buf []byte) (list []entry) {
	const header = 19
	for len(buf) > header {
		size := int(binary.NativeEndian.Uint16(buf[16:]))
		name, _, _ := strings.Cut(string(buf[header:size]), "\x00")
		if name != "." && name != ".." {
			list = append(list, entry{name, buf[18]})
		}
		buf = buf[size:]
	}
	return list
}

func (c *copier) fillEntry(in, out int, at string, e entry) error {
	limit := changedInPlace(at)
	if e.kind != unix.DT_DIR && e.kind != unix.DT_UNKNOWN && (e.kind != unix.DT_REG || limit < 0) {
		return nil
	}
	var st unix.Stat_t
	if unix.Fstatat(in, e.name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return nil
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return c.emptyDirectory(in, out, path.Join(at, e.name), e.name, &st)
	case unix.S_IFREG:
		if limit >= 0 && st.Size <= limit {
			return c.changed(in, out, e.name, &st)
		}
	}
	return nil
}

// changedInPlace is the size up to which files of a directory are copied, since
// programs open them to change them; below 0 where they do not.
func changedInPlace(dir string) int64 {
	top, _, _ := strings.Cut(dir, "/")
	switch {
	case dir == "var/lib/dpkg" || dir == "var/lib/rpm" || dir == "usr/lib/sysimage/rpm":
		return maxDatabase
	case top == "etc" || dir == "var/log" || strings.HasPrefix(dir, "var/log/"):
		return maxCopied
	case top == "var":
		return 0
	}
	return -1
}

// emptyDirectory makes a directory and fills it.
func (c *copier) emptyDirectory(in, out int, at, name string, st *unix.Stat_t) error {
	if st.Dev == c.store.Dev && st.Ino == c.store.Ino {
		return nil // the store lies in what it is filled from
	}
	err := unix.Mkdirat(out, name, st.Mode&0o1777)
	if err == nil { // less what the umask takes, which is that of all threads and stays
		err = unix.Fchmodat(out, name, st.Mode&0o1777, 0)
	}
	if err != nil && err != unix.EEXIST {
		return c.failed("mkdirat", err)
	}
	if err := c.ownedByMapped(out, name, st); err != nil {
		return err
	}
	made, err := unix.Openat(out, name, openDirectory, 0)
	if err == unix.EACCES {
		return nil // its mode forbids that to its owner too
	}
	if err != nil {
		return c.failed("openat", err)
	}
	defer unix.Close(made)
	old, err := unix.Openat(in, name, openDirectory, 0)
	if err != nil {
		_ = unix.Fsetxattr(made, opaque, []byte("y"), 0) // from Linux 6.6 on in a tmpfs; else it stays unreadable
		return nil
	}
	defer unix.Close(old)
	return c.fillDirectory(old, made, at)
}

// changed copies a file, or makes an empty one where it cannot be read.
func (c *copier) changed(in, out int, name string, st *unix.Stat_t) error {
	to, err := unix.Openat(out, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, st.Mode&0o777)
	if err == unix.EEXIST {
		return nil // an attempt before was interrupted
	}
	if err != nil {
		return c.failed("openat", err)
	}
	defer unix.Close(to)
	if err := unix.Fchmod(to, st.Mode&0o777); err != nil {
		return c.failed("fchmod", err)
	}
	from, err := unix.Openat(in, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(from)
		if err := c.contents(from, to, st.Size); err != nil {
			return err
		}
	}
	return c.ownedByMapped(out, name, st)
}

// ownedByMapped gives a file the owner that it had, if the container has that one.
func (c *copier) ownedByMapped(out int, name string, st *unix.Stat_t) error {
	const nobody = 65534 // who stands for all whom it does not have
	if st.Uid == 0 && st.Gid == 0 || st.Uid == nobody {
		return nil
	}
	uid, gid := int(st.Uid), int(st.Gid)
	if gid == nobody {
		gid = -1
	}
	if err := unix.Fchownat(out, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil && err != unix.EINVAL {
		return c.failed("fchownat", err)
	}
	return nil
}
