package probe

import (
	"golang.org/x/sys/unix"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// kernel tries the features that the config needs.
func (p *prober) kernel() {
	k := &p.facts.Kernel
	k.Release = release()
	k.LastCapability = lastCapability()
	k.MountSetattr = hasMountSetattr()
	k.OpenTreeNamespace = hasOpenTreeNamespace()
	// /proc/self/ns/user was there: the kernel has them. Whether this
	// process may make one, only clone(2) can say; ExplainUserNamespaces
	// finds out why not.
	k.UserNamespaces = true
	k.TimeNamespace = p.wants(specs.TimeNamespace) && exists("/proc/self/ns/time")
	k.CgroupNamespace = p.wants(specs.CgroupNamespace) && exists("/proc/self/ns/cgroup")
	k.Seccomp = p.linux().Seccomp != nil && hasSeccompFilter()
}

func (p *prober) wants(t specs.LinuxNamespaceType) bool { return p.namespace(t) != nil }

func release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

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

// noFlags is a set of flag bits that no system call defines, so each that
// checks its flags first answers EINVAL.
const noFlags = 1 << 30

// hasMountSetattr: mount_setattr(2), Linux 5.12. Bad flags are refused before
// the caller's privilege is looked at, so EINVAL is a yes. ENOSYS is a no, and
// so is the EPERM of an outer container's seccomp filter.
func hasMountSetattr() bool {
	return unix.MountSetattr(-1, "", noFlags, &unix.MountAttr{}) == unix.EINVAL
}

// openTreeNamespace is OPEN_TREE_NAMESPACE of <linux/mount.h>, Linux 7.0.
const openTreeNamespace = 1 << 1

// hasOpenTreeNamespace tries the flag on a closed descriptor: EINVAL where the
// kernel does not know it, else EPERM or EBADF, by the caller's privilege.
// EPERM could also be a seccomp filter's, so an unknown flag is tried then.
func hasOpenTreeNamespace() bool {
	_, err := unix.OpenTree(-1, "", openTreeNamespace|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	switch err {
	case unix.EBADF:
		return true
	case unix.EPERM:
		_, err = unix.OpenTree(-1, "", noFlags)
		return err == unix.EINVAL
	}
	return false
}

// hasSeccompFilter: SECCOMP_MODE_FILTER with a null filter is EFAULT where the
// kernel filters, else EINVAL (prctl(2), Linux 3.5).
func hasSeccompFilter() bool {
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, 0, 0, 0) == unix.EFAULT
}

func exists(path string) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.F_OK, 0) == nil
}
