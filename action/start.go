package action

import (
	"path"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/rootfs"
	"github.com/homerun-oci/homerun/userns"
)

// MakeDirectory makes the container's directory in the state root, which is what
// makes the container exist, and locks it.
type MakeDirectory struct {
	// Path is absolute.
	Path string
}

// Line implements plan.Action.
func (a MakeDirectory) Line() string { return line("mkdir", quoted(a.Path), "01700") }

// MakeFIFOs makes the two FIFOs by which `start` and the waiting init meet, and
// opens both: the inputs "start" and "outcome".
type MakeFIFOs struct{}

// Line implements plan.Action.
func (a MakeFIFOs) Line() string { return line("mkfifo", `"start"`, `"outcome"`) }

// MakeExitRecord makes the file in which a detached container's first process
// records how init ended: the input "exit".
type MakeExitRecord struct{}

// Line implements plan.Action.
func (a MakeExitRecord) Line() string { return line("open", `"exit"`, "O_WRONLY|O_CREAT|O_EXCL") }

// KeepOutput starts the helper that keeps what a detached program writes.
type KeepOutput struct {
	// Driver says where: package container/output.
	Driver string
}

// Line implements plan.Action.
func (a KeepOutput) Line() string { return line("homerun-log", quoted(a.Driver)) }

// OpenNamespace opens a namespace that config.json names by path, and checks its
// type: ioctl_nsfs(2), NS_GET_NSTYPE.
type OpenNamespace struct {
	// Input is the plan's name for the descriptor.
	Input string
	Path  string
	// Type is its CLONE_NEW*.
	Type int
	// Pointer is for messages.
	Pointer string
}

// Line implements plan.Action.
func (a OpenNamespace) Line() string {
	return "$" + a.Input + " = " + line("open", quoted(a.Path), "O_RDONLY")
}

// PrepareIDMap makes the descriptor for an id-mapped mount: package
// rootfs/idmap.
type PrepareIDMap struct{ rootfs.IDMap }

// Line implements plan.Action.
func (a PrepareIDMap) Line() string {
	from := a.Source
	if from == "" {
		from = a.UserNamespace
	}
	return "$" + a.Input + " = " + line("idmap", quoted(from))
}

// StartStage starts the container's side. All that comes before it in the list is
// done before the first process exists.
type StartStage struct {
	// Name is the process's name, as ps shows it.
	Name string
}

// Line implements plan.Action.
func (a StartStage) Line() string { return line("start-stage", quoted(a.Name)) }

// LoadFilter has a helper compile the seccomp profile, for the plan's second part, unless
// the cache has its filter.
type LoadFilter struct{}

// Line implements plan.Action.
func (a LoadFilter) Line() string {
	return line("homerun-seccomp") + "  // unless the filter is in the cache"
}

// CompileRest measures what the second part of the plan depends on, compiles it,
// and writes it for the stage.
type CompileRest struct{}

// Line implements plan.Action.
func (a CompileRest) Line() string { return line("compile-rest") }

// MapIDs writes the id maps of the process that was awaited last, or starts
// newuidmap and newgidmap, which write them.
type MapIDs struct {
	Maps *userns.Maps
	// Waits: the runtime has little to do until they have ended.
	Waits bool
}

// Line implements plan.Action.
func (a MapIDs) Line() string {
	var list []string
	for _, m := range [...]userns.Map{a.Maps.UID, a.Maps.GID} {
		if m.Method != userns.Self { // which the stage writes
			list = append(list, mapLine(m))
		}
	}
	return strings.Join(list, ", ")
}

// AwaitMaps waits for newuidmap and newgidmap.
type AwaitMaps struct{ Maps *userns.Maps }

// Line implements plan.Action.
func (a AwaitMaps) Line() string {
	var list []string
	for _, m := range [...]userns.Map{a.Maps.UID, a.Maps.GID} {
		if m.Method == userns.Helper {
			list = append(list, m.Program)
		}
	}
	return line("await-end", list...)
}

