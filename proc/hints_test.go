package proc

import (
	"testing"

	"github.com/homerun-oci/homerun/fault/faulttest"
	"golang.org/x/sys/unix"
)

func TestHints(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) {
		s.Error(unseen(unix.Getpid(), unix.ENOENT))
		s.Error(Unreadable("", "pid", unix.EINVAL))
	})
}
