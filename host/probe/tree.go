package probe

import (
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/host"
	"golang.org/x/sys/unix"
)

// Theory of operation: the list for tmpcopyup.
//
// The tree is hostile, so it is walked by descriptors, each directory opened
// with RESOLVE_NO_SYMLINKS below the rootfs, and no other file is opened at
// all. The bounds are checked before a name is kept. Extended attributes have
// no call with a directory descriptor before Linux 6.13, so their path goes
// through /proc/self/fd: the last component is not followed.

// lister is the state of one list.
type lister struct {
	root  int
	tree  host.Tree
	bytes int64
}

// Tree lists what lies below a directory of the rootfs that root is open on.
func Tree(root int, dir string) *host.Tree {
	l := &lister{root: root}
	if err := l.list(dir, ""); err != nil {
		return &host.Tree{Error: errnoName(err)}
	}
	return &l.tree
}

// list adds the directory at dir, whose entries are called prefix + name.
func (l *lister) list(dir, prefix string) error {
	fd, err := openDirectory(l.root, dir)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if prefix == "" {
		if err := l.top(fd); err != nil {
			return err
		}
	}
	names, err := readNames(fd)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := l.add(fd, dir, prefix, name); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) top(fd int) error {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	l.tree.UID, l.tree.GID = int(st.Uid), int(st.Gid)
	return err
}

func openDirectory(root int, path string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: inRoot}
	for tries := 0; ; tries++ {
		fd, err := unix.Openat2(root, path, &how)
		if (err != unix.EAGAIN && err != unix.EINTR) || tries == 64 {
			return fd, err
		}
	}
}

// readNames lists a directory, sorted, so that the same tree gives the same
// facts.
func readNames(fd int) ([]string, error) {
	var names []string
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			slices.Sort(names)
			return names, nil
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
		if len(names) > host.MaxTreeEntries {
			return nil, unix.E2BIG
		}
	}
}

// add adds a file, and if it is a directory what is below it.
func (l *lister) add(fd int, dir, prefix, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	e := host.Entry{Path: prefix + name, Kind: kindOf(st.Mode), Mode: permissions(st.Mode), UID: int(st.Uid), GID: int(st.Gid)}
	switch e.Kind {
	case host.Regular:
		e.Size = st.Size
		l.bytes += st.Size
	case host.Symlink:
		if e.Link = readlink(fd, name); e.Link == "" {
			return unix.EIO
		}
	case host.Character, host.Block:
		e.Rdev = unix.Mkdev(unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev)))
	}
	if e.Kind == host.Regular || e.Kind == host.Directory {
		e.Xattrs = xattrs(descriptor.Path(fd) + "/" + name)
	}
	l.tree.Entries = append(l.tree.Entries, e)
	if len(l.tree.Entries) > host.MaxTreeEntries || l.bytes > host.MaxTreeBytes {
		return unix.E2BIG
	}
	if e.Kind == host.Directory {
		return l.list(dir+"/"+name, e.Path+"/")
	}
	return nil
}

// xattrs reads the extended attributes that the caller may see.
func xattrs(path string) []host.Xattr {
	buf := make([]byte, 4096)
	n, err := unix.Llistxattr(path, buf)
	if err != nil || n == 0 {
		return nil
	}
	var list []host.Xattr
	for _, name := range strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		value := make([]byte, 1024)
		if n, err := unix.Lgetxattr(path, name, value); err == nil {
			list = append(list, host.Xattr{Name: name, Value: value[:n]})
		}
	}
	return list
}

// KernelMounts lists where procfs and sysfs are mounted, those below others
// first, from /proc/self/mountinfo: proc(5).
func KernelMounts() []string {
	text, err := readAll("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var list []string
	for _, line := range strings.Split(string(text), "\n") {
		before, after, ok := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if !ok || len(fields) < 5 {
			continue
		}
		if kind, _, _ := strings.Cut(after, " "); kind == "proc" || kind == "sysfs" {
			list = append(list, unescape(fields[4]))
		}
	}
	slices.Reverse(list)
	return list
}

// readAll reads a file of any size.
func readAll(path string) ([]byte, error) {
	fd, err := openat(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var text []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return text, err
		}
		text = append(text, buf[:n]...)
	}
}

// unescape undoes mountinfo's \ooo.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
