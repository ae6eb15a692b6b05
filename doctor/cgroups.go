package doctor

import "slices"

// delegate is the line that delegates all controllers of use.
const delegate = "Delegate=cpu cpuset io memory pids"

func (h *Host) cgroupV2() Row {
	c := h.Facts.Cgroup
	switch {
	case c == nil || c.MountPoint == "":
		return Row{State: Missing, Found: "cgroup2 is not mounted", Consequence: noLimits, Advice: "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line"}
	case !c.Unified:
		return Row{State: Missing, Found: "controllers are those of cgroup v1; cgroup2 is at " + c.MountPoint, Consequence: noLimits,
			Advice: "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line"}
	case c.ReadOnly:
		return Row{State: Missing, Found: c.MountPoint + " is mounted read-only, as in an outer container", Consequence: noLimits,
			Advice: "with podman, start the outer container with --security-opt unmask=/sys/fs/cgroup; with docker, with --cgroupns=private and the mount writable"}
	}
	return fine(c.MountPoint)
}

const noLimits = "a config with limits is refused, and others run without statistics and freezing"

// controller is one of cgroup2, and what it is for.
type controller struct {
	name, use string
	// state is what its absence means: systemd delegates some to everybody.
	state State
	// boot is what the kernel's command line may lack.
	boot string
}

func controllers() []controller {
	return []controller{
		{"memory", "limits of memory and swap, the memory of stats, and the notice of a kill for want of memory", Missing, "cgroup_enable=memory"},
		{"pids", "limits on the number of processes", Missing, ""},
		{"cpu", "limits and shares of cpu time", Missing, ""},
		{"cpuset", "cpus and memory nodes to run on", Degraded, ""},
		{"io", "limits and weights of disks", Degraded, ""},
	}
}

func (h *Host) controller(c controller) Row {
	if f := h.Facts.Cgroup; f == nil || !f.Unified || f.ReadOnly || h.Cgroups.Path == "" {
		return Row{} // said already
	}
	r := Row{State: c.state, Consequence: "refused: " + c.use}
	switch {
	case slices.Contains(h.Cgroups.Delegated, c.name):
		return fine("delegated to " + h.Cgroups.Path)
	case !slices.Contains(h.Cgroups.Kernel, c.name):
		r.State, r.Found = Degraded, "the kernel has no such controller in cgroup2"
		if r.Advice = "boot a kernel that has it, and that does not have it in cgroup v1"; c.boot != "" {
			r.Advice = "boot with " + c.boot + " on the kernel's command line"
		}
	case h.Cgroups.Service == "":
		r.Found = "not given to " + h.Cgroups.Path
		r.Advice = "whoever made that cgroup has to give it: Delegate= of a unit, or cgroup.subtree_control of the cgroup above"
	default:
		r.Found = "not delegated to " + h.Cgroups.Service
		r.Fix = []string{"sudo mkdir -p " + dropIns,
			// By its name it is read after what others have put there.
			"printf '[Service]\\n" + delegate + "\\n' | sudo tee " + dropIns + "/zz-homerun.conf",
			"sudo systemctl daemon-reload", "sudo systemctl restart " + h.Cgroups.Service}
		r.Advice = "the last command ends what runs under the user's service manager; logging out and in, or a reboot, does it too"
	}
	return r
}

const dropIns = "/etc/systemd/system/user@.service.d"
