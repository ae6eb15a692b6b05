package store

import (
	"errors"
	"os"
	"testing"

	"github.com/homerun-oci/homerun/fault/faulttest"
	"golang.org/x/sys/unix"
)

func TestHints(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) {
		_, d := scratch(t)
		s.Error(d.damaged(errors.New("it is empty")))
		own := uint32(os.Geteuid())
		for _, st := range []unix.Stat_t{{Uid: own + 1}, {Uid: own, Mode: 0o002}, {Uid: own, Mode: 0o020}} {
			s.Error(private(&st, func() string { return "the state root" }, "/there"))
		}
		s.Error(notWritable(unix.EROFS, "/there"))
		s.Error(notWritable(unix.ENOSPC, "/there"))
	})
}
