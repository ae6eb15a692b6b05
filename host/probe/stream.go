package probe

import (
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
)

// Streams looks at the standard streams of a process. A closed one is not to be
// given away.
func Streams(fds [3]int) []host.Stream {
	list := make([]host.Stream, len(fds))
	for i, fd := range fds {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil {
			list[i] = host.Stream{Give: givable(fd, &st)}
		}
	}
	return list
}

// givable reports whether a stream ends with its descriptors: a pipe or a
// socket. What has a name (a file, a FIFO, a disk, a terminal, /dev/null) is
// there after the container, and its owner stays who it was.
func givable(fd int, st *unix.Stat_t) bool {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFSOCK:
		return true
	case unix.S_IFIFO:
		var fs unix.Statfs_t
		return unix.Fstatfs(fd, &fs) == nil && fs.Type == unix.PIPEFS_MAGIC
	}
	return false
}
