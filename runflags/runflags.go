// Package runflags gives the flags of docker run and podman run their meaning for
// `homerun run --rootfs`: it reads what was typed, and changes a config.json that is
// complete without it.
//
// A value that means nothing is an error that names the flag, the value, and what is
// wanted. One that asks for what homerun does not do is an error too; none is dropped.
// What only the host can answer, such as a user's name or a device, is the caller's to
// find out before.
//
// The package is pure.
package runflags

import (
	"slices"
	"strconv"

	"github.com/homerun-oci/homerun/fault"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Kind says what a flag takes.
type Kind int

// The kinds: one value, of which the last counts; any number of values; none.
const (
	Text Kind = iota
	List
	Switch
)

// Flag is one flag. Value is what its value is called in a help text.
type Flag struct {
	Name, Short, Value, Usage string
	Kind                      Kind
	// apply is nil where the caller, who knows more, has done it.
	apply func(*config, []string) error
}

// Values are what was typed for each flag, in order.
type Values map[string][]string

// Last is the value that counts where one does; empty for a flag that was not typed.
func (v Values) Last(name string) string {
	if list := v[name]; len(list) > 0 {
		return list[len(list)-1]
	}
	return ""
}

// Host is what the values may depend on.
type Host struct {
	// Swap: the kernel has swap, so that there is something to limit.
	Swap bool
	// Queues: it has a /dev/mqueue, for who shares its message queues.
	Queues bool
}

// config is a config.json that is being changed.
type config struct {
	*specs.Spec
	host Host
	// memory is --memory, 0 without.
	memory int64
}

// Flags lists them all. They are applied in this order, whatever the order they were
// typed in: to drop all capabilities and add one is the same as the reverse.
func Flags() []Flag { return slices.Clone(table[:]) }

var table = [...]Flag{
	{"memory", "m", "SIZE", "most memory, as 512m or 2g", Text, (*config).setMemory},
	{"memory-swap", "", "SIZE", "most memory and swap together, -1 for any swap; twice --memory without it", Text, (*config).setMemorySwap},
	{"memory-reservation", "", "SIZE", "memory that the kernel leaves to it while others have some to give", Text, (*config).setMemoryReservation},
	{"cpus", "", "NUMBER", "how many CPUs' time it gets at most, as 1.5", Text, (*config).setCPUs},
	{"cpu-shares", "c", "NUMBER", "its share of the CPUs when others want them, 2 to 262144", Text, (*config).setCPUShares},
	{"cpuset-cpus", "", "LIST", "the CPUs it may use, as 0-3,7", Text, (*config).setCPUSet},
	{"cpuset-mems", "", "LIST", "the memory nodes it may use", Text, (*config).setMemorySet},
	{"pids-limit", "", "NUMBER", "most processes and threads, -1 for any number", Text, (*config).setPids},
	{"ulimit", "", "NAME=SOFT[:HARD]", "a resource limit, as nofile=1024:4096", List, (*config).setUlimits},
	{"user", "u", "USER[:GROUP]", "who the program is: names of the root's /etc, or ids", Text, nil},
	{"group-add", "", "GROUP", "a supplementary group, or keep-groups for the caller's", List, (*config).addGroups},
	{"cap-drop", "", "NAME", "take a capability, or ALL", List, nil},
	{"cap-add", "", "NAME", "add a capability, or ALL", List, nil},
	{"userns", "", "MODE", "whose ids it has: keep-id (yours alone), private, or host (for root)", Text, (*config).setUserNamespace},
	{"pid", "", "MODE", "whose processes it sees: private or host", Text, (*config).setPIDNamespace},
	{"ipc", "", "MODE", "whose shared memory and message queues: private or host", Text, (*config).setIPCNamespace},
	{"uts", "", "MODE", "whose host name: private or host", Text, (*config).setUTSNamespace},
	{"shm-size", "", "SIZE", "size of /dev/shm, 64m without it", Text, (*config).setShmSize},
	{"read-only", "", "", "keep the program from writing to the root", Switch, (*config).setReadOnly},
	{"tmpfs", "", "DIR[:OPTIONS]", "an empty directory in memory, as /cache:size=64m", List, (*config).addTmpfs},
	{"mount", "", "KEY=VALUE,...", "a mount, as type=bind,src=/srv,dst=/srv,ro or type=tmpfs,dst=/cache", List, (*config).addMounts},
	{"device", "", "PATH[:PATH[:rwm]]", "a device of the host", List, (*config).addDevices},
	{"env-file", "", "FILE", "file with NAME=VALUE lines for the environment", List, nil},
	{"sysctl", "", "NAME=VALUE", "a kernel parameter of its namespaces", List, (*config).setSysctls},
	{"label", "l", "NAME[=VALUE]", "a label; kept as an annotation", List, (*config).addLabels},
	{"annotation", "", "NAME=VALUE", "an annotation of config.json", List, (*config).addAnnotations},
	{"stop-signal", "", "SIGNAL", "what stop sends first, TERM without it", Text, nil},
	{"stop-timeout", "", "SECONDS", "how long stop waits after that, 10 without it", Text, nil},
}

// Apply changes a config as the flags ask. The capabilities come last, since what an
// added one needs depends on the user, whom s has already.
func Apply(s *specs.Spec, values Values, host Host) error {
	if len(values) == 0 {
		return nil
	}
	c := &config{Spec: s, host: host}
	for _, f := range table {
		if list := values[f.Name]; len(list) > 0 && f.apply != nil {
			if err := f.apply(c, list); err != nil {
				return err
			}
		}
	}
	return c.setCapabilities(values["cap-drop"], values["cap-add"])
}

// wrong is an error about a value.
func wrong(flag, value, why string) error {
	return &fault.Error{Place: "--" + flag + " " + strconv.Quote(value), Why: why}
}

// last is the value that counts.
func last(values []string) string { return values[len(values)-1] }
