// Package host names the facts about a machine that a plan may depend on.
//
// It holds types only. Package host/probe measures them. The same config and
// the same Facts give the same plan on any machine, so a bug report is a
// config.json plus the JSON form of Facts.
package host

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// Facts is everything that the compiler may know about the machine. It is a
// plain value: it marshals to JSON and back without loss. What a config does not
// need is not measured, and absent: see Needs.
type Facts struct {
	// Process describes the runtime's own process.
	Process Process `json:"process"`
	// UserNamespace is the user namespace that the runtime runs in.
	UserNamespace UserNamespace `json:"userNamespace"`
	// Subordinate holds the caller's subordinate ids and the helpers that map them.
	Subordinate *Subordinate `json:"subordinate,omitempty"`
	// Kernel holds what the kernel was seen to do.
	Kernel Kernel `json:"kernel"`
	// Cgroup is where the runtime runs in the cgroup tree.
	Cgroup *Cgroup `json:"cgroup,omitempty"`
	// ServiceManager is the systemd that makes scopes for the caller.
	ServiceManager ServiceManager `json:"serviceManager,omitzero"`
	// Notify is the socket at which the caller's service manager hears that the
	// service is ready: $NOTIFY_SOCKET.
	Notify Notify `json:"notify,omitzero"`
	// Listen are the descriptors that a service manager passed to the runtime.
	Listen Listen `json:"listen,omitzero"`
	// LSM says which security modules label processes.
	LSM LSM `json:"lsm,omitzero"`
	// Rootfs is the container's root directory; its Path is absolute.
	Rootfs Source `json:"rootfs,omitzero"`
	// Sources describes the host path of each bind mount and each host
	// device that is bind-mounted, by the absolute path that is opened.
	Sources map[string]Source `json:"sources,omitempty"`
	// Nodes says where the host has those devices of config.json, by their
	// DeviceName, that it does not have under config.json's name for them; empty
	// where it has them nowhere.
	Nodes map[string]string `json:"nodes,omitempty"`
	// Targets describes what lies in the rootfs at the destination of each
	// mount, by the destination as config.json has it. It is a hint that
	// saves operations: a plan is safe whether or not it still holds.
	Targets map[string]Target `json:"targets,omitempty"`
	// Layers says what an overlay over the root is put together from.
	Layers *Layers `json:"layers,omitempty"`
	// KernelMounts lists where procfs and sysfs are mounted in the runtime
	// namespace; measured only for --no-pivot, which must hide them.
	KernelMounts []string `json:"kernelMounts,omitempty"`
	// Proc has the kinds of the paths below /proc and /sys that config.json
	// masks or makes read-only, as seen on the host ("" where missing).
	Proc map[string]Kind `json:"proc,omitempty"`
	// Namespaces describes the namespaces that config.json joins, by path.
	Namespaces map[string]Namespace `json:"namespaces,omitempty"`
	// NetworkFiles are where in the root the container looks for the files that
	// its network gives it (/etc/hosts), by that name; empty where it has no such
	// file and none can be made.
	NetworkFiles map[string]string `json:"networkFiles,omitempty"`
	// Home is the home directory of the process's user in the container's
	// /etc/passwd, when config.json sets no HOME; empty when that has none.
	Home *string `json:"home,omitempty"`
	// Terminal is the caller's, when config.json asks for one.
	Terminal Terminal `json:"terminal,omitzero"`
}

// Terminal is what the caller's end of a container's terminal is.
type Terminal struct {
	// Size is that of the terminal on standard input; zero where there is none.
	Size *Size `json:"size,omitempty"`
	// Output is what standard output is: "terminal", or "file" for a file or a
	// pipe that what the container shows is written to.
	Output string `json:"output,omitempty"`
}

// The values of Terminal.Output.
const (
	OutputTerminal = "terminal"
	OutputFile     = "file"
)

// Size is that of a terminal, in characters.
type Size struct {
	Rows    uint16 `json:"rows"`
	Columns uint16 `json:"columns"`
}

