package cgroupv2

import (
	"testing"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/fault/faulttest"
	"github.com/homerun-oci/homerun/host"
	"golang.org/x/sys/unix"
)

// TestHints: those of refused writes are given to errors by package live.
func TestHints(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) {
		unified := host.Cgroup{Unified: true, MountPoint: "/sys/fs/cgroup", Path: "/a"}
		locked := unified
		locked.ReadOnly = true
		for _, situation := range []Situation{{Manager: Systemd}, {Manager: Systemd, Cgroup: unified}, {Manager: Cgroupfs, Limits: true},
			{Manager: Cgroupfs, Limits: true, Cgroup: unified}, {Manager: Cgroupfs, Limits: true, Cgroup: locked}} {
			s.Error(faulttest.Err(Choose(situation)))
		}
		for _, r := range []Refusal{{"rdma", 0, true, true}, {"rdma", 0, true, false}, {"memory", 0, true, false}, {"memory.max", unix.EACCES, false, false},
			{"cgroup.subtree_control", unix.EBUSY, false, false}, {"io.max", unix.ENODEV, false, false}, {"io.weight", unix.EOPNOTSUPP, false, false}, {"cpu.weight", unix.EINVAL, false, false},
			{"cpu.max", unix.EINVAL, false, false}} {
			s.Error(&fault.Error{What: "write", Hint: r.Hint()})
		}
		s.Error(&fault.Error{Hint: HintForeign})
		s.Error(&fault.Error{Hint: HintInUse})
	})
}
