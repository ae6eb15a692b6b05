package probe

import (
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/process"
)

// process measures the runtime's own identity.
func (p *prober) process() {
	f := &p.facts.Process
	f.UID, f.GID = unix.Geteuid(), unix.Getegid()
	f.Groups, _ = unix.Getgroups()
	f.Capabilities = effectiveCapabilities()
	nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	f.NoNewPrivileges = err == nil && nnp == 1
	f.IgnoredSignals = IgnoredSignals()
}

// effectiveCapabilities reads the effective set with capget(2).
func effectiveCapabilities() uint64 {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return 0
	}
	return uint64(data[0].Effective) | uint64(data[1].Effective)<<32
}

// score measures the OOM score, if config.json sets it.
func (p *prober) score() {
	if p.Spec.Process != nil && p.Spec.Process.OOMScoreAdj != nil {
		p.facts.Process.OOMScoreAdj = p.oomScoreAdj()
	}
}

// limits measures the resource limits that config.json sets.
func (p *prober) limits() {
	process := p.Spec.Process
	if process == nil || len(process.Rlimits) == 0 {
		return
	}
	p.facts.Process.Rlimits = make(map[string]host.Rlimit, len(process.Rlimits))
	for i := range process.Rlimits {
		p.rlimit(process.Rlimits[i].Type)
	}
}

// oomScoreAdj is /proc/self/oom_score_adj, -1000 to 1000.
func (p *prober) oomScoreAdj() int {
	text, err := p.readFile("/proc/self/oom_score_adj")
	if err != nil {
		return 0
	}
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		text = text[1:]
	}
	n, _ := number(trim(text))
	if negative {
		return -int(n)
	}
	return int(n)
}

// rlimit reads one limit. The soft RLIMIT_NOFILE is the hard one here: Go
// raises it when a program starts, and gives the old one back on exec.
func (p *prober) rlimit(name string) {
	resource, known := process.Resource(name)
	if !known {
		return
	}
	var l unix.Rlimit
	if unix.Prlimit(0, resource, nil, &l) == nil {
		p.facts.Process.Rlimits[name] = host.Rlimit{Soft: l.Cur, Hard: l.Max}
	}
}

// trim cuts the line feed and blanks at the end of what /proc gives.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == ' ' || b[len(b)-1] == 0) {
		b = b[:len(b)-1]
	}
	return b
}
