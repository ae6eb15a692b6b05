package probe

import (
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/process"
)

// process measures the runtime's own identity.
func (p *Prober) process() {
	f := &p.Facts.Process
	f.UID, f.GID = unix.Geteuid(), unix.Getegid()
	f.Capabilities = effectiveCapabilities()
	nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	f.NoNewPrivileges = err == nil && nnp == 1
	f.IgnoredSignals = IgnoredSignals()
	// Who may trace all sees all. The first process is another user's, unless the PID namespace is the caller's.
	f.ProcHides = f.Capabilities&(1<<unix.CAP_SYS_PTRACE) == 0 && unix.Access("/proc/1/stat", unix.F_OK) != nil
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

// rlimits measures resource limits.
func (p *Prober) rlimits(names []string) {
	if len(names) == 0 {
		return
	}
	p.Facts.Process.Rlimits = make(map[string]uint64, len(names))
	for _, name := range names {
		p.rlimit(name)
	}
}

// oomScoreAdj is /proc/self/oom_score_adj, -1000 to 1000.
func (p *Prober) oomScoreAdj() int {
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

// rlimit reads one hard limit.
func (p *Prober) rlimit(name string) {
	resource, known := process.Resource(name)
	if !known {
		return
	}
	var l unix.Rlimit
	if unix.Prlimit(0, resource, nil, &l) == nil {
		p.Facts.Process.Rlimits[name] = l.Max
	}
}

// trim cuts the line feed and blanks at the end of what /proc gives.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == ' ' || b[len(b)-1] == 0) {
		b = b[:len(b)-1]
	}
	return b
}
