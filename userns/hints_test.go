package userns

import (
	"testing"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/fault/faulttest"
	"github.com/homerun-oci/homerun/host"
)

func TestHints(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) {
		many := ms(m(0, 100000, 2))
		for _, change := range []func(*host.Facts){
			func(f *host.Facts) { f.Subordinate.UIDTrouble = host.TroubleBounding },
			func(f *host.Facts) { f.Subordinate.UIDTrouble = host.TroubleNosuid },
			func(f *host.Facts) { f.Subordinate.UIDTrouble = host.TroubleNobody },
			func(f *host.Facts) { f.Subordinate.NewUIDMap = "" },
			func(f *host.Facts) { f.Process.NoNewPrivileges = true },
			func(f *host.Facts) { f.Subordinate.UIDs = []host.Range{{Start: 5, Size: 1}} },
			func(f *host.Facts) { f.Subordinate.UIDs = nil },
			func(f *host.Facts) { f.Subordinate.UIDs, f.Subordinate.UIDLine = nil, 3 },
			func(f *host.Facts) { f.Subordinate.UIDs, f.Subordinate.FreeUID = nil, 200000 },
			func(f *host.Facts) { f.Subordinate.UIDs, f.Subordinate.FreeUID, f.Subordinate.Login = nil, 200000, "" },
			func(f *host.Facts) { f.Subordinate.UIDs, f.Subordinate.Source = nil, "sssd" },
		} {
			s.Error(faulttest.Err(Resolve(many, ms(m(0, 1001, 1)), with(user(), change))))
		}
		s.Error(faulttest.Err(Resolve(ms(m(0, 65530, 10)), ms(m(0, 0, 1)), nested())))
		s.Error(faulttest.Err(Resolve(ms(m(0, 0, 1)), ms(m(0, 0, 1)), with(nested(), func(f *host.Facts) { f.Process.Capabilities &^= 1 << capSetFCap }))))
		for _, kernel := range []host.Kernel{{}, {MaxUserNamespaces: 1}, {MaxUserNamespaces: 1, UserNamespaceRestricted: "kernel.unprivileged_userns_clone"},
			{MaxUserNamespaces: 1, UserNamespaceRestricted: "kernel.apparmor_restrict_unprivileged_userns"}} {
			for _, errno := range []string{"ENOSPC", "EPERM"} {
				s.Error(Unavailable(errno, &kernel, "/usr/bin/homerun"))
			}
		}
		// What package install finds out about a helper.
		s.Error(&fault.Error{Hint: HintNotSetuid(UID, "/bin/newuidmap") + "\n" + HintOwner(5)})
	})
}
