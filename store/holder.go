package store

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/bundle"
	"golang.org/x/sys/unix"
)

// Holder is the process that has the directory of an open Dir locked, or 0 where nobody
// has, or one that cannot be seen from here: in a PID namespace outside this process's,
// or on a file system that numbers its devices as it likes (btrfs). One that has ended,
// and left the lock to who has the same open file, is nobody: its number may be
// another's by now, and the kernel still tells it.
func (d *Dir) Holder() int {
	var st unix.Stat_t
	if unix.Fstat(d.fd, &st) != nil {
		return 0
	}
	text, err := bundle.ReadRegular("/proc/locks")
	if err != nil {
		return 0
	}
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	if pid := holder(string(text), file); pid != 0 && holds(pid, file) {
		return pid
	}
	return 0
}

// holds reports whether a process has a file open by which that is locked in its name:
// proc_pid_fdinfo(5).
func holds(pid int, file string) bool {
	dir := "/proc/" + strconv.Itoa(pid) + "/fdinfo"
	descriptors, _ := os.ReadDir(dir) // of one that is another user's nothing is seen
	return slices.ContainsFunc(descriptors, func(d os.DirEntry) bool {
		text, err := bundle.ReadRegular(dir + "/" + d.Name())
		return err == nil && holder(strings.ReplaceAll(string(text), "lock:", ""), file) == pid
	})
}

// holder finds in /proc/locks, proc_locks(5), who has a file locked. Who waits for a lock
// has an arrow in the second field.
func holder(locks, file string) int {
	for line := range strings.Lines(locks) {
		f := strings.Fields(line)
		if len(f) > 5 && f[1] == "FLOCK" && f[5] == file {
			pid, _ := strconv.Atoi(f[4])
			return max(pid, 0)
		}
	}
	return 0
}