// Process holds the runtime's own identity and limits, as seen in its user
// namespace.
type Process struct {
	UID int `json:"uid"`
	GID int `json:"gid"`
	// Capabilities is the effective set, bit N for capability N.
	Capabilities uint64 `json:"capabilities"`
	// OOMScoreAdj is /proc/self/oom_score_adj, when config.json sets one.
	OOMScoreAdj *int `json:"oomScoreAdj,omitempty"`
	// NoNewPrivileges is set when newuidmap cannot work because its setuid
	// bit is ignored.
	NoNewPrivileges bool `json:"noNewPrivileges,omitempty"`
	// IgnoredSignals are those whose action is "ignore", which the container's
	// program would inherit.
	IgnoredSignals []int `json:"ignoredSignals,omitempty"`
	// ProcHides is set where /proc does not show processes that the runtime may not trace, as
	// those of others and those that have hidden themselves are: the mount option hidepid.
	ProcHides bool `json:"procHides,omitempty"`
	// TimerSlack is how late, in nanoseconds, the kernel may let the program's timers
	// be: prctl(2), PR_SET_TIMERSLACK. 0 stands for that of the thread that starts it.
	TimerSlack int `json:"timerSlack,omitempty"`
	// Streams are the standard streams, where the process has another user.
	Streams []Stream `json:"streams,omitempty"`
	// ProcessLimit says which limit on the number of processes is reached, once
	// the making of one failed: "pids.max of the cgroup / is 10".
	ProcessLimit string `json:"processLimit,omitempty"`
	// Rlimits holds the runtime's hard limits by OCI name (RLIMIT_NOFILE); the
	// maximum uint64 means infinity.
	Rlimits map[string]uint64 `json:"rlimits,omitempty"`
}

// Stream is a standard stream that may be given to the process's user.
type Stream struct {
	// Give is true for pipes and sockets. What has a name outlives the container
	// and keeps its owner: files, FIFOs, terminals, /dev/null (CVE-2026-88265).
	Give bool `json:"give,omitempty"`
}

// UserNamespace describes the user namespace that the runtime runs in.
type UserNamespace struct {
	// Initial is true in the machine's first user namespace.
	Initial bool `json:"initial"`
	// OwnerUID is the uid, in the initial namespace where it can be told, of
	// the user who made this namespace; the own uid in the initial one.
	OwnerUID int `json:"ownerUID"`
	// UIDMap and GIDMap are /proc/self/uid_map and gid_map.
	UIDMap []Mapping `json:"uidMap,omitempty"`
	GIDMap []Mapping `json:"gidMap,omitempty"`
	// Setgroups is "allow" or "deny", as /proc/self/setgroups has it.
	Setgroups string `json:"setgroups,omitempty"`
}

// Mapping is one line of an id map: Size ids from ContainerID inside are the
// ids from HostID outside.
type Mapping struct {
	ContainerID uint32 `json:"containerID"`
	HostID      uint32 `json:"hostID"`
	Size        uint32 `json:"size"`
}

// Subordinate holds what /etc/subuid, /etc/subgid (or getsubids) grant the
// caller, and the helpers that may map it.
type Subordinate struct {
	UIDs []Range `json:"uids,omitempty"`
	GIDs []Range `json:"gids,omitempty"`
	// NewUIDMap and NewGIDMap are absolute paths; empty when not installed.
	NewUIDMap string `json:"newuidmap,omitempty"`
	NewGIDMap string `json:"newgidmap,omitempty"`
	// Login is the caller's login name; empty when /etc/passwd has none.
	Login string `json:"login,omitempty"`
	// UIDTrouble and GIDTrouble say why a helper that is there gains no privilege
	// to write the map; empty when nothing is known to be in its way.
	UIDTrouble Trouble `json:"uidTrouble,omitempty"`
	GIDTrouble Trouble `json:"gidTrouble,omitempty"`
	// FreeUID and FreeGID are where a range of the usual size would be nobody
	// else's, for hints to a user with none; 0 when that is not known.
	FreeUID uint32 `json:"freeUID,omitempty"`
	FreeGID uint32 `json:"freeGID,omitempty"`
	// UIDLine and GIDLine are the lines, from 1, that name the caller in
	// /etc/subuid and /etc/subgid and cannot be read, when no other does; 0
	// without one.
	UIDLine int `json:"uidLine,omitempty"`
	GIDLine int `json:"gidLine,omitempty"`
	// Source is what answered, for messages: empty for /etc/subuid and
	// /etc/subgid, else as in "getsubids (nsswitch: sss)".
	Source string `json:"source,omitempty"`
}

