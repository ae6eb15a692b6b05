package systemd

import (
	"testing"

	"github.com/homerun-oci/homerun/fault/faulttest"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestWarnings(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) {
		limit := int64(5)
		set := limitsOf(t, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}})
		r, err := Properties(Scope{Unit: "a.scope"}, set, map[string]string{AnnotationPrefix + "TasksMax": "7", AnnotationPrefix + "ExecStart": "'x'"})
		s.Warnings(r.Ignored, err)
	})
}
