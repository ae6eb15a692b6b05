package bus

import (
	"testing"

	"github.com/godbus/dbus/v5"
	"github.com/homerun-oci/homerun/fault/faulttest"
)

func TestHints(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) {
		for name := range meanings() {
			s.Error(failed("start", "a.scope", dbus.Error{Name: name}))
		}
		for _, system := range []bool{true, false} {
			s.Error(faulttest.Err(Connect(t.Context(), Place{System: system, HostUID: 4000000, Run: t.TempDir()})))
		}
	})
}
