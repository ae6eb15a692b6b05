package lint

import (
	"fmt"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Subject is a config, and what of it is not in Config.
type Subject struct {
	Config *specs.Spec
	// Seccomp: it has a profile.
	Seccomp bool
	// HostRoot: who runs it is root of the machine.
	HostRoot bool
	// Home is that of who runs it; may be empty.
	Home string
	// Open are the places of paths that others than their owner can write, and the
	// paths.
	Open []OpenPath
}

// OpenPath is a path in a config that somebody else can write.
type OpenPath struct{ Place, Path string }

// Unsafe lists what lets a container reach further than it usually does.
func Unsafe(s Subject) []Finding {
	u := unsafety{Subject: s}
	u.process()
	u.namespaces()
	u.ids()
	u.root()
	u.mounts()
	u.kernelFiles()
	u.devices()
	for _, p := range s.Open {
		u.add(p.Place, "", "%s can be written by others than its owner, who then decide what runs here", p.Path)
	}
	return u.list
}

type unsafety struct {
	Subject
	list []Finding
}

func (u *unsafety) add(place, advice, format string, args ...any) {
	u.list = append(u.list, Finding{Kind: KindUnsafe, Place: place, Message: fmt.Sprintf(format, args...), Advice: advice})
}

// linux is the part of that name; never nil.
func (u *unsafety) linux() *specs.Linux {
	if u.Config.Linux == nil {
		return &specs.Linux{}
	}
	return u.Config.Linux
}

func (u *unsafety) namespace(kind specs.LinuxNamespaceType) *specs.LinuxNamespace {
	list := u.linux().Namespaces
	if i := slices.IndexFunc(list, func(n specs.LinuxNamespace) bool { return n.Type == kind }); i >= 0 {
		return &list[i]
	}
	return nil
}

// asHostRoot reports whether root in the container is root of the machine.
func (u *unsafety) asHostRoot() bool { return u.HostRoot && u.namespace(specs.UserNamespace) == nil }

// reach says what a capability is good for, where it is good for more than the container.
func reach(capability string) string {
	switch capability {
	case "CAP_SYS_ADMIN":
		return "can mount, trace by bpf, set namespaces, and much more"
	case "CAP_SYS_MODULE":
		return "can load kernel modules"
	case "CAP_SYS_RAWIO":
		return "can read and write the machine's memory and ports"
	case "CAP_SYS_PTRACE":
		return "can trace and change each process that it sees"
	case "CAP_DAC_READ_SEARCH":
		return "can open files of the host by handle (open_by_handle_at)"
	case "CAP_SYS_BOOT", "CAP_SYS_TIME", "CAP_SYSLOG", "CAP_MAC_ADMIN", "CAP_MAC_OVERRIDE", "CAP_BPF", "CAP_PERFMON":
		return "reaches the whole machine"
	}
	return ""
}

func (u *unsafety) process() {
	p := u.Config.Process
	if p == nil {
		return
	}
	if !p.NoNewPrivileges {
		u.add("process.noNewPrivileges", "set it to true", "setuid programs in the container gain their owner's rights")
	}
	if !u.Seccomp {
		u.add("linux.seccomp", "give it a profile, such as podman's", "there is no seccomp filter: the program may make each system call of the kernel")
	}
	if p.Capabilities == nil {
		return
	}
	lists := []struct {
		name string
		list []string
	}{{"effective", p.Capabilities.Effective}, {"permitted", p.Capabilities.Permitted}, {"bounding", p.Capabilities.Bounding}, {"ambient", p.Capabilities.Ambient}}
	seen := map[string]bool{}
	for _, l := range lists {
		for i, name := range l.list {
			if what := reach(name); what != "" && !seen[name] {
				seen[name] = true
				if !u.asHostRoot() {
					what += ", as far as its user namespace goes: more of the kernel can be attacked"
				}
				u.add(fmt.Sprintf("process.capabilities.%s[%d]", l.name, i), "leave it out", "with %s the program %s", name, what)
			}
		}
	}
}

// shared says what a container can do in a namespace of the host's.
func shared() []struct {
	kind specs.LinuxNamespaceType
	what string
} {
	return []struct {
		kind specs.LinuxNamespaceType
		what string
	}{
		{specs.MountNamespace, "what it mounts is seen by all, and it can leave its root"},
		{specs.PIDNamespace, "it sees the host's processes, and may signal and trace those of the same user"},
		{specs.NetworkNamespace, "it reaches what listens on the host's loopback, and abstract sockets"},
		{specs.IPCNamespace, "it reaches the host's shared memory and queues"},
	}
}

func (u *unsafety) namespaces() {
	for _, s := range shared() {
		switch n := u.namespace(s.kind); {
		case n == nil:
			u.add("linux.namespaces", "", "the container shares the host's %s namespace: %s", s.kind, s.what)
		case isHosts(n.Path):
			u.add("linux.namespaces", "", "the container joins the %s namespace of %s: if that is the host's, %s", s.kind, n.Path, s.what)
		}
	}
	if u.asHostRoot() {
		u.add("linux.namespaces", "add a user namespace, or run it as an ordinary user", "without a user namespace root in the container is root of this machine")
	}
	if p := u.linux().RootfsPropagation; p == "shared" || p == "rshared" {
		u.add("linux.rootfsPropagation", "", "what the container mounts comes back to the host")
	}
}

// isHosts reports whether a path names a namespace of the first process, or of who calls.
func isHosts(name string) bool {
	return strings.HasPrefix(name, "/proc/1/") || strings.HasPrefix(name, "/proc/self/") || strings.HasPrefix(name, "/proc/thread-self/")
}

func (u *unsafety) ids() {
	l := u.linux()
	for _, m := range []struct {
		name string
		list []specs.LinuxIDMapping
	}{{"uidMappings", l.UIDMappings}, {"gidMappings", l.GIDMappings}} {
		for i, line := range m.list {
			if line.HostID == 0 && line.Size > 0 && u.HostRoot {
				u.add(fmt.Sprintf("linux.%s[%d]", m.name, i), "map ids that nobody else has", "the host's id 0 is in the container: it owns the host's files")
			}
		}
	}
}

// sockets are those by which one tells an engine what to run, or systemd.
var sockets = []string{"docker.sock", "podman.sock", "containerd.sock", "crio.sock", "buildkitd.sock", "cri-dockerd.sock", "system_bus_socket"}

// valuable are directories of the host that say what the host does.
var valuable = []string{"/", "/etc", "/boot", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/root", "/home", "/var", "/var/run", "/run", "/dev", "/proc", "/sys", "/sys/fs/cgroup"}

// root is about a root that is the host's own.
func (u *unsafety) root() {
	if r := u.Config.Root; r != nil && !r.Readonly && path.Clean(r.Path) == "/" {
		u.add("root", "set root.readonly to true", "the root is the host's, and can be written, as far as the container's ids may")
	}
}

func (u *unsafety) mounts() {
	for i, m := range u.Config.Mounts {
		place := fmt.Sprintf("mounts[%d]", i)
		source := path.Clean(m.Source)
		bound := m.Type == "bind" || slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
		readOnly := slices.Contains(m.Options, "ro") || slices.Contains(m.Options, "rro")
		switch {
		case bound && (slices.Contains(sockets, path.Base(source)) || strings.HasSuffix(source, "/systemd/private")):
			u.add(place+".source", "leave it out; ro does not help, as one talks to a socket all the same",
				"who talks to %s has things run outside of the container", source)
		case bound && !readOnly:
			u.written(place, source)
		case m.Type == "sysfs" && !readOnly:
			u.add(place, "add the option ro", "/sys can be written")
		case m.Type == "cgroup" && !readOnly && u.namespace(specs.CgroupNamespace) == nil:
			u.add(place, "add the option ro, or a cgroup namespace", "the host's cgroups can be written")
		}
		if p := propagation(m.Options); bound && p != "" {
			u.add(place+".options", "", "%s: what the container mounts there comes back to the host", p)
		}
	}
}

// written is about what the container may change of the host.
func (u *unsafety) written(place, source string) {
	switch {
	case slices.Contains(valuable, source):
		u.add(place, "add the option ro", "the host's %s can be written, as far as the container's ids may", source)
	case u.Home != "" && source == path.Clean(u.Home):
		u.add(place, "add the option ro, or bind a directory in it", "your home %s can be written, with what your shell and your desktop start", source)
	}
}

func propagation(options []string) string {
	for _, o := range options {
		if o == "shared" || o == "rshared" {
			return o
		}
	}
	return ""
}

// kernelFiles are about what procfs has that is not the container's own.
func (u *unsafety) kernelFiles() {
	if !slices.ContainsFunc(u.Config.Mounts, func(m specs.Mount) bool { return m.Type == "proc" }) {
		return
	}
	l := u.linux()
	covered := slices.Concat(l.MaskedPaths, l.ReadonlyPaths)
	for _, name := range []string{"/proc/sys", "/proc/sysrq-trigger"} {
		if !slices.Contains(covered, name) {
			u.add("linux.readonlyPaths", "add "+name, "%s can be written by the container's root, as far as the kernel lets that", name)
		}
	}
	for _, name := range []string{"/proc/kcore", "/proc/keys"} {
		if !slices.Contains(l.MaskedPaths, name) {
			u.add("linux.maskedPaths", "add "+name, "%s shows what is not the container's", name)
		}
	}
}

func (u *unsafety) devices() {
	for i, d := range u.linux().Devices {
		if d.Type == "b" {
			u.add(fmt.Sprintf("linux.devices[%d]", i), "", "%s is a disk, which is read and written past all file systems", d.Path)
		}
	}
	if u.linux().Resources == nil {
		return
	}
	for i, d := range u.linux().Resources.Devices {
		everything := (d.Type == "" || d.Type == "a") && d.Major == nil && d.Minor == nil
		if d.Allow && everything && u.asHostRoot() {
			u.add(fmt.Sprintf("linux.resources.devices[%d]", i), "allow single ones", "all devices of the machine may be used")
		}
	}
}
