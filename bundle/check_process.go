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
	c.environment(p.Env, "env")
	c.absolute(p.Cwd, "cwd")
	c.text(p.ApparmorProfile, "apparmorProfile")
	c.text(p.SelinuxLabel, "selinuxLabel")
	c.user(&p.User)
	c.rlimits(p.Rlimits)
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

// rlimitTypes is sorted.
var rlimitTypes = [...]string{
	"RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_LOCKS",
	"RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_RSS",
	"RLIMIT_RTPRIO", "RLIMIT_RTTIME", "RLIMIT_SIGPENDING", "RLIMIT_STACK",
}
