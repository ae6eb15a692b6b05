package plan

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Unshare leaves namespaces for new ones: unshare(2).
type Unshare struct{ Flags int }

// Call implements Operation.
func (o Unshare) Call() Call {
	return Call{"unshare", unix.SYS_UNSHARE, []Arg{flags(o.Flags, cloneFlags)}}
}

// Clone makes a process as Clone3 does, where a filter answers ENOSYS to
// clone3, whose flags lie in memory that it cannot look at: clone(2). CLONE_NEWTIME
// and CLONE_INTO_CGROUP need Clone3. Its other arguments are 0.
type Clone struct{ Flags uint64 }

// Call implements Operation.
func (o Clone) Call() Call {
	show := func(n int64) string { return "child_stack=NULL, flags=" + cloneFlags(n) }
	return Call{"clone", unix.SYS_CLONE, []Arg{flags(int(o.Flags), show)}}
}

// Setns joins a namespace: setns(2).
type Setns struct {
	FD   Ref
	Type int
}

// Call implements Operation.
func (o Setns) Call() Call {
	return Call{"setns", unix.SYS_SETNS, []Arg{ref(o.FD), flags(o.Type, cloneFlags)}}
}

// Sethostname sets the host name: sethostname(2).
type Sethostname struct{ Name string }

// Call implements Operation.
func (o Sethostname) Call() Call {
	return Call{"sethostname", unix.SYS_SETHOSTNAME, []Arg{text(o.Name), number(len(o.Name))}}
}

// Setdomainname sets the NIS domain name: setdomainname(2).
type Setdomainname struct{ Name string }

// Call implements Operation.
func (o Setdomainname) Call() Call {
	return Call{"setdomainname", unix.SYS_SETDOMAINNAME, []Arg{text(o.Name), number(len(o.Name))}}
}

// Setsid starts a session: setsid(2).
type Setsid struct{}

// Call implements Operation.
func (o Setsid) Call() Call { return Call{"setsid", unix.SYS_SETSID, nil} }

// Setgroups sets the supplementary groups: setgroups(2).
type Setgroups struct{ GIDs []uint32 }

// Call implements Operation.
func (o Setgroups) Call() Call {
	if len(o.GIDs) == 0 {
		return Call{"setgroups", unix.SYS_SETGROUPS, []Arg{number(0), null()}}
	}
	m := &Memory{Bytes: halves(o.GIDs...), Show: func(func(Ref) string) string { return o.list() }}
	if len(o.GIDs) > maxGroups {
		m.Brief = func() string { return count(len(o.GIDs), "groups") }
	}
	return Call{"setgroups", unix.SYS_SETGROUPS, []Arg{number(len(o.GIDs)), memory(m)}}
}

// maxGroups is how many groups a message lists at most.
const maxGroups = 16

func (o Setgroups) list() string {
	names := make([]string, len(o.GIDs))
	for i, g := range o.GIDs {
		names[i] = strconv.FormatUint(uint64(g), 10)
	}
	return "[" + strings.Join(names, ", ") + "]"
}

// count stands for a list: [4 variables].
func count(n int, what string) string {
	if n == 1 {
		what = strings.TrimSuffix(what, "s")
	}
	return "[" + strconv.Itoa(n) + " " + what + "]"
}

// Setresgid sets the real, effective and saved group id to one:
// setresgid(2).
type Setresgid struct{ GID uint32 }

// Call implements Operation.
func (o Setresgid) Call() Call {
	g := Arg{ref: Int(int(int32(o.GID))), show: showUnsigned}
	return Call{"setresgid", unix.SYS_SETRESGID, []Arg{g, g, g}}
}

// Setresuid sets the real, effective and saved user id to one: setresuid(2).
type Setresuid struct{ UID uint32 }

// Call implements Operation.
func (o Setresuid) Call() Call {
	u := Arg{ref: Int(int(int32(o.UID))), show: showUnsigned}
	return Call{"setresuid", unix.SYS_SETRESUID, []Arg{u, u, u}}
}

// Capset sets the three capability sets of the process, bit N for capability
// N: capset(2).
type Capset struct{ Effective, Permitted, Inheritable uint64 }

