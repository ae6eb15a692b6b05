package cgroup

import (
	"errors"
	"testing"

	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/fault/faulttest"
)

func TestHints(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) {
		s.Error(NotThawed(&live.Dir{}))
		s.Error(notManaged(errors.New("no unit")))
	})
}
