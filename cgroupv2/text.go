package cgroupv2

import (
	"strconv"

	"golang.org/x/sys/unix"
)

func quote(s string) string { return strconv.Quote(s) }

// errnoText names an errno as the last word of a line. ENOENT goes without
// its phrase: podman and docker read "no such file or directory" anywhere in a
// runtime's message as "the command does not exist" (CONTRACT 1.9).
func errnoText(errno unix.Errno) string {
	name := unix.ErrnoName(errno)
	if errno == unix.ENOENT {
		return name
	}
	return errno.Error() + " (" + name + ")"
}
