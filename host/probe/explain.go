package probe

import (
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
)

// The sysctls that forbid user namespaces, by the names that sysctl(8) takes.
const (
	sysctlClone    = "kernel.unprivileged_userns_clone"
	sysctlAppArmor = "kernel.apparmor_restrict_unprivileged_userns"
)

// ExplainUserNamespaces fills in why this process may not make a user
// namespace, or may make one but do nothing with it: call it after clone(2), a
// map or the first mount failed, and give the result to userns.Unavailable. It
// sets UserNamespaces to false when it finds a reason.
func ExplainUserNamespaces(k *host.Kernel) {
	p := Prober{Facts: &host.Facts{}}
	k.MaxUserNamespaces = int(p.sysctl("/proc/sys/user/max_user_namespaces", 0))
	k.UserNamespaceRestricted = p.restriction()
	k.UserNamespaces = k.MaxUserNamespaces > 0 && k.UserNamespaceRestricted == ""
}

// ExplainProcessLimit fills in why this process may make no other: pids.max of
// its cgroup or of one above it, or else its RLIMIT_NPROC. Call it after clone(2)
// answered EAGAIN.
func ExplainProcessLimit(f *host.Process) {
	p := Prober{Facts: &host.Facts{}}
	if c := p.cgroup(); c.MountPoint != "" {
		f.ProcessLimit = p.fullCgroup(c.MountPoint, c.Path)
	}
	var l unix.Rlimit
	if f.ProcessLimit == "" && unix.Prlimit(0, unix.RLIMIT_NPROC, nil, &l) == nil && l.Cur != unix.RLIM_INFINITY {
		f.ProcessLimit = "RLIMIT_NPROC, which is " + strconv.FormatUint(l.Cur, 10) + ","
	}
}

// fullCgroup names the lowest cgroup at or above one that is at its limit.
func (p *Prober) fullCgroup(mountPoint, at string) string {
	for ; len(at) > 1; at = path.Dir(at) {
		dir := mountPoint + at
		limit, current := p.sysctl(dir+"/pids.max", noLimit), p.sysctl(dir+"/pids.current", 0)
		if current >= limit {
			return "pids.max of the cgroup " + at + ", which is " + strconv.FormatUint(uint64(limit), 10) + ","
		}
	}
	return ""
}

// noLimit is more processes than there can be.
const noLimit = 1 << 31

// restriction names the sysctl that keeps the unprivileged from user
// namespaces: Debian's and Arch's switch (0 forbids), or Ubuntu's (1 restricts
// those without an AppArmor profile that says otherwise, 23.10 and later).
func (p *Prober) restriction() string {
	p.process()
	if p.Facts.Process.Capabilities&(1<<unix.CAP_SYS_ADMIN) != 0 {
		return ""
	}
	if p.sysctl("/proc/sys/kernel/unprivileged_userns_clone", 1) == 0 {
		return sysctlClone
	}
	if p.sysctl("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 0) != 0 && p.unconfined() {
		return sysctlAppArmor
	}
	return ""
}

// unconfined reports whether no AppArmor profile applies. With the restriction
// on, the kernel moves such a process into the profile unprivileged_userns
// when it makes a user namespace, and from there it sees that label. A profile
// may be called "unconfined_x", so the whole label counts.
func (p *Prober) unconfined() bool {
	text, err := p.readFile("/proc/self/attr/apparmor/current")
	if err != nil {
		text, err = p.readFile("/proc/self/attr/current")
	}
	return err == nil && isUnconfined(string(trim(text)))
}

func isUnconfined(label string) bool {
	return label == "unconfined" || label == "unprivileged_userns (enforce)"
}

// sysctl reads a number, or returns the default where it is missing.
func (p *Prober) sysctl(path string, missing uint32) uint32 {
	text, err := p.readFile(path)
	if err != nil {
		return missing
	}
	n, ok := number(trim(text))
	if !ok {
		return missing
	}
	return n
}
