package main

import (
	"errors"
	"testing"

	"github.com/homerun-oci/homerun/fault/faulttest"
)

func TestHints(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) {
		s.Error(unread("No journal files were opened due to insufficient permissions.\n", errors.New("exit status 1")))
	})
}
