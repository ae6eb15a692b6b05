package probe

import (
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
)

// Device numbers of Documentation/admin-guide/devices.txt.
const (
	majorMem      = 1
	minorNull     = 3
	majorTTY      = 4
	majorTTYAlt   = 5 // /dev/tty, /dev/console, /dev/ptmx
	majorPTSFirst = 136
	majorPTSLast  = 143
)

// Streams looks at the standard streams of a process. A closed one is not to be
// given away.
func Streams(fds [3]int) []host.Stream {
	list := make([]host.Stream, len(fds))
	for i, fd := range fds {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil {
			list[i] = host.Stream{Give: givable(&st), UID: st.Uid}
		}
	}
	return list
}

// givable tells whether a stream serves this process alone.
func givable(st *unix.Stat_t) bool {
	if st.Mode&unix.S_IFMT != unix.S_IFCHR {
		return true
	}
	major, minor := unix.Major(st.Rdev), unix.Minor(st.Rdev)
	switch {
	case major == majorMem && minor == minorNull, major == majorTTY, major == majorTTYAlt:
		return false
	}
	return major < majorPTSFirst || major > majorPTSLast
}
