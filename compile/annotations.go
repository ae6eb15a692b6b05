package compile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/rootfs"
)

// annotations looks at those that crun knows, which callers set to say how a
// container is to be run. One that homerun does not follow, and whose absence
// would give another container than was asked for, such as a plain process in
// place of a virtual machine, is an error; any other is ignored with a warning.
func (c *compiler) annotations() error {
	var ignored []string
	for name, value := range c.spec.Annotations {
		if !strings.HasPrefix(name, "run.oci.") && name != wasmAnnotation {
			continue
		}
		pointer := fmt.Sprintf("annotations[%q]", name)
		switch name {
		case "run.oci.handler":
			return &fault.Error{Place: pointer, What: fmt.Sprintf("run with the handler %q", value),
				Why: "homerun has no handlers, and a plain container is not what was asked for"}
		case "run.oci.seccomp.plugins":
			return &fault.Error{Place: pointer, What: "load seccomp plugins", Why: "homerun has none",
				Hint: "an agent of its own can answer the calls: run.oci.seccomp.receiver names its socket"}
		case "run.oci.systemd.force_cgroup_v1":
			return &fault.Error{Place: pointer, What: "mount a hierarchy of cgroup v1", Why: "homerun has cgroup v2 only"}
		case "run.oci.mount_context_type":
			if !rootfs.IsContextOption(value) {
				return &fault.Error{Place: pointer, What: fmt.Sprintf("give linux.mountLabel by the mount option %q", value),
					Why: "that option takes no SELinux label: context, fscontext, defcontext and rootcontext do"}
			}
		}
		if !slices.Contains(followed[:], name) {
			ignored = append(ignored, pointer)
		}
	}
	slices.Sort(ignored)
	for _, pointer := range ignored {
		c.warn("%s: unknown to homerun, ignored", pointer)
	}
	return nil
}

// wasmAnnotation asks crun to run a WebAssembly module. The kernel refuses one,
// or knows an interpreter (binfmt_misc), so that ignoring it hides nothing.
const wasmAnnotation = "module.wasm.image/variant"

// followed lists the annotations of crun that mean the same here.
var followed = [...]string{
	"run.oci.delegate-cgroup", "run.oci.hooks.stderr", "run.oci.hooks.stdout", "run.oci.keep_original_groups",
	"run.oci.mount_context_type", "run.oci.pidfd_receiver", "run.oci.seccomp.receiver", "run.oci.seccomp_bpf_data",
	"run.oci.seccomp_fail_unknown_syscall", "run.oci.systemd.subgroup",
}