func mapLine(m userns.Map) string {
	if m.Method == userns.Helper {
		return line(m.Program, strconv.Quote(m.Text()))
	}
	return line("write-map", string(m.Kind)+"_map", strconv.Quote(m.Text()))
}

// Record writes who init is, and all that other verbs need, to state.json. Init
// runs no program before.
type Record struct {
	// Complete: init's cgroup is known too, so the second record (a symbolic link)
	// is written.
	Complete bool
	// Config: config.json is copied.
	Config bool
	// PidFile is where init's process id will be written; empty for nowhere.
	PidFile string
	// Along is written along: what undoes steps that are soon done.
	Along Undos
}

// Line implements plan.Action.
func (a Record) Line() string {
	var list []string
	if a.Config {
		list = append(list, `"config.json"`)
	}
	list = append(list, `"state.json"`)
	if a.Complete {
		list = append(list, `"init"`)
	}
	text := line("record", list...)
	if a.PidFile != "" {
		text += ", " + line("write", quoted(temporaryPidFile(a.PidFile)), "$init")
	}
	return text
}

// MarkMade marks the container's directory: init has come as far as it comes before
// `start`, or runs the program, and nothing of the host's is seen in the container
// any more.
type MarkMade struct{}

// Line implements plan.Action.
func (a MarkMade) Line() string { return line("fchmod", `"."`, "05700") }

// AwaitProgram waits until the program runs: the stage's report ends at its
// execve(2).
type AwaitProgram struct{}

// Line implements plan.Action.
func (a AwaitProgram) Line() string { return line("await-program") }

// Copy copies from one mount to another while init waits: tmpcopyup.
type Copy struct {
	rootfs.Copy
	// Apart: the container's user namespace is not the runtime's, so another
	// process copies, in that namespace and with these ids.
	Apart    bool
	UID, GID uint32
}

// Line implements plan.Action.
func (a Copy) Line() string {
	if a.Apart {
		return line("copy", quoted(a.What), "in the container's user namespace")
	}
	return line("copy", quoted(a.What))
}

// RecordMembers reads again by what the processes of a container without a PID
// namespace of its own are known, where that could not be read when init was
// recorded.
type RecordMembers struct{}

// Line implements plan.Action.
func (a RecordMembers) Line() string {
	return line("record", `"state.json"`) + "  // unless its processes are known"
}

// MakePidFile makes the pid file of an exec, under another name.
type MakePidFile struct{ Path string }

// Line implements plan.Action.
func (a MakePidFile) Line() string {
	return line("open", quoted(temporaryPidFile(a.Path)), "O_WRONLY|O_CREAT|O_EXCL", "0644")
}

// temporaryPidFile is what a pid file is called until the program runs; a random
// number takes the star's place.
func temporaryPidFile(name string) string {
	return path.Join(path.Dir(name), "."+path.Base(name)+".*")
}

// KeepConfig writes a config that was made by a program and never was a file, for
// exec, start and delete.
type KeepConfig struct{}

// Line implements plan.Action.
func (a KeepConfig) Line() string { return line("record", `"config.json"`) }

// BecomeSubreaper has the orphans of a container without a PID namespace of its
// own come to the runtime: prctl(2).
type BecomeSubreaper struct{}

// Line implements plan.Action.
func (a BecomeSubreaper) Line() string { return line("prctl", "PR_SET_CHILD_SUBREAPER", "1") }

// RecordMade records what the plan will make in the container's root, to be
// removed with the container.
type RecordMade struct{}

// Line implements plan.Action.
func (a RecordMade) Line() string {
	return line("record", `"state.json"`) + "  // what is missing in the root"
}

// KeepSteps records the steps after the wait for start, by which `start` explains one
// that fails.
type KeepSteps struct{}

// Line implements plan.Action.
func (a KeepSteps) Line() string { return line("record", `"steps.json"`) }
