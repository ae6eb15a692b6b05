package main

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// showUnified hides cgroup v1 from what is measured, where a host has both
// versions: crun refuses to run there, and no rootless user is on such a host.
func showUnified() error {
	const all, unified = "/sys/fs/cgroup", "/sys/fs/cgroup/unified"
	if isCgroup2(all) || !isCgroup2(unified) {
		return nil
	}
	// A mount namespace of its own is a thread's; children are started from this one.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount(unified, all, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", unified, all, err)
	}
	return nil
}
