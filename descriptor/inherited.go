package descriptor

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// CloseInherited closes what whoever started this program has leaked to it, from a number
// on: a pipe of somebody who waits for its end must not live as long as a helper. What came
// through execve(2) has no close-on-exec flag; Go sets it on its own.
func CloseInherited(from int) error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < from {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.Close(fd)
		}
	}
	return nil
}
