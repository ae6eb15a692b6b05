package userns

import (
	"fmt"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
)

// helperDirectories is for messages; host/probe has the list that is searched.
const helperDirectories = "/usr/bin, /bin, /usr/local/bin, /usr/sbin, /sbin"

// HintGrant says how to come by subordinate ids. Whose maps are refused may have
// asked for ids that are somebody else's, or the host's own: only ids that are
// granted already, or that nobody has, are ever proposed.
func HintGrant(kind Kind, facts *host.Facts) string {
	if Granted(facts).Source != "" {
		return "subordinate ids come from " + Granted(facts).Source + " on this host: ask its administrator for the range"
	}
	if granted := ranges(kind, facts); len(granted) > 0 {
		return fmt.Sprintf("map %ss that are granted (%s), or none but the own one", kind, describeRanges(granted))
	}
	if n := unreadable(kind, facts); n > 0 {
		return fmt.Sprintf("line %d of %s is not NAME:FIRST:COUNT; it may end with a carriage return or a comment", n, kind.file())
	}
	free, login := freeStart(kind, facts), Granted(facts).Login
	switch {
	case free == 0:
		return fmt.Sprintf("ask the host's administrator for a range of %d %ss in %s that nobody else has", UsualSize, kind, kind.file())
	case login == "":
		return fmt.Sprintf("add the line %d:%d:%d to %s", facts.Process.UID, free, UsualSize, kind.file())
	}
	return fmt.Sprintf("sudo usermod --add-sub%ss %s %s", kind, runText(free, UsualSize), login)
}

func freeStart(kind Kind, facts *host.Facts) uint32 {
	if kind == GID {
		return Granted(facts).FreeGID
	}
	return Granted(facts).FreeUID
}

func unreadable(kind Kind, facts *host.Facts) int {
	if kind == GID {
		return Granted(facts).GIDLine
	}
	return Granted(facts).UIDLine
}

func trouble(kind Kind, facts *host.Facts) host.Trouble {
	if kind == GID {
		return Granted(facts).GIDTrouble
	}
	return Granted(facts).UIDTrouble
}

// troubleText is why a helper gains no privilege, and what helps; empty without
// trouble.
func troubleText(kind Kind, facts *host.Facts) (why, hint string) {
	path := helper(kind, facts)
	switch trouble(kind, facts) {
	case host.TroubleNosuid:
		return path + " is on a file system mounted nosuid", HintNosuid(path)
	case host.TroubleBounding:
		return path + " gains no privilege: the capability bounding set lacks CAP_SYS_ADMIN, CAP_SETUID or CAP_SETGID",
			"an outer container or a unit (CapabilityBoundingSet=) took it away; with podman: --cap-add SYS_ADMIN, or map only the own id"
	case host.TroubleNobody:
		return fmt.Sprintf("%s wants a login name, and uid %d has none", path, facts.Process.UID), "add the user to /etc/passwd, or map only the own id"
	}
	return "", ""
}

// HintNoNewPrivileges says where no_new_privs may come from.
func HintNoNewPrivileges() string {
	return "no_new_privs is inherited: from NoNewPrivileges= or a hardening option of a systemd unit, " +
		"from an outer container's noNewPrivileges, or from a sandbox; run outside of it, or map only the own id"
}

// HintNotSetuid says how to give the helper at path its privilege.
func HintNotSetuid(kind Kind, path string) string {
	return fmt.Sprintf("%s is neither setuid root nor has the file capability cap_set%s: sudo chmod u+s %s (or: sudo setcap cap_set%s=ep %s)",
		path, kind, path, kind, path)
}

// HintNosuid is for a helper on a mount that ignores setuid and file
// capabilities.
func HintNosuid(path string) string {
	return path + " is on a file system mounted nosuid, so it gains no privilege: remount it with suid, or install the helper elsewhere"
}

// HintOwner is for "Target process is owned by a different user", newuidmap's
// answer when its caller's gid is not the one in /etc/passwd: after newgrp, or
// with Group= in a unit.
func HintOwner(gid int) string {
	return fmt.Sprintf("newuidmap wants the caller's gid, %d, to be its primary group in /etc/passwd: "+
		"leave newgrp, drop Group=, or set GRANT_AUX_GROUP_SUBIDS yes in /etc/login.defs", gid)
}

