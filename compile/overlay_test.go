package compile

import (
	"testing"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/rootfs"
)

// TestOverlayMakesNothing: with an overlay nothing is made in the root, so nothing
// that was made is removed from it.
func TestOverlayMakesNothing(t *testing.T) {
	for _, overlay := range []*rootfs.Overlay{nil, {}} {
		g := golden{sections: map[string]string{"facts.json": `{"layers": {"uid": 1001}}`}}
		b, facts := g.input(t)
		w := wishes()
		w.RemoveMade, w.Overlay = true, overlay
		r, err := compileAnswered(b.Config, facts, w)
		if err != nil {
			t.Fatal(err)
		}
		records := false
		for _, s := range r.Plan.Runtime() {
			_, is := s.Action.(action.RecordMade)
			records = records || is
		}
		if records != (overlay == nil) {
			t.Errorf("overlay %v: what was made is removed: %v", overlay, records)
		}
	}
}
