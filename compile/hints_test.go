package compile

import (
	"path/filepath"
	"testing"

	"github.com/homerun-oci/homerun/fault/faulttest"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/plan"
	"golang.org/x/sys/unix"
)

// TestHints: those of the failures in the catalogue, of the golden files, and of what
// they do not have.
func TestHints(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) {
		for _, f := range failures() {
			s.Error(f.explain(t))
		}
		files, err := filepath.Glob("testdata/*.txtar")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			showCompiled(t, s, readGolden(t, readArchive(t, file)))
		}
		for _, patch := range configPatches() {
			showCompiled(t, s, golden{sections: map[string]string{"config.json": patch[0], "facts.json": patch[1]}})
		}
		showCompiled(t, s, golden{sections: map[string]string{"facts.json": inUnit, "wishes.json": `{"Manager": "auto"}`}})
		for _, step := range []struct {
			op      plan.Operation
			purpose plan.Purpose
			errno   unix.Errno
		}{
			{plan.SchedSetattr{}, 0, unix.EPERM}, {plan.Capset{}, 0, unix.EPERM}, {plan.Setns{}, plan.ForJoin, unix.EPERM},
			{plan.Write{}, plan.ForAppArmor, unix.ENOENT}, {plan.Write{}, plan.ForAppArmor, unix.EACCES}, {plan.Write{}, plan.ForSELinux, unix.EACCES},
		} {
			result := -int(step.errno)
			s.Error(explain(plan.Step{Op: step.op, Reason: &plan.Reason{Purpose: step.purpose}}, "call()", 1, 1, result).refine(&host.Facts{}, result))
		}
		for _, step := range []struct {
			op    plan.Operation
			errno unix.Errno
		}{{plan.Fsopen{}, unix.ENODEV}, {plan.Fsopen{}, unix.EPERM}, {plan.Fsconfig{}, unix.EINVAL}} {
			reason := &plan.Reason{Purpose: plan.ForMount, Subject: "overlay", Pointer: "root.path"}
			s.Error(explain(plan.Step{Op: step.op, Reason: reason}, "call()", 1, 1, -int(step.errno)).refine(&host.Facts{}, -int(step.errno)))
		}
		s.Error(lacks(host.Needs{Cgroup: "linux.cgroupsPath"}, &host.Facts{}))
	})
}

func showCompiled(t *testing.T, s *faulttest.Shown, g golden) {
	t.Helper()
	b, facts := g.input(t)
	r, err := g.compile(t, b, facts)
	if err != nil {
		r = &Result{}
	}
	s.Warnings(r.Warnings, err)
}

// configPatches are pairs of patches of a config and of facts, as in golden files.
func configPatches() [][2]string {
	const root = `{"process": {"uid": 0, "gid": 0}}`
	return [][2]string{
		{`{"annotations": {"run.oci.seccomp.plugins": "x"}}`, ""},
		{`{"annotations": {"run.oci.newer": "x", "org.systemd.property.TasksMax": "7"}}`, ""},
		{`{"linux": {"namespaces": [{"type": "mount"}], "resources": {"devices": [{"allow": true, "access": "rwm"}]}}}`, root},
		{`{"process": {"user": {"additionalGids": [70000]}}}`, ""},
		{"", `{"notify": {"trouble": "the notify socket is no socket", "socket": "/s"}}`},
	}
}
