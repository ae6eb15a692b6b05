package plan

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Fspick opens the file system of a mount for a change of its parameters:
// fspick(2), Linux 5.2. The mount is a descriptor, never a path.
type Fspick struct{ FD Ref }

// Call implements Operation.
func (o Fspick) Call() Call {
	return Call{"fspick", unix.SYS_FSPICK, []Arg{
		dirfd(o.FD), text(""), flags(unix.FSPICK_CLOEXEC|unix.FSPICK_EMPTY_PATH, fspickFlags)}}
}

func fspickFlags(n int64) string {
	return table{{unix.FSPICK_CLOEXEC, "FSPICK_CLOEXEC"}, {unix.FSPICK_EMPTY_PATH, "FSPICK_EMPTY_PATH"}}.flags(n)
}

// Sendfile copies bytes between files inside the kernel: sendfile(2). It
// copies between regular files of any two file systems, which
// copy_file_range(2) refuses since Linux 5.19.
type Sendfile struct {
	Out, In Ref
	Count   int
}

// Call implements Operation.
func (o Sendfile) Call() Call {
	return Call{"sendfile", unix.SYS_SENDFILE, []Arg{ref(o.Out), ref(o.In), null(), number(o.Count)}}
}

// Fchmod changes the permissions of an open file: fchmod(2).
type Fchmod struct {
	FD   Ref
	Mode uint32
}

// Call implements Operation.
func (o Fchmod) Call() Call {
	return Call{"fchmod", unix.SYS_FCHMOD, []Arg{ref(o.FD), octal(o.Mode)}}
}

// Fsetxattr sets an extended attribute of an open file: setxattr(2).
type Fsetxattr struct {
	FD          Ref
	Name, Value string
}

// Call implements Operation.
func (o Fsetxattr) Call() Call {
	return Call{"fsetxattr", unix.SYS_FSETXATTR, []Arg{
		ref(o.FD), text(o.Name), memory(quoted(o.Value)), number(len(o.Value)), number(0)}}
}

// SetMempolicy sets where the process's memory comes from: set_mempolicy(2).
type SetMempolicy struct {
	// Mode is MPOL_* with its flags.
	Mode int
	// Nodes is the set of nodes, bit N%64 of word N/64 for node N; empty for
	// NULL.
	Nodes []uint64
}

// Call implements Operation. The kernel looks at one bit less than it is told
// of: get_nodes() in mm/mempolicy.c.
func (o SetMempolicy) Call() Call {
	mode := flags(o.Mode, memoryPolicies)
	if len(o.Nodes) == 0 {
		return Call{"set_mempolicy", unix.SYS_SET_MEMPOLICY, []Arg{mode, null(), number(0)}}
	}
	nodes := fixed(words(o.Nodes...), func() string {
		list := make([]string, len(o.Nodes))
		for i, w := range o.Nodes {
			list[i] = hexWord(w)
		}
		return "[" + strings.Join(list, ", ") + "]"
	})
	return Call{"set_mempolicy", unix.SYS_SET_MEMPOLICY, []Arg{mode, memory(nodes), number(64*len(o.Nodes) + 1)}}
}

// hexWord prints a word of a node mask as strace does: 16 characters with 0x.
func hexWord(w uint64) string {
	s := strconv.FormatUint(w, 16)
	return "0x" + ("00000000000000" + s)[min(len(s), 14):]
}

func memoryPolicies(n int64) string {
	const all = unix.MPOL_F_STATIC_NODES | unix.MPOL_F_RELATIVE_NODES | unix.MPOL_F_NUMA_BALANCING
	s := table{
		{unix.MPOL_DEFAULT, "MPOL_DEFAULT"}, {unix.MPOL_PREFERRED, "MPOL_PREFERRED"}, {unix.MPOL_BIND, "MPOL_BIND"},
		{unix.MPOL_INTERLEAVE, "MPOL_INTERLEAVE"}, {unix.MPOL_LOCAL, "MPOL_LOCAL"},
		{unix.MPOL_PREFERRED_MANY, "MPOL_PREFERRED_MANY"}, {unix.MPOL_WEIGHTED_INTERLEAVE, "MPOL_WEIGHTED_INTERLEAVE"},
	}.value(n &^ all)
	if n&all == 0 {
		return s
	}
	return s + "|" + table{
		{unix.MPOL_F_STATIC_NODES, "MPOL_F_STATIC_NODES"}, {unix.MPOL_F_RELATIVE_NODES, "MPOL_F_RELATIVE_NODES"},
		{unix.MPOL_F_NUMA_BALANCING, "MPOL_F_NUMA_BALANCING"},
	}.flags(n&all)
}
