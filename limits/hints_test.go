package limits

import (
	"testing"

	"github.com/homerun-oci/homerun/fault/faulttest"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestWarnings(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) {
		weight := uint16(5)
		_, warnings, err := Of(&specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: &weight}})
		s.Warnings(warnings, err)
	})
}
