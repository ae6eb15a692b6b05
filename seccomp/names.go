package seccomp

import "github.com/homerun-oci/homerun/seccomp/bpf"

// Name pairs a name of config.json with its number in the kernel's headers.
type Name struct {
	Name  string
	Value uint32
}

var actions = []Name{
	{"SCMP_ACT_ALLOW", bpf.Allow},
	{"SCMP_ACT_ERRNO", bpf.Errno},
	{"SCMP_ACT_KILL", bpf.KillThread},
	{"SCMP_ACT_KILL_PROCESS", bpf.KillProcess},
	{"SCMP_ACT_KILL_THREAD", bpf.KillThread},
	{"SCMP_ACT_LOG", bpf.Log},
	{"SCMP_ACT_NOTIFY", bpf.Notify},
	{"SCMP_ACT_TRACE", bpf.Trace},
	{"SCMP_ACT_TRAP", bpf.Trap},
}

var flags = []Name{
	{"SECCOMP_FILTER_FLAG_TSYNC", FlagTSync},
	{"SECCOMP_FILTER_FLAG_SPEC_ALLOW", FlagSpecAllow},
	{"SECCOMP_FILTER_FLAG_LOG", FlagLog},
	{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", FlagWaitKillableRecv},
}

// operators are in the order of libseccomp's enum scmp_compare.
var operators = []string{
	"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ",
	"SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ",
}

// Actions lists the actions of config.json (runtime specification 1.3.0,
// config-linux.md, seccomp) with SECCOMP_RET_* values.
func Actions() []Name { return append([]Name(nil), actions...) }

// Flags lists the flags of config.json with SECCOMP_FILTER_FLAG_* values.
func Flags() []Name { return append([]Name(nil), flags...) }

// Operators lists the comparison operators of config.json.
func Operators() []string { return append([]string(nil), operators...) }

// Architectures lists the architectures of config.json. A helper takes fewer:
// see SupportedArchitectures.
func Architectures() []string {
	var names []string
	for _, a := range bpf.Arches() {
		names = append(names, a.Name)
	}
	return names
}
