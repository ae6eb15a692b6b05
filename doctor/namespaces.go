package doctor

import (
	"fmt"
	"strings"

	"github.com/homerun-oci/homerun/plain"
	"github.com/homerun-oci/homerun/userns"
)

const nothingRuns = "no container runs: each has a user namespace of its own"

// kernel is about what no container can do without.
func (h *Host) kernel() Row {
	for _, name := range []string{"mount_setattr", "openat2", "pidfd_open"} {
		if errno := h.Features[name]; errno == "ENOSYS" || errno == "EPERM" && h.Filtered {
			r := Row{State: Missing, Found: "Linux " + h.Release + " has no " + name, Consequence: "no container runs", Advice: "boot Linux 5.14 or later"}
			if h.Filtered {
				r.Found, r.Advice = "a seccomp filter refuses "+name, outerSeccomp
			}
			return r
		}
	}
	return fine("Linux " + h.Release)
}

const outerSeccomp = "an outer container refuses it: give that --security-opt seccomp=unconfined, or a newer engine's profile"

func (h *Host) userNamespaces() Row {
	a, k := h.Attempt, h.Facts.Kernel
	errno := a.Errno
	if errno == "" {
		errno = a.Mount
	}
	if errno == "" {
		return fine(fmt.Sprintf("can be made; user.max_user_namespaces is %d", k.MaxUserNamespaces))
	}
	r := Row{State: Missing, Consequence: nothingRuns, Found: userns.Unavailable(errno, &k, h.Homerun).Why}
	switch {
	case strings.HasSuffix(k.UserNamespaceRestricted, "apparmor_restrict_unprivileged_userns"):
		r.Fix = []string{"printf '%s' " + plain.ShellWord(userns.AppArmorProfile(h.Homerun)) + " | sudo tee " + userns.AppArmorPath, "sudo apparmor_parser -r " + userns.AppArmorPath}
	case k.UserNamespaceRestricted != "":
		r.Fix = persist(k.UserNamespaceRestricted + "=1")
	case errno == "ENOSPC" || errno == "EUSERS" || k.MaxUserNamespaces == 0:
		r.Fix = persist("user.max_user_namespaces=28633")
	case errno == "EINVAL":
		r.Advice = "boot a kernel that was built with CONFIG_USER_NS"
	case errno == "EACCES" && h.SELinux:
		r.Found = "SELinux denies user namespaces: " + r.Found
		r.Fix = []string{"sudo ausearch -m avc -c homerun --raw | audit2allow -M homerun", "sudo semodule -i homerun.pp"}
	case h.Filtered:
		r.Found = "a seccomp filter is on this process, as an outer container has it: " + r.Found
		r.Advice = outerSeccomp
	case errno == "EPERM" && a.Errno != "":
		r.Advice = "a chroot, a security module or an outer user namespace that does not map this user forbids it: try outside of those"
	case a.Errno == "":
		r.Found = "a user namespace can be made, but nothing mounted in it: " + r.Found
		r.Advice = "a security module or an outer container forbids it"
	}
	return r
}

// memfd is about vm.memfd_noexec: what runs the plan is executed from a memfd, or,
// where that is forbidden, from a file.
func (h *Host) memfd() Row {
	switch h.Memfd {
	case "":
		return fine("can be executed")
	case "ENOSYS":
		return Row{State: Missing, Found: "the kernel has no memfd_create", Consequence: "no container runs", Advice: "boot Linux 5.14 or later"}
	}
	return Row{State: Degraded, Found: "memfds cannot be executed (vm.memfd_noexec=2): " + h.Memfd,
		Consequence: "each start writes a file of some pages to the state root, which must not be mounted noexec",
		Fix:         persist("vm.memfd_noexec=1")}
}
