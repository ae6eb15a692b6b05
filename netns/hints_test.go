package netns

import (
	"net/netip"
	"testing"

	"github.com/homerun-oci/homerun/fault/faulttest"
)

func TestHints(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) {
		for _, symptom := range symptoms() {
			s.Error(ExplainOutput(Pasta, symptom.text, false))
			s.Error(ExplainOutput(Pasta, symptom.text, true))
		}
		f, _ := ParseForward("80-81:80-81")
		for _, errno := range []string{"EADDRINUSE", "EADDRNOTAVAIL", "EACCES"} {
			s.Error(ExplainBind(f, 80, errno, "no", 1024))
		}
		for _, errno := range []string{"EACCES", "ENOENT"} {
			s.Error(ExplainTun(errno, "no"))
		}
		s.Error(ExplainMissing(Auto, []string{"/bin"}))
		s.Error(ExplainFixed(f))
		for _, text := range []string{"80", "::1:8080:80", "localhost:80:80"} {
			s.Error(faulttest.Err(ParseForward(text)))
		}
		for _, text := range []string{"bridge", "ns:", "pasta:"} {
			s.Error(faulttest.Err(ParseNetwork(text)))
		}
		s.Error(faulttest.Err(Hosts(HostsInput{Extra: []HostEntry{{Name: "host", Gateway: true}}})))
		s.Error(CheckDNS(Network{Mode: Pasta}, []netip.Addr{netip.MustParseAddr("127.0.0.1")}))
		s.Error(Request{Version: Version + 1}.Check())
	})
}
