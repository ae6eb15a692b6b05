package main

import (
	"errors"
	"testing"

	"github.com/homerun-oci/homerun/fault/faulttest"
)

func TestHints(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) {
		s.Error(noNsenter(errors.New("nsenter is not installed")))
		s.Error(settings{exposed: true}.hidden())
		s.Error(faulttest.Err((&publisher{}).remove(forwards(t, "80:80"))))
		s.Error(slirp{}.check(false))
	})
}
