package compile

import (
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/process"
	"github.com/homerun-oci/homerun/userns"
	"golang.org/x/sys/unix"
)

// runProgram writes what is the same for init and for exec: from the limits to
// execve.
func (c *compiler) runProgram() error {
	p := c.spec.Process
	process.Personality(c.b, c.spec.Linux.Personality)
	if err := process.MemoryPolicy(c.b, c.spec.Linux.MemoryPolicy); err != nil {
		return err
	}
	if err := process.Limits(c.b, p); err != nil {
		return err
	}
	if !c.wishes.Reaper {
		if err := process.Schedule(c.b, p); err != nil {
			return err
		}
	}
	if err := c.affinity(); err != nil {
		return err
	}
	c.streamsInside()
	c.b.At("default", "close all directories")
	c.b.Do(plan.CloseRange{First: c.keep})
	c.enterDirectory()
	c.awaitRecord()
	c.waitForStart()
	cred := c.credentials()
	waits, err := c.reaper(cred)
	if err != nil {
		return err
	}
	c.become(cred)
	if waits {
		c.awaitReaper()
	}
	env := process.Environment(p.Env, c.home())
	if c.hook != nil {
		c.execHook(env)
		return nil
	}
	process.Exec(c.b, p, env)
	return nil
}

// affinity frees the process from the runtime's CPUs, now that it is in its
// cgroup; or gives it those that exec asks for.
func (c *compiler) affinity() error {
	if c.exec {
		set, err := process.CPUs(c.b, c.spec.Process, "final")
		if set || err != nil {
			return err
		}
	}
	process.AnyCPU(c.b)
	return nil
}

// become writes the change from the container's root to the process's user,
// and the filter.
func (c *compiler) become(cred process.Credentials) {
	p := c.spec.Process
	if c.wishes.Seccomp != nil && !p.NoNewPrivileges {
		cred.Keep = 1 << unix.CAP_SYS_ADMIN // seccomp(2) wants it, or no_new_privs
	}
	c.result.Warnings = append(c.result.Warnings, cred.Set(c.b)...)
	c.enterDirectoryAgain()
	process.NoNewPrivileges(c.b, p)
	c.umask()
	c.b.At("default", "close everything at execve")
	c.b.Do(plan.CloseRange{First: 3 + c.wishes.Preserve, Flags: unix.CLOSE_RANGE_CLOEXEC})
	c.seccomp()
	cred.Drop(c.b)
}

// credentials are those of the process's user.
func (c *compiler) credentials() process.Credentials {
	return process.Credentials{Process: c.spec.Process, Facts: c.facts, GIDs: c.mappedGroups(), Setgroups: c.setgroups,
		Foreign: c.joinsUser(), KeepGroups: c.keepGroups(), Lacking: c.lacking()}
}

// lacking are the capabilities that nobody can give the process: in the caller's own
// user namespace there are none but the caller's.
func (c *compiler) lacking() uint64 {
	if c.ns.newUser || c.ns.initUser || c.joinsUser() {
		return 0
	}
	return ^c.facts.Process.Capabilities
}

// enterDirectory enters the working directory. Where root may not, as on a
// network file system that squashes it, another user still may.
func (c *compiler) enterDirectory() {
	p := c.spec.Process
	c.b.At("process.cwd", "enter the working directory "+p.Cwd)
	if c.entersAgain() {
		c.b.Try(plan.Chdir{Path: p.Cwd}, plan.Ignore(unix.EACCES)...)
		return
	}
	c.b.Do(plan.Chdir{Path: p.Cwd})
}

// enterDirectoryAgain tries as the process's user what root was refused. That
// the first attempt failed shows in the working directory: it is still the root,
// whose name is the only one that fits into two bytes.
func (c *compiler) enterDirectoryAgain() {
	if !c.entersAgain() {
		return
	}
	cwd := c.spec.Process.Cwd
	c.b.At("process.cwd", "enter the working directory "+cwd)
	entered := c.b.Label()
	c.b.Try(plan.Getcwd{Size: 2}, plan.Errno{Errno: unix.ERANGE, To: entered})
	c.b.Do(plan.Chdir{Path: cwd})
	c.b.Place(entered)
}

