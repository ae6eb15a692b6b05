package rtnetlink

import (
	"testing"

	"github.com/homerun-oci/homerun/fault/faulttest"
	"github.com/homerun-oci/homerun/netns/device"
	"golang.org/x/sys/unix"
)

func TestHints(t *testing.T) {
	faulttest.Walk(t, func(s *faulttest.Shown) { s.Error(notMoved(device.Move{Host: "eth1", Container: "eth0"}, unix.EPERM)) })
}
