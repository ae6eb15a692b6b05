package probe

import (
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
)

// maxFile bounds what is read from /etc: a subuid file with a line for each of
// a hundred thousand users has 3 MB.
const maxFile = 64 << 20

// readFile reads a small file with one open, one read and one close. The
// result lies in p.buf where it fits, so it is good until the next readFile.
func (p *Prober) readFile(path string) ([]byte, error) {
	return readInto(p.buf[:], path)
}

// readInto reads all of a file, first into buf, then into a larger buffer. When
// less than half of buf is full, that was all: a /proc file stops short only
// before a line that does not fit, and no line read here is that long. Else it
// reads on until there is no more. O_NONBLOCK keeps a FIFO from blocking it.
func readInto(buf []byte, path string) ([]byte, error) {
	fd, err := openat(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	n := 0
	for {
		m, err := unix.Read(fd, buf[n:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, err
		}
		n += m
		switch {
		case m == 0 || n < len(buf)/2:
			return buf[:n], nil
		case n < len(buf):
		case len(buf) >= maxFile:
			return nil, unix.EFBIG
		default:
			buf = append(buf, make([]byte, 3*len(buf))...)
		}
	}
}

// openat retries EINTR, which network file systems give when a signal comes.
func openat(dir int, path string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, path, flags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// fields cuts a line at blanks into at most len(out) fields and returns how
// many there are.
func fields(line []byte, out [][]byte) int {
	n := 0
	for i := 0; i < len(line) && n < len(out); {
		if line[i] == ' ' || line[i] == '\t' {
			i++
			continue
		}
		start := i
		for i < len(line) && line[i] != ' ' && line[i] != '\t' {
			i++
		}
		out[n] = line[start:i]
		n++
	}
	return n
}

// number reads an unsigned decimal number of at most 32 bits.
func number(b []byte) (uint32, bool) {
	if len(b) == 0 || len(b) > 10 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return uint32(n), n <= 1<<32-1
}

// errnoName is "ENOENT" for ENOENT, and the error's text for what is no errno.
func errnoName(err error) string {
	errno, ok := err.(unix.Errno)
	if !ok {
		return err.Error()
	}
	if name := unix.ErrnoName(errno); name != "" {
		return name
	}
	return errno.Error()
}

// kindOf translates the type bits of a mode.
func kindOf(mode uint32) host.Kind {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return host.Directory
	case unix.S_IFREG:
		return host.Regular
	case unix.S_IFCHR:
		return host.Character
	case unix.S_IFBLK:
		return host.Block
	case unix.S_IFIFO:
		return host.FIFO
	case unix.S_IFSOCK:
		return host.Socket
	case unix.S_IFLNK:
		return host.Symlink
	}
	return host.Missing
}

// permissions is the mode without the type bits.
func permissions(mode uint32) uint32 { return mode &^ unix.S_IFMT }
