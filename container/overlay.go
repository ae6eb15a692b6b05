package container

import (
	"context"
	"fmt"
	"time"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"
)

// lockLimit is how long somebody who has the lock of a directory may still have it: the
// first process of a container that has ended ends a moment after it.
const lockLimit = time.Second

// lockOverlay locks the directory that keeps an overlay's changes. What two overlays do
// with the same upper directory is not defined. The lock is the first process's, which
// is there as long as the container, also when this one is killed.
func (s *starting) lockOverlay(ctx context.Context, a action.LockOverlay) error {
	fd, err := unix.Open(a.Dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the overlay's directory %s: %w", a.Dir, err)
	}
	s.launch.SetInput(compile.InputOverlay, fd)
	return awaitLock(ctx, fd, a.Dir)
}

func awaitLock(ctx context.Context, fd int, dir string) error {
	for deadline := time.Now().Add(lockLimit); ; time.Sleep(10 * time.Millisecond) {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err == unix.EINTR || err == unix.EWOULDBLOCK && time.Now().Before(deadline):
		case err == unix.EWOULDBLOCK:
			return &fault.Error{What: "--overlay=" + dir, Why: "another container has it, and would see changes that it did not make",
				Errno: unix.EBUSY, Hint: "end that one first (homerun list), or name another directory for this one"}
		default:
			return fmt.Errorf("lock the overlay's directory %s: %w", dir, err)
		}
	}
}
