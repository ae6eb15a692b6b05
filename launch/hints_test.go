package launch

import (
	"testing"

	"github.com/homerun-oci/homerun/fault/faulttest"
)

func TestHints(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) { s.Error(checkProc("5", 17)) })
}
