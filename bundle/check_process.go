package bundle

import (
	"math"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// The kernel's limits for /proc/PID/oom_score_adj.
const (
	oomScoreAdjMin = -1000
	oomScoreAdjMax = 1000
)

func (c *checker) process(p *specs.Process) {
	if len(p.Args) == 0 {
		c.report("args", "missing or empty")
	}
	c.texts(p.Args, "args")
	c.texts(p.Env, "env")
	c.absolute(p.Cwd, "cwd")
	c.text(p.ApparmorProfile, "apparmorProfile")
	c.text(p.SelinuxLabel, "selinuxLabel")
	c.user(&p.User)
	c.rlimits(p.Rlimits)
	c.capabilities(p.Capabilities)
	if s := p.OOMScoreAdj; s != nil && (*s < oomScoreAdjMin || *s > oomScoreAdjMax) {
		c.report("oomScoreAdj", "expected %d to %d, found %d", oomScoreAdjMin, oomScoreAdjMax, *s)
	}
}

func (c *checker) user(u *specs.User) {
	c.id(u.UID, "user.uid")
	c.id(u.GID, "user.gid")
	for i, gid := range u.AdditionalGids {
		c.id(gid, "user.additionalGids[]", i)
	}
}

// id refuses ids that are negative to programs with a signed uid_t: they have
// been taken for root (CVE-2024-40635).
func (c *checker) id(id uint32, pattern string, index ...int) {
	if id > math.MaxInt32 {
		c.report(at(pattern, index...), "%d is larger than %d", id, math.MaxInt32)
	}
}

func (c *checker) rlimits(limits []specs.POSIXRlimit) {
	var seen uint64
	for i, limit := range limits {
		bit, known := slices.BinarySearch(rlimitTypes[:], limit.Type)
		switch {
		case !known:
			c.report(at("rlimits[].type", i), "unknown resource limit %q", limit.Type)
		case seen&(1<<bit) != 0:
			c.report(at("rlimits[].type", i), "%q occurs twice", limit.Type)
		case limit.Soft > limit.Hard:
			c.report(at("rlimits[].soft", i), "%d is larger than the hard limit %d", limit.Soft, limit.Hard)
		}
		if known {
			seen |= 1 << bit
		}
	}
}

func (c *checker) capabilities(sets *specs.LinuxCapabilities) {
	if sets == nil {
		return
	}
	c.capabilitySet(sets.Bounding, "capabilities.bounding[]")
	c.capabilitySet(sets.Effective, "capabilities.effective[]")
	c.capabilitySet(sets.Inheritable, "capabilities.inheritable[]")
	c.capabilitySet(sets.Permitted, "capabilities.permitted[]")
	c.capabilitySet(sets.Ambient, "capabilities.ambient[]")
}

// capabilitySet only warns: a config may be made for a newer kernel.
func (c *checker) capabilitySet(names []string, pattern string) {
	for i, name := range names {
		if _, known := slices.BinarySearch(capabilityNames[:], name); !known {
			c.warn(at(pattern, i), "unknown capability %q is ignored", name)
		}
	}
}

// rlimitTypes is sorted.
var rlimitTypes = [...]string{
	"RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_LOCKS",
	"RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS",
	"RLIMIT_RTPRIO", "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK",
}

// capabilityNames is sorted. Source: linux/capability.h.
var capabilityNames = [...]string{
	"CAP_AUDIT_CONTROL", "CAP_AUDIT_READ", "CAP_AUDIT_WRITE", "CAP_BLOCK_SUSPEND", "CAP_BPF",
	"CAP_CHECKPOINT_RESTORE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER",
	"CAP_FSETID", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_KILL", "CAP_LEASE", "CAP_LINUX_IMMUTABLE",
	"CAP_MAC_ADMIN", "CAP_MAC_OVERRIDE", "CAP_MKNOD", "CAP_NET_ADMIN", "CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST", "CAP_NET_RAW", "CAP_PERFMON", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP",
	"CAP_SETUID", "CAP_SYSLOG", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_CHROOT", "CAP_SYS_MODULE",
	"CAP_SYS_NICE", "CAP_SYS_PACCT", "CAP_SYS_PTRACE", "CAP_SYS_RAWIO", "CAP_SYS_RESOURCE",
	"CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_WAKE_ALARM",
}
