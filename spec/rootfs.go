package spec

import (
	"fmt"
	"path"
	"slices"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Rootfs describes a container without a bundle: `homerun run --rootfs`.
type Rootfs struct {
	// Path is the root directory, absolute.
	Path string
	// Args is the program; empty means a shell.
	Args []string
	// Env has NAME=VALUE entries that are added.
	Env []string
	// Person is who the program is, and what it sees of the caller's home.
	Person Person
	// Security is what confines it.
	Security Security
	// Cwd is the working directory in the container; Here, when not empty, is
	// bound at its own path, writable, and the working directory by default.
	Cwd, Here string
	// Hostname of the container.
	Hostname string
	// Volumes are SOURCE:DESTINATION[:OPTIONS].
	Volumes []string
	// ReadOnly is the root's; for / it includes everything mounted below.
	ReadOnly bool
	// Terminal gives the program a terminal of its own.
	Terminal bool
	// HostNetwork leaves the container in the caller's network namespace,
	// JoinedNetwork puts it into another that exists.
	HostNetwork, JoinedNetwork bool
	// TTYGroup says that group 5 is mapped.
	TTYGroup bool
	// Without are those of Optional's answers that the host forbids.
	Without []string
}

// Config makes the config.json. It fails on a volume that cannot be read.
func (r Rootfs) Config() (*specs.Spec, error) {
	s := Template(true)
	s.Root = &specs.Root{Path: r.Path, Readonly: r.ReadOnly}
	s.Hostname = r.Hostname
	s.Process.Terminal = r.Terminal
	s.Process.Args = r.Args
	if len(r.Args) == 0 {
		s.Process.Args = []string{"/bin/sh"}
	}
	s.Process.Rlimits = nil
	r.self(s)
	s.Process.Env = append(s.Process.Env, r.Env...)
	s.Process.Cwd = r.cwd()
	s.Mounts = append(append(r.scratch(), r.kernelMounts()...), r.homes()...)
	if slices.Contains(r.Without, OptionalHostname) {
		s.Hostname = ""
	}
	if r.HostNetwork {
		s.Linux.Namespaces = without(s.Linux.Namespaces, specs.NetworkNamespace)
	}
	r.Security.Confine(s)
	if err := r.binds(s); err != nil {
		return s, err
	}
	r.cover(s)
	return s, nil
}

// ownNetwork reports whether the container has a network namespace of its own.
func (r Rootfs) ownNetwork() bool { return !r.HostNetwork && !r.JoinedNetwork }

// kernelMounts are the usual mounts. A procfs that cannot be mounted is the outer
// one, in which a process in a user namespace of its own can look into none of
// those outside: ptrace(2).
func (r Rootfs) kernelMounts() []specs.Mount {
	var list []specs.Mount
	for _, m := range Mounts(r.TTYGroup) {
		if slices.Contains(r.Without, m.Destination) {
			if m.Type != "proc" {
				continue
			}
			m = bind("/proc", "/proc", m.Options)
		}
		list = append(list, m)
	}
	return list
}

// OptionalHostname is Optional's answer for the host name.
const OptionalHostname = "hostname"

// Optional finds what a container can do without, for Rootfs.Without: pointer is
// the part of Config's result s that the host refused with errno, which is 0 where
// there is none. It is empty where the caller asked for that part, or where the
// host's own would be seen in its place: a sysfs is left out only where it has no
// mount point. note says what the container has instead.
func Optional(s *specs.Spec, pointer string, errno unix.Errno) (without, note string) {
	if pointer == OptionalHostname {
		return pointer, "the container has the outer host name: setting one is forbidden here"
	}
	if pointer == OptionalPorts {
		return pointer, "ports below 1024 need a privilege in the container: a kernel parameter cannot be set here"
	}
	for i, m := range s.Mounts {
		if pointer != fmt.Sprintf("mounts[%d]", i) {
			continue
		}
		switch {
		case m.Type == "proc" && errno == unix.EPERM:
			return m.Destination, "the container's /proc is the outer one, with the outer processes: where parts of that are covered, as in a " +
				"container or by ProtectKernelTunables=, no new one can be mounted"
		case m.Type == "sysfs" && errno == unix.EROFS, m.Type == "cgroup", m.Type == "mqueue":
			return m.Destination, "the container has no " + m.Destination + ": it cannot be mounted here"
		}
	}
	return "", ""
}

// usualCapabilities are what package managers and daemons expect of root; in a
// user namespace they reach no further than the container.
func usualCapabilities() *specs.LinuxCapabilities {
	list := []string{"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
		"CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"}
	return &specs.LinuxCapabilities{Bounding: list, Effective: list, Permitted: list}
}

func (r Rootfs) cwd() string {
	switch {
	case r.Cwd != "":
		return r.Cwd
	case r.Here != "":
		return r.Here
	}
	return "/"
}

// scratch are the directories of the host's own file system that a container
// on / gets new.
func (r Rootfs) scratch() []specs.Mount {
	if r.Path != "/" {
		return nil
	}
	return []specs.Mount{
		{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=1777"}},
		{Destination: "/run", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=755"}},
	}
}

// binds adds the current directory and the volumes, with what keeps keys where they are.
func (r Rootfs) binds(s *specs.Spec) error {
	if r.Person.Visible == "rw" {
		s.Mounts = append(s.Mounts, r.held(r.Person.Home)...)
	}
	if r.Here != "" {
		s.Mounts = append(append(s.Mounts, bind(r.Here, r.Here, nil)), r.held(r.Here)...)
	}
	for _, v := range r.Volumes {
		parts := strings.SplitN(v, ":", 3)
		if len(parts) < 2 || !path.IsAbs(parts[1]) || parts[0] == "" {
			return fmt.Errorf("volume %q: want SOURCE:DESTINATION[:OPTIONS] with an absolute destination", v)
		}
		var options []string
		if len(parts) == 3 {
			options = strings.Split(parts[2], ",")
		}
		s.Mounts = append(s.Mounts, bind(parts[0], parts[1], options))
	}
	return nil
}

func bind(source, destination string, options []string) specs.Mount {
	return specs.Mount{Destination: destination, Type: "bind", Source: source, Options: append([]string{"rbind"}, options...)}
}

func without(list []specs.LinuxNamespace, t specs.LinuxNamespaceType) []specs.LinuxNamespace {
	var out []specs.LinuxNamespace
	for _, ns := range list {
		if ns.Type != t {
			out = append(out, ns)
		}
	}
	return out
}