// Trouble is what keeps a program from gaining its privilege.
type Trouble string

// What newuidmap and newgidmap may lack; that they are not installed as they
// should be, they say themselves. Beside the right to set ids they need
// CAP_SYS_ADMIN over the namespace, which as setuid programs they have as root
// only: map_write() in kernel/user_namespace.c.
const (
	// TroubleNosuid: on a file system that is mounted nosuid.
	TroubleNosuid Trouble = "nosuid"
	// TroubleBounding: the capability bounding set lacks what it takes.
	TroubleBounding Trouble = "bounding"
	// TroubleNobody: the caller's uid has no login name, which the program
	// looks for first.
	TroubleNobody Trouble = "nobody"
)

// Range is a run of ids: Size ids starting at Start.
type Range struct {
	Start uint32 `json:"start"`
	Size  uint32 `json:"size"`
}

// Kernel holds features found by trying them, never by the version number.
type Kernel struct {
	// LastCapability is /proc/sys/kernel/cap_last_cap.
	LastCapability int `json:"lastCapability"`
	// UserNamespaces is false when this process may not make one; the other
	// two say why (user.max_user_namespaces, and a sysctl's or LSM's name).
	UserNamespaces          bool   `json:"userNamespaces"`
	MaxUserNamespaces       int    `json:"maxUserNamespaces,omitempty"`
	UserNamespaceRestricted string `json:"userNamespaceRestricted,omitempty"`
}

// Cgroup is the runtime's place in the cgroup tree.
type Cgroup struct {
	// Unified is true when /sys/fs/cgroup is a cgroup2 file system.
	Unified bool `json:"unified"`
	// MountPoint is where cgroup2 is mounted; empty when nowhere.
	MountPoint string `json:"mountPoint,omitempty"`
	// ReadOnly is true when it is mounted so: nobody makes cgroups there.
	ReadOnly bool `json:"readOnly,omitempty"`
	// Path is the runtime's cgroup below MountPoint (the 0:: line of
	// /proc/self/cgroup).
	Path string `json:"path,omitempty"`
	// Delegation is which part of the tree the caller may use.
	Delegation *Delegation `json:"delegation,omitempty"`
}

// Delegation is which part of the cgroup tree the caller may use. Paths are
// below the mount point, with a leading slash; empty is none.
type Delegation struct {
	// Unit is the nearest cgroup at or above the own one that a service manager
	// delegated to this unit (Delegate=), or the root of a cgroup namespace that
	// the caller may write.
	Unit string `json:"unit,omitempty"`
	// Maybe is set instead of Unit in a service or scope of a user manager, which marks
	// nothing of what it delegates, when it could not be asked.
	Maybe string `json:"maybe,omitempty"`
	// Writable is the nearest cgroup above the own one in which the caller may
	// make others.
	Writable string `json:"writable,omitempty"`
	// Top is the highest such cgroup. Only below it can a container be: the
	// kernel wants write access to the common ancestor of where a process comes
	// from and where it goes.
	Top string `json:"top,omitempty"`
}

// ServiceManager is the systemd that makes scopes for the caller.
type ServiceManager struct {
	// Socket is where it answered; empty when none did.
	Socket string `json:"socket,omitempty"`
	// Trouble says in one line why none did.
	Trouble string `json:"trouble,omitempty"`
	// System is true for the machine's own manager, false for a user's.
	System bool `json:"system,omitempty"`
	// Started says that a service manager, this or another one, has started the caller
	// as what a unit runs.
	Started bool `json:"started,omitempty"`
}

