package compile

import (
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/action"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/userns"
	"golang.org/x/sys/unix"
)

// TestUnshared: in a new user namespace init makes the network namespace itself, once its ids
// are mapped: who forbids or limits one is named then, too. As the host's root, with a scope, it
// makes all that take long, after it is known who it is; else one call makes all.
func TestUnshared(t *testing.T) {
	const all = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET
	const config = `{"linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}`
	const network, user, asRoot = `, {"type": "network"}`, `, {"type": "user"}`, `, "process": {"capabilities": 1, "uid": 0, "gid": 0}`
	const oneID = `, "subordinate": {"uids": null, "gids": null}`
	for _, c := range []struct {
		name, namespaces, manager, facts string
		want                             int
	}{
		{"scope", network + user, "systemd", "", unix.CLONE_NEWNET},
		{"scope, one id", network + user, "systemd", oneID, unix.CLONE_NEWNET},
		{"scope, no network", user, "systemd", "", 0},
		{"newuidmap", network + user, "disabled", "", unix.CLONE_NEWNET},
		{"newuidmap, no network", user, "disabled", "", 0},
		{"one id", network + user, "disabled", oneID, unix.CLONE_NEWNET},
		{"root, scope", network, "systemd", asRoot, all},
		{"root, scope, no network", "", "systemd", asRoot, 0},
		{"root", network, "disabled", asRoot, 0},
	} {
		b, facts := golden{sections: map[string]string{"config.json": config + c.namespaces + "]}}",
			"facts.json": `{"serviceManager": {"socket": "/run/user/1001/bus"}` + c.facts + `}`}}.input(t)
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
				for errno, want := range map[unix.Errno]string{unix.EPERM: "a seccomp filter forbids one of these namespaces",
					unix.ENOSPC: "the user may have no more of one of these namespaces: a limit below /proc/sys/user"} {
					if e := Explain(r.Plan, facts, i, -int(errno)); !strings.Contains(e.Error(), "(linux.namespaces): "+want) || errno == unix.ENOSPC && e.Hint != userns.HintLimits {
						t.Errorf("%s: %v", c.name, e)
					}
				}
				if e := Explain(r.Plan, facts, i, -int(unix.EINVAL)); strings.Contains(e.Error(), "one of these namespaces") {
					t.Errorf("%s: %v", c.name, e)
				}
			}
		}
		if got != c.want || made&c.want != 0 {
			t.Errorf("%s: unshare %#x, want %#x; clone %#x", c.name, got, c.want, made)
		}
	}
}

// TestFilterIsLoadedMeanwhile: a profile's filter is loaded as soon as the stage has been
// started, before init is awaited or anything compiled.
func TestFilterIsLoadedMeanwhile(t *testing.T) {
	for _, subids := range []string{"{}", `{"uids": null, "gids": null}`} {
		b, facts := golden{sections: map[string]string{"config.json": "{}", "facts.json": `{"subordinate": ` + subids + `}`}}.input(t)
		w := wishes()
		w.Profile = true
		r, err := compileAnswered(b.Config, facts, w)
		if err != nil {
			t.Fatal(err)
		}
		list := r.Plan.Runtime()
		started := slices.IndexFunc(list, func(s plan.RuntimeStep) bool { _, ok := s.Action.(action.StartStage); return ok })
		if _, ok := list[started+1].Action.(action.LoadFilter); !ok {
			t.Errorf("after the stage is started: %s", list[started+1].Action.Line())
		}
	}
}

// TestNoLimitWithoutNamespace: a cgroup without CPUs takes no process, with the same errno.
func TestNoLimitWithoutNamespace(t *testing.T) {
	const result = -int(unix.ENOSPC)
	for flags, want := range map[uint64]bool{unix.CLONE_PARENT | unix.CLONE_INTO_CGROUP: false, unix.CLONE_NEWNET: true} {
		e := explain(plan.Step{Op: plan.Clone3{Flags: flags}, Reason: &plan.Reason{}}, "call()", 1, 1, result).refine(&host.Facts{}, result)
		if strings.Contains(e.Error(), "one of these namespaces") != want {
			t.Errorf("%#x: %v", flags, e)
		}
	}
}
