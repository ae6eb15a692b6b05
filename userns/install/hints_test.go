package install

import (
	"context"
	"testing"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/fault/faulttest"
	"github.com/homerun-oci/homerun/host"
	"golang.org/x/sys/unix"
)

func TestHints(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) {
		for _, facts := range []*host.Facts{{}, {Subordinate: &host.Subordinate{Source: "sssd"}}, {Process: host.Process{UID: 4000000}}} {
			s.Error(mapAll(context.Background(), 1, fake("/bin/false"), facts))
		}
		for _, errno := range []unix.Errno{unix.EPERM, unix.EACCES, unix.ESRCH} {
			s.Error(&fault.Error{Hint: writeHint(errno)})
		}
	})
}
