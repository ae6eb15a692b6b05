package doctor

import (
	"fmt"
	"strings"
)

// feature is what a kernel may lack, and a plan may want.
type feature struct {
	// Name is that of the row.
	Name string
	// has says what is there; consequence what does not work without; since the
	// first Linux that has it.
	has, consequence, since string
}

// features are those whose absence changes what homerun does.
func features() []feature {
	return []feature{
		{"overlay", "overlayfs in a user namespace", "storage of engines needs fuse-overlayfs, and a throw-away root cannot be had", "5.11"},
		{"idmapped-mounts", "id-mapped mounts, for who is root of the file system", "a mount with uidMappings, or with the option idmap, is refused", "5.12"},
		{"cgroup-kill", "cgroup.kill", "a container without a PID namespace of its own is killed process by process", "5.14"},
		{"clone-into-cgroup", "clone3 with CLONE_INTO_CGROUP", "each start and exec moves its process, and waits some 10 ms for the kernel", "5.7"},
		{"seccomp-notify", "seccomp user notification", "a profile with SCMP_ACT_NOTIFY is refused", "5.0"},
		{"time-namespaces", "time namespaces", "a config with a time namespace is refused", "5.6"},
		{"landlock", "Landlock", "programs in a container cannot confine themselves by it; homerun does not use it", "5.13"},
	}
}

func (h *Host) feature(f feature) Row {
	errno, tried := h.Features[f.Name]
	switch {
	case !tried:
		return Row{}
	case errno == "":
		return fine(f.has)
	}
	r := Row{State: Degraded, Found: "no " + f.has + ": " + errno, Consequence: f.consequence, Advice: "Linux " + f.since + " or later, built with it, has it"}
	if f.Name == "clone-into-cgroup" && h.Filtered {
		r.Advice = outerSeccomp
	}
	return r
}

// selfTest is about a container that was run.
func (h *Host) selfTest() Row {
	t := &h.Test
	switch {
	case !t.Done:
		return Row{}
	case t.Trouble != "":
		return Row{State: Missing, Found: t.Trouble, Consequence: "homerun run --rootfs / --net none -- true does not work",
			Advice: "mend the rows above first, if any is missing; homerun --debug run --rootfs / --net none -- true shows each step"}
	}
	var texts []string
	total := 0.0
	for _, p := range t.Phases {
		texts = append(texts, fmt.Sprintf("%s %.1f", p.Name, p.Milliseconds))
		total += p.Milliseconds
	}
	return fine(fmt.Sprintf("a container ran true in %.1f ms: %s", total, strings.Join(texts, ", ")))
}
