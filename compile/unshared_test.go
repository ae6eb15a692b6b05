package compile

import (
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// TestUnshared: with a scope init makes the namespaces that take long itself, after it is
// known who it is; who forbids one is named then, too. Without a scope, or a network
// namespace, one call makes all.
func TestUnshared(t *testing.T) {
	const all = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET
	const config = `{"linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}, {"type": "user"}`
	for _, c := range []struct {
		name, namespaces, manager string
		want                      int
	}{
		{"scope", `, {"type": "network"}`, "systemd", all},
		{"no network", "", "systemd", 0},
		{"no scope", `, {"type": "network"}`, "disabled", 0},
	} {
		b, facts := golden{sections: map[string]string{"config.json": config + c.namespaces + "]}}",
			"facts.json": `{"serviceManager": {"socket": "/run/user/1001/bus"}}`}}.input(t)
		w := wishes()
		w.Manager = cgroupv2.Manager(c.manager)
		r, err := compileAnswered(b.Config, facts, w)
		if err != nil {
			t.Fatal(c.name, err)
		}
		got, made := 0, 0
		for i := range r.Plan.Len() {
			switch o := r.Plan.Step(i).Op.(type) {
			case plan.Clone3:
				made = int(o.Flags) & all
			case plan.Unshare:
				got = o.Flags
				e := Explain(r.Plan, facts, i, -int(unix.EPERM))
				if !strings.Contains(e.Error(), "(linux.namespaces): a seccomp filter forbids one of these namespaces") {
					t.Errorf("%s: %v", c.name, e)
				}
			}
		}
		if got != c.want || made&c.want != 0 {
			t.Errorf("%s: unshare %#x, want %#x; clone %#x", c.name, got, c.want, made)
		}
	}
}
