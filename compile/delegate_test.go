package compile

import (
	"testing"

	"github.com/homerun-oci/homerun/cgroupv2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// A delegated cgroup that cannot be had is an error. Tried: names that lead out,
// or nowhere; and a container without a cgroup.
func TestPlanDelegate(t *testing.T) {
	for _, test := range []struct {
		manager    cgroupv2.Manager
		name, want string
		bad        bool
	}{
		{cgroupv2.None, "", "", false},
		{cgroupv2.Cgroupfs, "", "", false},
		{cgroupv2.Cgroupfs, "a", "a", false},
		{cgroupv2.Systemd, "/init", "init", false},
		{cgroupv2.Systemd, "a//b/", "a/b", false},
		{cgroupv2.Systemd, "a..b", "a..b", false},
		{cgroupv2.None, "a", "", true},
		{cgroupv2.Cgroupfs, "/", "", true},
		{cgroupv2.Cgroupfs, ".", "", true},
		{cgroupv2.Cgroupfs, "..", "", true},
		{cgroupv2.Cgroupfs, "a/../b", "", true},
		{cgroupv2.Cgroupfs, "a\x00", "", true},
	} {
		c := &compiler{spec: &specs.Spec{Annotations: map[string]string{delegateAnnotation: test.name}}}
		d := &c.decided.cgroup
		d.choice.Manager = test.manager
		if err := c.readDelegate(); (err != nil) != test.bad || err == nil && d.delegate != test.want {
			t.Errorf("%s %q: %q, %v", test.manager, test.name, d.delegate, err)
		}
	}
}
