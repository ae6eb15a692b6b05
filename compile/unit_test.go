package compile

import (
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/host"
)

// inUnit are the facts of a service that has delegated nothing.
const inUnit = `{"serviceManager": {"started": true, "socket": "/run/user/1001/bus"}, "cgroup": {"path": "/user.slice/user-1001.slice/user@1001.service/app.slice/web.service"}}`

// TestOutsideOfUnit: it is said of a unit that runs homerun and does not delegate its
// cgroup, unless the scope was asked for. tests/units has it followed.
func TestOutsideOfUnit(t *testing.T) {
	const text = "has no Delegate=yes"
	for name, test := range map[string]struct {
		manager cgroupv2.Manager
		path    string
		change  func(*host.Facts)
		want    string
	}{
		"a scope":          {"auto", "", func(*host.Facts) {}, "web.service " + text},
		"a scope, by none": {"", "", func(*host.Facts) {}, "web.service " + text},
		"of another's":     {"auto", "", func(f *host.Facts) { f.ServiceManager.Started = false }, ""},
		"no name":          {"auto", "", func(f *host.Facts) { f.Cgroup.Path = "/" }, "the unit that homerun runs in " + text},
		"delegated":        {"auto", "", func(f *host.Facts) { f.Cgroup.Delegation = &host.Delegation{Unit: f.Cgroup.Path, Top: f.Cgroup.Path} }, ""},
		"writable above": {"auto", "", func(f *host.Facts) {
			f.ServiceManager.Socket = ""
			f.Cgroup.Delegation = &host.Delegation{Writable: "/user.slice", Top: "/user.slice"}
		}, "web.service " + text},
		"no cgroup":         {"auto", "", func(f *host.Facts) { f.ServiceManager.Socket = "" }, ""},
		"a scope asked for": {"systemd", "", func(*host.Facts) {}, ""},
		"a path":            {"auto", "user.slice:homerun:web", func(*host.Facts) {}, ""},
	} {
		g := golden{sections: map[string]string{"facts.json": inUnit}}
		b, facts := g.input(t)
		test.change(facts)
		b.Config.Linux.CgroupsPath = test.path
		w := wishes()
		w.Manager = test.manager
		r, err := compileAnswered(b.Config, facts, w)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := strings.Join(r.Warnings, "|"); (test.want == "") != (got == "") || !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}
