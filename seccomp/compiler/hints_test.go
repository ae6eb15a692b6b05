package compiler

import (
	"testing"

	"github.com/homerun-oci/homerun/fault/faulttest"
)

func TestHints(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) {
		s.Error(NotInstalled([]string{"/none"}))
	})
}
