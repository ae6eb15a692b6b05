package container

import (
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/host/probe"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// lookAtStreams measures the standard streams where they will be given to
// somebody else: the container's root, when that is another user of the host
// than root, or the process's own user. A terminal takes their place; then it
// matters where its output goes.
func lookAtStreams(facts *host.Facts, s *specs.Spec, stdio [3]int) {
	p := s.Process
	if p == nil {
		return
	}
	if p.Terminal {
		_, err := unix.IoctlGetTermios(stdio[1], unix.TCGETS)
		facts.TerminalToFile = err != nil
		return
	}
	mapped := s.Linux != nil && len(s.Linux.UIDMappings) > 0 && facts.Process.UID == 0
	if p.User.UID != 0 || mapped {
		facts.Process.Streams = probe.Streams(stdio)
	}
}
