package fault_test

import (
	"testing"

	"github.com/homerun-oci/homerun/fault/faulttest"
	"golang.org/x/sys/unix"
)

func TestHints(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) { s.Error(unix.EMFILE) })
}