// Call implements Operation.
func (o Capset) Call() Call {
	header := constant(halves(unix.LINUX_CAPABILITY_VERSION_3, 0), "{version=_LINUX_CAPABILITY_VERSION_3, pid=0}")
	data := fixed(halves(uint32(o.Effective), uint32(o.Permitted), uint32(o.Inheritable),
		uint32(o.Effective>>32), uint32(o.Permitted>>32), uint32(o.Inheritable>>32)), func() string {
		return "{effective=" + capabilities(o.Effective) + ", permitted=" + capabilities(o.Permitted) +
			", inheritable=" + capabilities(o.Inheritable) + "}"
	})
	return Call{"capset", unix.SYS_CAPSET, []Arg{memory(header), memory(data)}}
}

// capabilities prints a set as strace does: "1<<CAP_KILL|1<<CAP_SETUID".
func capabilities(set uint64) string {
	if set == 0 {
		return "0"
	}
	text, n := make([]byte, 0, 1024), 0
	for word := range strings.SplitSeq(capabilityNames, " ") {
		if set&(1<<n) != 0 {
			text = append(append(text, "|1<<CAP_"...), word...)
		}
		n++
	}
	for ; n < 64; n++ {
		if set&(1<<n) != 0 {
			text = strconv.AppendInt(append(text, "|1<<"...), int64(n), 10)
		}
	}
	return string(text[1:])
}

// Prctl sets something of the process that needs no memory: prctl(2).
type Prctl struct {
	Option           int
	Arg2, Arg3, Arg4 int
}

// Call implements Operation.
func (o Prctl) Call() Call {
	option := flags(o.Option, prctlOptions)
	switch o.Option {
	case unix.PR_SET_DUMPABLE:
		return prctl(option, flags(o.Arg2, dumpable))
	case unix.PR_CAPBSET_DROP:
		return prctl(option, flags(o.Arg2, capability))
	case unix.PR_CAP_AMBIENT:
		return prctl(option, flags(o.Arg2, ambient), flags(o.Arg3, ambientCapability(o.Arg2)), number(0), number(0))
	case unix.PR_SET_NO_NEW_PRIVS:
		return prctl(option, number(o.Arg2), number(0), number(0), number(0))
	case unix.PR_SET_PDEATHSIG:
		return prctl(option, flags(o.Arg2, func(n int64) string { return signalName(int(n)) }))
	}
	return prctl(option, number(o.Arg2))
}

func prctl(args ...Arg) Call { return Call{"prctl", unix.SYS_PRCTL, args} }

