package doctor

import (
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/userns"
)

// Host is what was measured. An errno is its name (EPERM); empty is success.
type Host struct {
	// Facts are those that a plan with all ids depends on, with the reasons why there
	// are no user namespaces.
	Facts *host.Facts
	// Release is the kernel's; Homerun the path of the command.
	Release, Homerun string
	// Attempt is what came of making the namespaces of a container.
	Attempt Attempt
	// Filtered: a seccomp filter is on this process, as on those in a container.
	// SELinux: it enforces.
	Filtered, SELinux bool
	// Packages is how the host's packages are installed.
	Packages Packages
	// NewUIDMap and NewGIDMap are the helpers, where they are installed.
	NewUIDMap, NewGIDMap Setter
	// IDFiles are the errnos of opening /etc/subuid and /etc/subgid.
	IDFiles map[userns.Kind]string
	// Shared has what in them is granted to others, too.
	Shared map[userns.Kind]Shared
	// Cgroups has what is delegated.
	Cgroups Cgroups
	Manager Manager
	Session Session
	Network Network
	// Helpers are homerun's own, by name.
	Helpers map[string]Helper
	// Memfd is what came of making a memfd that can be executed.
	Memfd string
	Root  Root
	// Features has the errno of each attempt of what a kernel may lack; what was not
	// tried is not in it.
	Features map[string]string
	Test     Test
}

// Shared is a grant to the caller, and another one of some of the same ids to somebody
// else. Free is where nobody has ids, 0 for nowhere.
type Shared struct {
	Own, Other userns.Grant
	Free       uint32
}

// Attempt is what came of making the namespaces of a container.
type Attempt struct {
	// Errno says why a process in them could not be made.
	Errno string
	// Mount says why that process could mount nothing.
	Mount string
}

// Packages is how the host's packages are installed.
type Packages struct {
	// Manager is the program, as in apt-get; empty when not known.
	Manager string
	// Installed are the names of those that it has for installed.
	Installed []string
}

// Setter is newuidmap or newgidmap.
type Setter struct {
	// Gains: it is setuid root, or has the file capability for it.
	Gains bool
	// Nosuid: the mount that it is on ignores both. Mount is where that is.
	Nosuid bool
	Mount  string
	// Closed is where one is that nobody may execute, and none that somebody may.
	Closed string
}

// Cgroups is what the caller may limit.
type Cgroups struct {
	// Kernel are the controllers that the root of cgroup2 has.
	Kernel []string
	// Delegated are those of the cgroup Path, below which the caller's containers
	// are; empty when there is none.
	Delegated []string
	Path      string
	// Service is the unit of the caller's service manager; empty for root.
	Service string
}

// Manager is the caller's service manager.
type Manager struct {
	// Socket is where it answered, Version what it is; Trouble why it did not.
	Socket  string
	Version int
	Trouble string
	// Own: root's, the machine's.
	Own bool
	// BusUnit is the file of the unit that listens for the session's bus; empty
	// where none is installed.
	BusUnit string
}

// Session is what a login gives a user.
type Session struct {
	// Given is $XDG_RUNTIME_DIR, GivenErrno what is wrong with it: EPERM when it
	// belongs to somebody else.
	Given, GivenErrno string
	// Usual is /run/user/UID, UsualErrno the same of it.
	Usual, UsualErrno string
	// Linger: the service manager stays when the user logs out.
	Linger bool
	// Logind: somebody there can say so.
	Logind bool
}

// Program is one of the host's.
type Program struct {
	// Path is empty when it is not installed.
	Path string
	// Version is the first line of what --version prints, Trouble why it fails.
	Version, Trouble string
}

// Network is what connects containers.
type Network struct {
	// Tun is the errno of opening /dev/net/tun. TunDriver: the kernel has its driver.
	Tun          string
	TunDriver    bool
	Pasta, Slirp Program
	Nsenter      Program
	// PingGroups is net.ipv4.ping_group_range, FirstPort
	// net.ipv4.ip_unprivileged_port_start; empty where they cannot be read.
	PingGroups, FirstPort string
}

// Helper is a program that belongs to homerun.
type Helper struct {
	Path string
	// Places are where it was looked for; Elsewhere is where one of that name is
	// that homerun does not take.
	Places    []string
	Elsewhere string
}

// Root is the state root.
type Root struct {
	Path string
	// Given: it is that of --root.
	Given bool
	// There: it exists. Owner and Mode are its own.
	There bool
	Owner int
	Mode  uint32
	// Errno is why nothing can be made in it, or it cannot be made.
	Errno string
	// Mount is the file system that it is or would be on, Full whether that has no
	// room or no file left.
	Mount string
	Full  bool
	// Directory: what is there is one.
	Directory bool
	// Aside is where what is there can be moved: nothing is there yet.
	Aside string
}

// Test is a container that was run.
type Test struct {
	// Done: it was tried.
	Done bool
	// Trouble is what homerun said, first line first; empty when it ran.
	Trouble string
	Phases  []Phase
}

// Phase is how long a part of the test took.
type Phase struct {
	Name         string  `json:"name"`
	Milliseconds float64 `json:"milliseconds"`
}