func hintInstall(kind Kind) string {
	return "install " + kind.program() + ": sudo apt install uidmap, or sudo dnf install shadow-utils"
}

func hintNested(kind Kind) string {
	return "the runtime runs in a nested user namespace; give the outer one more ids, or map only ids that /proc/self/" + string(kind) + "_map has"
}

func orSingle(kind Kind, facts *host.Facts) string {
	return fmt.Sprintf("; or map only %s %d", kind, ownID(kind, facts))
}

// Unavailable explains why no user namespace could be made: errno is the name
// of what clone(2) answered, kernel what probe.ExplainUserNamespaces found, and
// executable the runtime's own path, for the AppArmor profile.
func Unavailable(errno string, kernel *host.Kernel, executable string) *fault.Error {
	why, hint := unavailable(errno, kernel, executable)
	return &fault.Error{Code: CodeUnavailable, What: "user namespace", Why: why, Hint: hint}
}

func unavailable(errno string, kernel *host.Kernel, executable string) (why, hint string) {
	switch {
	case errno == "ENOSPC" && kernel.MaxUserNamespaces == 0:
		return "user.max_user_namespaces is 0: " + words(errno),
			"sudo sysctl user.max_user_namespaces=28633 (keep it in /etc/sysctl.d/userns.conf)"
	case errno == "ENOSPC" || errno == "EUSERS":
		return fmt.Sprintf("user.max_user_namespaces is %d and used up, or another limit below /proc/sys/user is, or namespaces are nested more than 32 deep: %s",
				kernel.MaxUserNamespaces, words(errno)),
			HintLimits
	case errno == "EINVAL":
		return "the kernel was built without CONFIG_USER_NS: invalid argument (EINVAL)", ""
	case strings.HasSuffix(kernel.UserNamespaceRestricted, "apparmor_restrict_unprivileged_userns"):
		return "AppArmor restricts unprivileged user namespaces (" + kernel.UserNamespaceRestricted + "=1): " + words(errno),
			HintAppArmor(executable)
	case kernel.UserNamespaceRestricted != "":
		return "forbidden by " + kernel.UserNamespaceRestricted + "=0: " + words(errno),
			"sudo sysctl " + kernel.UserNamespaceRestricted + "=1 (keep it in /etc/sysctl.d/userns.conf)"
	case kernel.MaxUserNamespaces == 0:
		return "user.max_user_namespaces is 0: " + words(errno),
			"sudo sysctl user.max_user_namespaces=28633 (keep it in /etc/sysctl.d/userns.conf)"
	}
	return words(errno), "a seccomp filter, a security module or a chroot of the outer container forbids it"
}

// HintLimits is the way out where the kernel does not say which limit on namespaces is hit.
const HintLimits = "sysctl user shows the limits; raise the one that is too small, as with sudo sysctl user.max_net_namespaces=28633 " +
	"(keep it in /etc/sysctl.d/userns.conf)"

func words(errno string) string {
	switch errno {
	case "EPERM":
		return "operation not permitted (EPERM)"
	case "EACCES":
		return "permission denied (EACCES)"
	case "ENOSPC":
		return "no space left on device (ENOSPC)"
	case "EUSERS":
		return "too many users (EUSERS)"
	}
	return errno
}

// HintAppArmor is the way out of Ubuntu's restriction (23.10 and later): a
// profile that attaches to the runtime's path and allows user namespaces.
func HintAppArmor(executable string) string {
	return "write " + AppArmorPath + " and run sudo apparmor_parser -r " + AppArmorPath + "\n" + AppArmorProfile(executable)
}

// AppArmorPath is where the profile goes.
const AppArmorPath = "/etc/apparmor.d/homerun"

// AppArmorProfile is the profile for the runtime at the path executable.
func AppArmorProfile(executable string) string {
	return "abi <abi/4.0>,\n" +
		"include <tunables/global>\n" +
		"profile homerun " + quote(executable) + " flags=(unconfined) {\n" +
		"  userns,\n" +
		"  include if exists <local/homerun>\n" +
		"}\n"
}

// quote protects blanks and the characters that AppArmor globs on.
func quote(path string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(path) {
		if strings.IndexByte(`\"*?[]{}^@`, c) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	b.WriteByte('"')
	return b.String()
}