func prctlOptions(n int64) string {
	return table{
		{unix.PR_SET_DUMPABLE, "PR_SET_DUMPABLE"}, {unix.PR_SET_KEEPCAPS, "PR_SET_KEEPCAPS"},
		{unix.PR_CAPBSET_DROP, "PR_CAPBSET_DROP"}, {unix.PR_CAP_AMBIENT, "PR_CAP_AMBIENT"},
		{unix.PR_SET_NO_NEW_PRIVS, "PR_SET_NO_NEW_PRIVS"}, {unix.PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG"},
		{unix.PR_SET_TIMERSLACK, "PR_SET_TIMERSLACK"},
	}.value(n)
}

func dumpable(n int64) string {
	return table{{0, "SUID_DUMP_DISABLE"}, {1, "SUID_DUMP_USER"}}.value(n)
}

func ambient(n int64) string {
	return table{{unix.PR_CAP_AMBIENT_RAISE, "PR_CAP_AMBIENT_RAISE"},
		{unix.PR_CAP_AMBIENT_CLEAR_ALL, "PR_CAP_AMBIENT_CLEAR_ALL"}}.value(n)
}

// ambientCapability prints the third argument: CLEAR_ALL has none.
func ambientCapability(option int) func(int64) string {
	if option == unix.PR_CAP_AMBIENT_RAISE {
		return capability
	}
	return func(n int64) string { return strconv.FormatInt(n, 10) }
}

func capability(n int64) string { return CapabilityName(int(n)) }

// SetName sets the process's name as ps shows it: prctl(2), PR_SET_NAME.
type SetName struct{ Name string }

// Call implements Operation.
func (o SetName) Call() Call {
	return prctl(flags(unix.PR_SET_NAME, func(int64) string { return "PR_SET_NAME" }), text(o.Name))
}

// Prlimit64 sets a resource limit of the process: getrlimit(2). The maximum
// uint64 means infinity.
type Prlimit64 struct {
	Resource   int
	Soft, Hard uint64
}

// Call implements Operation.
func (o Prlimit64) Call() Call {
	m := fixed(words(o.Soft, o.Hard), func() string {
		return "{rlim_cur=" + limit(o.Soft) + ", rlim_max=" + limit(o.Hard) + "}"
	})
	return Call{"prlimit64", unix.SYS_PRLIMIT64, []Arg{number(0), flags(o.Resource, rlimits), memory(m), null()}}
}

// limit prints as strace does: multiples of 1024 above it as a product.
func limit(n uint64) string {
	switch {
	case n == ^uint64(0):
		return "RLIM64_INFINITY"
	case n > 1024 && n%1024 == 0:
		return strconv.FormatUint(n/1024, 10) + "*1024"
	}
	return strconv.FormatUint(n, 10)
}

// Personality sets the execution domain: personality(2).
type Personality struct{ Persona int }

// Call implements Operation.
func (o Personality) Call() Call {
	return Call{"personality", unix.SYS_PERSONALITY, []Arg{flags(o.Persona, personas)}}
}

func personas(n int64) string {
	return table{{0, "PER_LINUX"}, {8, "PER_LINUX32"}}.value(n)
}

// Keyctl joins a new session keyring: keyctl(2), KEYCTL_JOIN_SESSION_KEYRING. It
// has no name: one with a name may be there already, made by a stranger.
type Keyctl struct{}

// Call implements Operation.
func (o Keyctl) Call() Call {
	join := flags(unix.KEYCTL_JOIN_SESSION_KEYRING, func(int64) string { return "KEYCTL_JOIN_SESSION_KEYRING" })
	return Call{"keyctl", unix.SYS_KEYCTL, []Arg{join, null()}}
}

// Seccomp loads a filter, an array of struct sock_filter: seccomp(2),
// SECCOMP_SET_MODE_FILTER.
type Seccomp struct {
	Program []byte
	Flags   int
}

// Call implements Operation.
func (o Seccomp) Call() Call {
	filter := &Memory{Bytes: o.Program}
	n := len(o.Program) / 8
	m := &Memory{Bytes: words(uint64(n), 0), Pointers: []Pointer{{Offset: 8, Memory: filter}}}
	m.Show = func(func(Ref) string) string { return "{len=" + strconv.Itoa(n) + ", filter}" }
	return Call{"seccomp", unix.SYS_SECCOMP, []Arg{
		flags(unix.SECCOMP_SET_MODE_FILTER, func(int64) string { return "SECCOMP_SET_MODE_FILTER" }),
		flags(o.Flags, seccompFlags), memory(m)}}
}

// String is the call as a plan has it.
func (o Seccomp) String() string {
	c := o.Call()
	return c.print(func(r Ref) string { return strconv.Itoa(int(r.Number)) }, true)
}

func seccompFlags(n int64) string {
	return table{
		{unix.SECCOMP_FILTER_FLAG_TSYNC, "SECCOMP_FILTER_FLAG_TSYNC"},
		{unix.SECCOMP_FILTER_FLAG_LOG, "SECCOMP_FILTER_FLAG_LOG"},
		{unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW, "SECCOMP_FILTER_FLAG_SPEC_ALLOW"},
		{unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, "SECCOMP_FILTER_FLAG_NEW_LISTENER"},
		{unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"},
	}.flags(n)
}

// Execve becomes the container's program: execve(2).
type Execve struct {
	Path      string
	Args, Env []string
}

// Call implements Operation.
func (o Execve) Call() Call {
	env := stringArray(o.Env)
	env.Brief = func() string { return count(len(o.Env), "variables") }
	return Call{"execve", unix.SYS_EXECVE, []Arg{text(o.Path), memory(stringArray(o.Args)), memory(env)}}
}

// Wait4 waits for a child's end, whatever signal announces it, and keeps its wait
// status: wait4(2).
type Wait4 struct {
	PID    Ref
	Status Slot
}

// Call implements Operation.
func (o Wait4) Call() Call {
	m := &Memory{Bytes: make([]byte, 4), Mutable: true, Cells: []Cell{{Slot: o.Status, Out: true}}}
	m.Show = func(name func(Ref) string) string { return "[" + name(o.Status.Ref()) + "]" }
	show := func(int64) string { return "__WALL" }
	return Call{"wait4", unix.SYS_WAIT4, []Arg{ref(o.PID), memory(m), flags(unix.WALL, show), null()}}
}

// ExitGroup ends the process: exit_group(2).
type ExitGroup struct{ Status int }

// Call implements Operation.
func (o ExitGroup) Call() Call {
	return Call{"exit_group", unix.SYS_EXIT_GROUP, []Arg{number(o.Status)}}
}
