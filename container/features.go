package container

import (
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/rootfs"
	"github.com/homerun-oci/homerun/seccomp"
	"github.com/homerun-oci/homerun/seccomp/compiler"
	"github.com/homerun-oci/homerun/systemd"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// Features says what this runtime can do, whatever the host allows:
// features.md and features-linux.md of the runtime specification. Only
// seccomp's part looks at the system: whether the helper is installed, which
// architectures it takes, and which flags the kernel does.
func Features(h Helpers) *features.Features {
	return &features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: specs.Version,
		Hooks:         []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"},
		MountOptions:  rootfs.OptionNames(),
		Linux: &features.Linux{
			Namespaces:      []string{"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"},
			Capabilities:    plan.Capabilities(),
			Cgroup:          &features.Cgroup{V1: flag(false), V2: flag(true), Systemd: flag(true), SystemdUser: flag(true), Rdma: flag(true)},
			Seccomp:         seccompFeatures(h),
			Apparmor:        &features.Apparmor{Enabled: flag(true)},
			Selinux:         &features.Selinux{Enabled: flag(true)},
			IntelRdt:        &features.IntelRdt{Enabled: flag(true), Schemata: flag(true), Monitoring: flag(true)},
			MemoryPolicy:    memoryPolicies(),
			MountExtensions: &features.MountExtensions{IDMap: &features.IDMap{Enabled: flag(true)}},
			NetDevices:      &features.NetDevices{Enabled: flag(true)},
		},
		// What others' containers must not set: it reaches beyond them.
		PotentiallyUnsafeConfigAnnotations: []string{systemd.AnnotationPrefix, "run.homerun.", "run.oci."},
	}
}

// memoryPolicies lists what package process sets; a test holds it to that.
func memoryPolicies() *features.MemoryPolicy {
	return &features.MemoryPolicy{
		Modes: []string{"MPOL_BIND", "MPOL_DEFAULT", "MPOL_INTERLEAVE", "MPOL_LOCAL", "MPOL_PREFERRED", "MPOL_PREFERRED_MANY",
			"MPOL_WEIGHTED_INTERLEAVE"},
		Flags: []string{"MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"},
	}
}

func flag(b bool) *bool { return &b }

func seccompFeatures(h Helpers) *features.Seccomp {
	s := &features.Seccomp{Enabled: flag(false), Operators: seccomp.Operators(), SupportedFlags: compiler.SupportedFlags()}
	if program, _ := h.seccomp(); program != "" {
		if archs, err := compiler.SupportedArchitectures(program); err == nil {
			s.Enabled, s.Archs = flag(true), archs
		}
	}
	for _, a := range seccomp.Actions() {
		s.Actions = append(s.Actions, a.Name)
	}
	for _, f := range seccomp.Flags() {
		s.KnownFlags = append(s.KnownFlags, f.Name)
	}
	return s
}
