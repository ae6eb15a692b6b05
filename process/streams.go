package process

import (
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// Streams gives the standard streams to uid, so that the program can open
// /dev/stdout again; the group stays. A stream is changed through its
// descriptor, never by a name in the container (CVE-2026-88265). Where the file
// system or the id maps forbid it, it stays as it is.
func Streams(b *plan.Builder, streams []host.Stream, uid uint32) {
	b.At("process.user.uid", "give the standard streams to the user")
	for fd, s := range streams {
		if s.Give {
			b.Try(plan.Fchown{FD: plan.Int(fd), UID: int(uid), GID: -1},
				plan.Ignore(unix.EPERM, unix.EROFS, unix.EINVAL, unix.ENOSYS)...)
		}
	}
}
