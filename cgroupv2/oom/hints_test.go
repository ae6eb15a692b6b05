package oom

import (
	"errors"
	"testing"

	"github.com/homerun-oci/homerun/fault/faulttest"
)

func TestHints(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) { s.Error(Explain(errors.New("it died"), 4096, 1, true)) })
}
