package store

import (
	"os"
	"path/filepath"
	"strconv"

	"github.com/homerun-oci/homerun/proc"
	"golang.org/x/sys/unix"
)

// DefaultRoot finds the state root: /run/homerun for root; else the user's
// runtime directory, only if it exists and belongs to the user, since after su
// it may be somebody else's; else a directory below /tmp that is checked when
// it is used. environment is os.Getenv.
func DefaultRoot(environment func(string) string) string {
	uid := os.Geteuid()
	return defaultRoot(outerUID(uid, uid != 0 || proc.InInitialUserNamespace(), environment), environment)
}

// defaultRoot is the state root of a user of the host; of none when uid is -1.
func defaultRoot(uid int, environment func(string) string) string {
	if uid == 0 {
		return "/run/homerun"
	}
	for _, dir := range []string{environment("XDG_RUNTIME_DIR"), "/run/user/" + strconv.Itoa(uid)} {
		if filepath.IsAbs(dir) && ownedBySelf(dir) {
			return filepath.Join(dir, "homerun")
		}
	}
	return "/tmp/homerun-" + strconv.Itoa(uid)
}

// DefaultCache is the directory for compiled seccomp profiles: beside the state root
// of DefaultRoot, so that those who list a state root, this runtime or another, find
// containers only.
func DefaultCache(defaultRoot string) string { return defaultRoot + "-seccomp" }

// outerUID is the user's id outside a user namespace in which podman, or
// another manager, made us root; initial says that we are in no such one. It is
// -1 for root of a nested one with a runtime directory of its own.
func outerUID(uid int, initial bool, environment func(string) string) int {
	if uid != 0 || initial {
		return uid
	}
	if outer, err := strconv.Atoi(environment("_CONTAINERS_ROOTLESS_UID")); err == nil {
		return outer
	}
	if ownedBySelf(environment("XDG_RUNTIME_DIR")) {
		return -1
	}
	return uid
}

// ownedBySelf reports whether it is a directory, and this user's.
func ownedBySelf(dir string) bool {
	var st unix.Stat_t
	return dir != "" && unix.Lstat(dir, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR && int(st.Uid) == os.Geteuid()
}
