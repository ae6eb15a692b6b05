package main

import (
	"fmt"
	"os"
	"strconv"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/host"
	"golang.org/x/sys/unix"
)

// maxPreserve is more descriptors than a process has (fs.nr_open).
const maxPreserve = 1 << 20

// checkPreserve refuses a --preserve-fds that no process could have.
func checkPreserve(n int) error {
	if n < 0 || n > maxPreserve {
		return fmt.Errorf("--preserve-fds %d: want 0 to %d", n, maxPreserve)
	}
	return nil
}

// files are the first n descriptors from 3 on that this process was started with.
func (o *options) files(n int) []*os.File {
	if o.inherited == nil {
		o.inherited = container.InheritedFiles(n)
	}
	return o.inherited
}

// listenFDs finds the descriptors that a service manager, or who imitates it,
// passes to this very process from 3 on: sd_listen_fds(3).
func listenFDs(getenv func(string) string) host.Listen {
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil || n < 1 || n > maxPreserve || !isMeant(getenv) {
		return host.Listen{}
	}
	return host.Listen{Count: n, Names: getenv("LISTEN_FDNAMES")}
}

// isMeant reports whether the variables are for this process, not for one that
// left them in the environment: by its id, and by its pidfd's where LISTEN_PIDFDID
// (systemd 259) is there and the kernel has such ids.
func isMeant(getenv func(string) string) bool {
	if getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return false
	}
	want := getenv("LISTEN_PIDFDID")
	if want == "" {
		return true
	}
	id, err := pidfdID()
	return err != nil || id == 0 || strconv.FormatUint(id, 10) == want
}

// pidfdID is this process's id that no other one gets before the next boot: its
// pidfd's inode number on pidfs (Linux 6.9); 0 on older kernels.
func pidfdID() (uint64, error) {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	var fs unix.Statfs_t
	var st unix.Stat_t
	if err := unix.Fstatfs(fd, &fs); err != nil || fs.Type != unix.PID_FS_MAGIC {
		return 0, err
	}
	err = unix.Fstat(fd, &st)
	return st.Ino, err
}
