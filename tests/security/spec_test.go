package security

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// newSpec is the config of an ordinary container, as engines write it.
func newSpec(c caller, args []string) *specs.Spec {
	if len(args) == 0 {
		args = []string{"ok"}
	}
	s := &specs.Spec{
		Version: "1.0.2",
		Root:    &specs.Root{Path: "rootfs"},
		Process: &specs.Process{
			Args: append([]string{"/inside"}, args...), Cwd: "/", NoNewPrivileges: true,
			Env: []string{"PATH=/usr/bin:/bin", "GODEBUG=madvdontneed=1"},
			Capabilities: &specs.LinuxCapabilities{Bounding: someCapabilities(), Effective: someCapabilities(),
				Permitted: someCapabilities()},
		},
		Hostname: "test",
		Mounts:   standardMounts(),
		Linux: &specs.Linux{
			Namespaces: namespaces(specs.PIDNamespace, specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace,
				specs.MountNamespace),
			MaskedPaths: []string{"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
				"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
	if c.namespace {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	}
	if c.namespace && !c.user {
		m := []specs.LinuxIDMapping{{ContainerID: 0, HostID: mappedID, Size: mappedSize}}
		s.Linux.UIDMappings, s.Linux.GIDMappings = m, m
	}
	return s
}

func someCapabilities() []string {
	return []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_MKNOD", "CAP_NET_BIND_SERVICE",
		"CAP_SETGID", "CAP_SETUID", "CAP_AUDIT_WRITE"}
}

func namespaces(types ...specs.LinuxNamespaceType) []specs.LinuxNamespace {
	var list []specs.LinuxNamespace
	for _, t := range types {
		list = append(list, specs.LinuxNamespace{Type: t})
	}
	return list
}

func standardMounts() []specs.Mount {
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}},
	}
}

// without drops the mounts at the destinations.
func without(list []specs.Mount, destinations ...string) []specs.Mount {
	var kept []specs.Mount
next:
	for _, m := range list {
		for _, d := range destinations {
			if m.Destination == d {
				continue next
			}
		}
		kept = append(kept, m)
	}
	return kept
}
