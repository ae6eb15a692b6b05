package bundle

import (
	"testing"

	"github.com/homerun-oci/homerun/fault/faulttest"
)

func TestWarnings(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) {
		b, err := Decode([]byte(`{"ociVersion": "1.3.0", "linux": {"personality": {"domain": "LINUX", "flags": ["x"]},
			"resources": {"devices": [{"allow": true, "access": "rx"}]}}}`))
		if err != nil {
			t.Fatal(err)
		}
		s.Warnings(Check(b.Config))
	})
}