// Notify is a service manager's socket for notifications: sd_notify(3).
type Notify struct {
	// Socket is a path, or an abstract name that begins with "@".
	Socket string `json:"socket,omitempty"`
	// Trouble says why nobody can be told anything there; empty when somebody
	// can.
	Trouble string `json:"trouble,omitempty"`
	// Watchdog is $WATCHDOG_USEC: in how many microseconds the program is to say that
	// it is alive.
	Watchdog string `json:"watchdog,omitempty"`
}

// Listen are the descriptors from 3 on that a service manager passed to the
// runtime's own process: sd_listen_fds(3).
type Listen struct {
	Count int `json:"count,omitempty"`
	// Names is $LISTEN_FDNAMES.
	Names string `json:"names,omitempty"`
}

// LSM says which Linux security modules label processes.
type LSM struct {
	AppArmor Answer `json:"apparmor,omitempty"`
	SELinux  Answer `json:"selinux,omitempty"`
}

// Answer is empty where nobody asked.
type Answer string

// The answers.
const (
	Yes Answer = "yes"
	No  Answer = "no"
)

// Kind is the type of a file, after symbolic links were followed.
type Kind string

// The kinds of files.
const (
	Missing   Kind = ""
	Directory Kind = "directory"
	Regular   Kind = "file"
	Character Kind = "char"
	Block     Kind = "block"
	FIFO      Kind = "fifo"
	Socket    Kind = "socket"
	Symlink   Kind = "symlink"
)

// Source is a path of the runtime namespace.
type Source struct {
	Path string `json:"path,omitempty"`
	Kind Kind   `json:"kind,omitempty"`
	// Error is the errno's name (ENOENT, EACCES) when it could not be looked at.
	Error string `json:"error,omitempty"`
	// Flags are the mount flags in force there, by OCI option name (nosuid,
	// nodev, noexec, ro, noatime, nodiratime, relatime). In a new user
	// namespace they are locked.
	Flags []string `json:"flags,omitempty"`
	// Rdev is the device number of a device node (unix.Mkdev form).
	Rdev uint64 `json:"rdev,omitempty"`
	// Link is the symbolic link's content, for the copy-symlink option.
	Link string `json:"link,omitempty"`
}

// DeviceName names a device by its type and number: c 1:3. The number is in
// unix.Mkdev's form.
func DeviceName(kind Kind, rdev uint64) string {
	letter := "c "
	if kind == Block {
		letter = "b "
	}
	return letter + strconv.Itoa(int(unix.Major(rdev))) + ":" + strconv.Itoa(int(unix.Minor(rdev)))
}

// Target is a mount destination inside the rootfs.
type Target struct {
	// Resolved is the destination with symbolic links followed inside the
	// rootfs, also the part that does not exist; relative, no leading slash;
	// "." for the root itself.
	Resolved string `json:"resolved,omitempty"`
	// Kind is the type of what is there.
	Kind Kind `json:"kind,omitempty"`
	// Mode holds the permission bits of what is there.
	Mode uint32 `json:"mode,omitempty"`
	// Link is the content of the symbolic link that the destination is, for
	// the options copy-symlink and dest-nofollow, which do not follow it.
	Link string `json:"link,omitempty"`
	// Tree is what lies below, for the option tmpcopyup.
	Tree *Tree `json:"tree,omitempty"`
	// Unknown says why nothing else of this can be told: the errno's name, or
	// Covered. The plan is longer then, and as safe.
	Unknown string `json:"unknown,omitempty"`
}

// Covered is Target.Unknown of a destination that lies in an earlier one: what
// the root has there does not matter.
const Covered = "covered"

// Namespace is a namespace named by path.
type Namespace struct {
	// Type is the OCI name (pid, network, ...).
	Type string `json:"type,omitempty"`
	// Same is true when the runtime is in it already.
	Same bool `json:"same,omitempty"`
	// Error is the errno's name when it could not be opened.
	Error string `json:"error,omitempty"`
}
