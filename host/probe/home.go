package probe

import (
	"bytes"
	"errors"
	"strings"

	"github.com/homerun-oci/homerun/descriptor"
	"golang.org/x/sys/unix"
)

// maxPasswd bounds what is read of the container's /etc/passwd, which may be
// anything.
const maxPasswd = 1 << 20

// home finds the home directory of a user in the root's /etc/passwd. That of a bind
// mount over it counts for nothing.
func (p *Prober) home(root int, uid uint32) {
	home := ""
	if text, err := ReadInRoot(root, "etc/passwd", maxPasswd); err == nil {
		home = HomeOf(text, uid)
	}
	p.Facts.Home = &home
}

// Why a file of a hostile tree is not read.
var (
	errNotRegular = errors.New("it is not a regular file")
	errTooLarge   = errors.New("it is too large")
	errLeased     = errors.New("a process holds a lease on it")
)

// ReadInRoot reads a regular file of a hostile tree, whatever it and the way to
// it are, of at most limit bytes: of more, a part could say what nobody wrote
// (CVE-2026-47262). The kernel keeps symbolic links inside the tree. It waits for
// nobody: the file is opened as O_PATH first, since opening a FIFO wakes its
// writer and opening a device may do anything; files of procfs, some of which
// make their readers wait, have no size and are not read; and O_NONBLOCK makes a
// lease an error (fcntl(2), F_SETLEASE). Only the file system itself can be slow.
func ReadInRoot(root int, path string, limit int) ([]byte, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	pinned, err := unix.Openat2(root, path, &how)
	if err != nil {
		return nil, err
	}
	defer unix.Close(pinned)
	var st unix.Stat_t
	switch err := unix.Fstat(pinned, &st); {
	case err != nil:
		return nil, err
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, errNotRegular
	case st.Size > int64(limit):
		return nil, errTooLarge
	case st.Size == 0:
		return nil, nil
	}
	fd, err := openat(unix.AT_FDCWD, descriptor.Path(pinned), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err == unix.EWOULDBLOCK {
		err = errLeased
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return readUpTo(fd, int(st.Size))
}

// readUpTo reads a file that is no larger than size.
func readUpTo(fd, size int) ([]byte, error) {
	buf := make([]byte, size+1)
	for n := 0; n < len(buf); {
		m, err := unix.Read(fd, buf[n:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, err
		case m == 0:
			return buf[:n], nil
		}
		n += max(m, 0)
	}
	return nil, errTooLarge
}

// HomeOf finds a uid's home directory in a text like passwd(5); "" when it has
// none that could be one. The first line counts, as for getpwuid(3).
func HomeOf(passwd []byte, uid uint32) string {
	for len(passwd) > 0 {
		var line []byte
		line, passwd, _ = bytes.Cut(passwd, []byte{'\n'})
		f := bytes.SplitN(line, []byte{':'}, 7)
		if len(f) < 6 {
			continue
		}
		if n, ok := number(f[2]); ok && n == uid && len(f[0]) > 0 && f[0][0] != '+' && f[0][0] != '-' {
			return safeHome(string(f[5]))
		}
	}
	return ""
}

// safeHome refuses what is no directory's name: relative, longer than any path
// (PATH_MAX), or with bytes that a terminal or a shell acts on.
func safeHome(home string) string {
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	if !strings.HasPrefix(home, "/") || len(home) >= unix.PathMax || strings.ContainsFunc(home, control) {
		return ""
	}
	return home
}
