package proc

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// AwaitStatus asks the kernel how a process ended that may be somebody else's
// child, and waits for that until its parent has looked after it, for the given
// time at most, and until ctx ends: then poll(2) reports POLLHUP. ok is false when the kernel does not
// tell, which it does from Linux 6.15 on (PIDFD_GET_INFO).
func AwaitStatus(ctx context.Context, pidfd int, limit time.Duration) (status unix.WaitStatus, ok bool) {
	_, _ = Poll(ctx, []unix.PollFd{{Fd: int32(pidfd)}}, limit) // POLLHUP alone; without it there is no status
	return exitStatus(pidfd)
}
