// Package process writes the operations that turn the stage into the
// container's program: user, groups, capabilities, limits, name, working
// directory, and the final execve.
//
// # Theory of operation
//
// The order is fixed by what each step still needs. Limits are raised while
// CAP_SYS_RESOURCE may be there. The bounding set can be lowered only with
// CAP_SETPCAP. Groups come before the group id and that before the user id,
// which would take CAP_SETGID away. Changing the user id from 0 clears the
// permitted set unless PR_SET_KEEPCAPS is on, which execve and the last step
// switch off again; no securebits are needed, since ambient capabilities are
// raised only afterwards. capset then leaves exactly what config.json says, and
// ambient capabilities can be raised only from those permitted and
// inheritable.
//
// The seccomp filter comes last, because it filters the stage's own calls too.
// It needs no_new_privs, which comes just before it, or CAP_SYS_ADMIN: then
// that is kept, and one last capset takes it away under the filter.
//
// The package is pure.
package process

import (
	"strconv"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Resource is the resource of prlimit(2) by its OCI name (config.md, "POSIX
// process"). It is a switch and not a map because a map costs its making at
// each start.
func Resource(name string) (int, bool) {
	switch name {
	case "RLIMIT_AS":
		return unix.RLIMIT_AS, true
	case "RLIMIT_CORE":
		return unix.RLIMIT_CORE, true
	case "RLIMIT_CPU":
		return unix.RLIMIT_CPU, true
	case "RLIMIT_DATA":
		return unix.RLIMIT_DATA, true
	case "RLIMIT_FSIZE":
		return unix.RLIMIT_FSIZE, true
	case "RLIMIT_LOCKS":
		return unix.RLIMIT_LOCKS, true
	case "RLIMIT_MEMLOCK":
		return unix.RLIMIT_MEMLOCK, true
	case "RLIMIT_MSGQUEUE":
		return unix.RLIMIT_MSGQUEUE, true
	case "RLIMIT_NICE":
		return unix.RLIMIT_NICE, true
	case "RLIMIT_NOFILE":
		return unix.RLIMIT_NOFILE, true
	case "RLIMIT_NPROC":
		return unix.RLIMIT_NPROC, true
	case "RLIMIT_RSS":
		return unix.RLIMIT_RSS, true
	case "RLIMIT_RTPRIO":
		return unix.RLIMIT_RTPRIO, true
	case "RLIMIT_RTTIME":
		return unix.RLIMIT_RTTIME, true
	case "RLIMIT_SIGPENDING":
		return unix.RLIMIT_SIGPENDING, true
	case "RLIMIT_STACK":
		return unix.RLIMIT_STACK, true
	}
	return 0, false
}

// Limits writes the resource limits.
func Limits(b *plan.Builder, p *specs.Process) error {
	for i, r := range p.Rlimits {
		n, ok := Resource(r.Type)
		pointer := "process.rlimits[" + strconv.Itoa(i) + "]"
		if !ok {
			return &fault.Error{Place: pointer + ".type", What: "set the limit " + r.Type, Why: "unknown resource limit"}
		}
		b.At(pointer, "set the limit "+r.Type).For(plan.ForLimit, r.Type)
		b.Do(plan.Prlimit64{Resource: n, Soft: r.Soft, Hard: r.Hard})
	}
	return nil
}

// Personality writes the execution domain.
func Personality(b *plan.Builder, p *specs.LinuxPersonality) {
	if p == nil {
		return
	}
	b.At("linux.personality", "set the personality")
	persona := 0
	if p.Domain == specs.PerLinux32 {
		persona = 8
	}
	b.Do(plan.Personality{Persona: persona})
}

// OOMScoreAdj writes the score through the host's procfs, so before any
// namespace of somebody else is joined: what is at /proc there may be anything
// (CVE-2019-16884). Children inherit it. current is the runtime's own score.
func OOMScoreAdj(b *plan.Builder, p *specs.Process, current int) {
	if p.OOMScoreAdj == nil {
		return
	}
	b.At("process.oomScoreAdj", "set the OOM score adjustment")
	file := b.Get("oom", plan.Openat2{DirFD: plan.AtCWD(), Path: "/proc/self/oom_score_adj", Flags: unix.O_WRONLY | unix.O_CLOEXEC})
	var tolerate []plan.Errno
	if *p.OOMScoreAdj < current {
		// Below what a privileged process set, only CAP_SYS_RESOURCE in the
		// first user namespace may go (proc_pid_oom_score_adj(5)): keep what is
		// there, as engines expect.
		tolerate = plan.Ignore(unix.EACCES)
	}
	b.Try(plan.Write{FD: file.Ref(), Data: strconv.Itoa(*p.OOMScoreAdj)}, tolerate...)
	b.Close(file)
}

// LowersOOMScore reports whether the score may be refused, and so is worth a
// warning.
func LowersOOMScore(p *specs.Process, f *host.Facts) bool {
	mayLower := f.UserNamespace.Initial && f.Process.Capabilities&(1<<unix.CAP_SYS_RESOURCE) != 0
	return p.OOMScoreAdj != nil && *p.OOMScoreAdj < OOMScore(f) && !mayLower
}

// OOMScore is the runtime's own score, 0 where it was not measured.
func OOMScore(f *host.Facts) int {
	if f.Process.OOMScoreAdj == nil {
		return 0
	}
	return *f.Process.OOMScoreAdj
}
