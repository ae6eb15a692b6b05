// Package privilege looks at whether a helper of userns gains the privilege that
// it is installed for. It reads the file system; package userns does not.
package privilege

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/userns"
)

// Gains reports whether a helper is setuid root, or has the file
// capability for the map: capabilities(7).
func Gains(path string, kind userns.Kind) bool {
	if IsSetuid(path) {
		return true
	}
	var buf [64]byte
	n, err := unix.Getxattr(path, "security.capability", buf[:])
	return err == nil && permits(buf[:n], kind)
}

// IsSetuid reports whether a file is setuid root.
func IsSetuid(path string) bool {
	var st unix.Stat_t
	return unix.Stat(path, &st) == nil && st.Mode&unix.S_ISUID != 0 && st.Uid == 0
}

// permits reads a file's capabilities, struct vfs_cap_data of
// <linux/capability.h>: after the magic come the lower 32 permitted ones.
func permits(xattr []byte, kind userns.Kind) bool {
	if len(xattr) < 8 {
		return false
	}
	bit := unix.CAP_SETUID
	if kind == userns.GID {
		bit = unix.CAP_SETGID
	}
	return binary.LittleEndian.Uint32(xattr[4:])&(1<<bit) != 0
}

// IsNosuid reports whether a file is on a mount that ignores both: mount(2).
func IsNosuid(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Flags&unix.ST_NOSUID != 0
}