func (c *compiler) entersAgain() bool {
	return c.spec.Process.User.UID != c.workingUID && strings.Trim(c.spec.Process.Cwd, "/") != ""
}

// keepGroups reads the annotation that podman's --group-add keep-groups sets.
func (c *compiler) keepGroups() bool {
	return c.spec.Annotations["run.oci.keep_original_groups"] == "1"
}

// checkGroups refuses supplementary groups that a person has asked for, and that the user
// namespace has not; of engines see mappedGroups. The program's own group it has in any case.
func (c *compiler) checkGroups() error {
	if !c.wishes.ConfigMade || c.spec.Process == nil || c.keepGroups() {
		return nil
	}
	for _, gid := range c.spec.Process.User.AdditionalGids {
		if maps := c.groupMap(); gid != c.spec.Process.User.GID && !c.setgroups || maps != nil && !userns.Mapped(gid, maps) {
			return &fault.Error{Place: "process.user.additionalGids", What: "have group " + strconv.FormatUint(uint64(gid), 10),
				Why: "the user namespace has no group but " + userns.Describe(maps), Hint: "keep-groups has all of the caller's; others need subordinate ids: homerun doctor"}
		}
	}
	return nil
}

// mappedGroups are the supplementary groups that can be set. Losing one takes
// access away, never gives it, so others go with a warning: engines pass the
// groups of an image's user even where the caller has a single id.
func (c *compiler) mappedGroups() []uint32 {
	gids, maps := c.spec.Process.User.AdditionalGids, c.groupMap()
	if len(gids) == 0 || c.keepGroups() {
		return nil
	}
	const pointer, advice = "process.user.additionalGids", "; the annotation run.oci.keep_original_groups=1 keeps the caller's groups"
	if own := []uint32{c.spec.Process.User.GID}; !c.setgroups && slices.Equal(gids, own) {
		return nil // it has that one
	}
	if !c.setgroups {
		c.warn(pointer + ": ignored: the user namespace has a single group and allows no others" + advice)
		return nil
	}
	var mapped, others []uint32
	for _, gid := range gids {
		if maps == nil || userns.Mapped(gid, maps) {
			mapped = append(mapped, gid)
		} else {
			others = append(others, gid)
		}
	}
	if len(others) > 0 {
		c.warn("%s: not mapped in the user namespace (mapped: %s), and ignored: %s"+advice, pointer, userns.Describe(maps), numbers(others))
	}
	return mapped
}

// numbers lists ids for a message, of many the first few.
func numbers(ids []uint32) string {
	const most = 8
	text, separator := "", ""
	for _, id := range ids[:min(len(ids), most)] {
		text += separator + strconv.FormatUint(uint64(id), 10)
		separator = ", "
	}
	if more := len(ids) - most; more > 0 {
		text += " and " + strconv.Itoa(more) + " more"
	}
	return text
}

// groupMap is the map of the user namespace that the process is in; nil when it
// is not known.
func (c *compiler) groupMap() []host.Mapping {
	switch {
	case c.ns.newUser:
		return c.gidLines
	case c.joinsUser():
		return nil
	}
	return c.facts.UserNamespace.GIDMap
}

func (c *compiler) umask() {
	mask := uint32(0o22)
	if m := c.spec.Process.User.Umask; m != nil {
		mask = *m
	}
	c.b.At("process.user.umask", "set the umask to "+strconv.FormatUint(uint64(mask), 8))
	c.b.Do(plan.Umask{Mask: mask})
}

