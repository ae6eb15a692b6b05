package rootfs

import (
	"testing"

	"github.com/homerun-oci/homerun/fault/faulttest"
	"github.com/homerun-oci/homerun/host"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestHints(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) {
		for _, errno := range []string{"ENOENT", "EACCES"} {
			s.Error(rootfsError(host.Source{Path: "/r", Error: errno}))
		}
		for _, errno := range []unix.Errno{unix.EPERM, unix.EINVAL} {
			s.Error((&IDMap{}).Failed(errno, &host.Facts{Process: host.Process{UID: 1000}}))
		}
		facts := host.Facts{Sources: map[string]host.Source{"/dev/x": {Error: "ENOENT"}}}
		_, _, err := devicePlan(t, facts, nil, specs.LinuxDevice{Path: "/dev/x", Type: "c"})
		s.Error(err)
		facts.UserNamespace.Initial = true
		mounts := []specs.Mount{{Destination: "/dev", Type: "tmpfs", Source: "tmpfs"}, {Destination: "/srv", Source: "/srv", Options: []string{"bind", "mode=755"}}}
		_, tree, err := devicePlan(t, facts, mounts, specs.LinuxDevice{Path: "/dev/fd", Type: "c"})
		if err != nil {
			t.Fatal(err)
		}
		s.Warnings(tree.Warnings, nil)
		tree.config.GIDs = []host.Mapping{{Size: 1}}
		tree.Warnings = nil
		tree.unmapped(&Mount{Mount: specs.Mount{Type: "devpts", Destination: "/dev/pts"}}, "gid=5")
		s.Warnings(tree.Warnings, nil)
	})
}
