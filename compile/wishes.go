package compile

import (
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/rootfs"
)

// Wishes are what the caller asks for beside config.json. What follows from them,
// from config.json and from the facts, is decided by Begin.
type Wishes struct {
	// ID is the container's.
	ID string
	// BundleDir is absolute; relative paths of config.json count from it.
	BundleDir string
	// StateDir is the container's directory in the state root, absolute.
	StateDir string
	// Create lets init wait for `start`; without it the program runs at once.
	Create bool
	// Detached: nobody waits for the program, so the first process stays as init's
	// parent and records how init ended. See InputExit.
	Detached bool
	// Output is where what a detached program writes is kept: package container/output;
	// "" leaves its streams as they are.
	Output string
	// EndsWithCaller: the first process stays beside init, and ends it when the runtime
	// has ended.
	EndsWithCaller bool
	// Reaper: init stays the stage, which passes signals on to the program, its child, and
	// reaps orphans.
	Reaper bool
	// Subreaper takes the orphans of a container without a PID namespace of its own.
	Subreaper bool
	// Manager says who makes cgroups; "" is auto.
	Manager cgroupv2.Manager
	// Network connects the container's network; nil leaves it as it is.
	Network *netns.Connection
	// ConsoleSocket is the path of a UNIX socket that receives the terminal, and
	// whose owner sets its modes; without one the runtime takes it.
	ConsoleSocket string
	// PidfdSocket receives init's pidfd, PidFile its process id.
	PidfdSocket, PidFile string
	// Preserve is how many descriptors from 3 on reach the program.
	Preserve int
	// NoPivot uses chroot instead of pivot_root.
	NoPivot bool
	// NoNewKeyring leaves the caller's session keyring.
	NoNewKeyring bool
	// RemoveMade removes with the container what had to be made in its root.
	RemoveMade bool
	// Here is the path of the caller's current directory, which a source of that path is.
	Here string
	// Overlay lets the container change its root without that being changed; nil
	// lets it change the root.
	Overlay *rootfs.Overlay
	// ConfigMade: the config was made by a program and never was a file, so it is
	// written when the program runs; encoding costs more than most of a start.
	ConfigMade bool
	// Seccomp is a compiled filter, or nil. Profile: it is compiled with the plan's
	// second part.
	Seccomp *Filter
	Profile bool
}

// Filter is a seccomp program.
type Filter struct {
	Program []byte
	Flags   int
	// Agent receives the listener, if the filter has one: the path of a UNIX
	// socket.
	Agent string
}

// decisions are what follows from the wishes, config.json and the facts.
type decisions struct {
	// wait lets init wait for the hooks and the word that come before the program.
	wait bool
	// hold lets init wait for the runtime once its namespaces exist: for hooks,
	// limits and networks that are set from outside.
	hold bool
	// visible lets the caller's other processes, such as a network helper, look at
	// init's namespaces until it has been held: the files in /proc of a process that
	// is not dumpable belong to root. visibleWait is the same for the time that init
	// waits for start: hooks and exec join it then. All directories are closed by
	// that time.
	visible, visibleWait bool
	// cgroup is how the container gets its cgroup.
	cgroup cgroupDecision
}