// seccomp loads the filter. Kernels before 5.19 refuse the flag that makes
// waiting calls killable; the filter is the same without it.
func (c *compiler) seccomp() {
	f := c.wishes.Seccomp
	if f == nil {
		return
	}
	c.b.At("linux.seccomp", "load the seccomp filter")
	c.announce()
	op := plan.Seccomp{Program: f.Program, Flags: f.Flags}
	if f.Flags&unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV == 0 {
		c.b.Do(op)
		return
	}
	loaded := c.b.Label()
	c.b.Add(plan.Step{Op: op, Tolerate: plan.Ignore(unix.EINVAL), OnZero: loaded, OnNonzero: loaded})
	op.Flags &^= unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	c.b.Do(op)
	c.b.Place(loaded)
}

// givesOutside: the host's root can give away what belongs to ids that the
// container's user namespace does not have, and so cannot give.
func (c *compiler) givesOutside() bool { return c.ns.newUser && c.facts.Process.UID == 0 }

// streamsOutside gives the standard streams away before the user namespace
// exists.
func (c *compiler) streamsOutside() {
	if uid, ok := userns.ToHost(c.spec.Process.User.UID, c.uidLines); ok && c.givesOutside() && givesStreams(c.spec, c.facts) {
		process.Streams(c.b, c.facts.Process.Streams, uid)
	}
}

// streamsInside gives them away as the container's root, who owns what the
// caller does.
func (c *compiler) streamsInside() {
	if !c.givesOutside() && c.givesInside() {
		process.Streams(c.b, c.facts.Process.Streams, c.spec.Process.User.UID)
	}
}

// givesInside: the streams go to another user than the container's root.
func (c *compiler) givesInside() bool {
	return c.spec.Process.User.UID != 0 && !c.spec.Process.Terminal || !c.exec && givesStreams(c.spec, c.facts)
}

// home is where the user is at home, as far as that is known.
func (c *compiler) home() string {
	if c.facts.Home == nil {
		return ""
	}
	return *c.facts.Home
}

// signals undoes what the caller's own callers did to signals, as nohup(1) and
// shells without job control do, and what execve(2) keeps. CLONE_CLEAR_SIGHAND
// would not do it: it leaves ignored signals ignored.
func (c *compiler) signals() {
	c.b.At("default", "give signals their default actions")
	for _, n := range c.facts.Process.IgnoredSignals {
		c.b.Do(plan.DefaultAction{Signal: n})
	}
	c.b.Do(plan.UnblockSignals{})
}

// timerSlack is the caller's, whichever thread of the runtime started the first process.
func (c *compiler) timerSlack() {
	if slack := c.facts.Process.TimerSlack; slack != 0 {
		c.b.At("default", "give timers the caller's slack")
		c.b.Do(plan.Prctl{Option: unix.PR_SET_TIMERSLACK, Arg2: slack})
	}
}

// raiseLimits raises those hard limits that are to be above the runtime's own, before
// the process enters another user namespace: capabilities there do not count for
// them (getrlimit(2), CAP_SYS_RESOURCE). All limits are set once the process needs no
// more than they leave it.
func (c *compiler) raiseLimits() {
	for i, r := range c.spec.Process.Rlimits {
		resource, known := process.Resource(r.Type)
		hard, measured := c.facts.Process.Rlimits[r.Type]
		if known && measured && r.Hard > hard {
			c.b.At("process.rlimits["+strconv.Itoa(i)+"]", "set the limit "+r.Type).For(plan.ForLimit, r.Type)
			c.b.Do(plan.Prlimit64{Resource: resource, Soft: hard, Hard: r.Hard})
		}
	}
}

// oomScoreAdj is written by the first process, before it joins anything.
func (c *compiler) oomScoreAdj() {
	p := c.spec.Process
	if process.LowersOOMScore(p, c.facts) {
		c.warn("process.oomScoreAdj: %d is below the runtime's own %d: without root that stays where the kernel refuses it",
			*p.OOMScoreAdj, process.OOMScore(c.facts))
	}
	process.OOMScoreAdj(c.b, p, process.OOMScore(c.facts))
}
