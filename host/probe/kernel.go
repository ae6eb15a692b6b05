package probe

import "golang.org/x/sys/unix"

// lastKnown is CAP_CHECKPOINT_RESTORE, the last capability as of Linux 5.9.
const lastKnown = unix.CAP_CHECKPOINT_RESTORE

// lastCapability finds what /proc/sys/kernel/cap_last_cap says with two calls
// instead of three: PR_CAPBSET_READ refuses a number that is no capability.
func lastCapability() int {
	last := lastKnown
	for last < 63 && isCapability(last+1) {
		last++
	}
	for last > 0 && last <= lastKnown && !isCapability(last) {
		last--
	}
	return last
}

func isCapability(n int) bool {
	_, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0)
	return err == nil
}
