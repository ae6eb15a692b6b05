// Package device reads which network devices of the host a container gets:
// linux.netDevices of config-linux.md. Package netns/device/rtnetlink moves them,
// on the runtime's side, while the container's init waits.
package device

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Move is one device: its name on the host and in the container.
type Move struct{ Host, Container string }

// Failed is the error of a move: why is what was being done, or the reason where
// there is no errno.
func (m Move) Failed(why string, err error) *fault.Error {
	e := &fault.Error{Place: "linux.netDevices." + m.Host, What: "move the network device " + m.Host, Why: why, Cause: err}
	if err != nil {
		e.Why += ": " + err.Error()
	}
	return e
}

// New lists the devices of config.json, by name. ownNetwork says that the
// container has a network namespace of its own.
func New(devices map[string]specs.LinuxNetDevice, ownNetwork bool) ([]Move, error) {
	var list []Move
	for _, name := range slices.Sorted(maps.Keys(devices)) {
		m := Move{Host: name, Container: devices[name].Name}
		if m.Container == "" {
			m.Container = name
		}
		switch {
		case !ownNetwork:
			return nil, m.Failed("the container has no network namespace of its own", nil)
		case !isName(m.Host, false):
			return nil, m.Failed(fmt.Sprintf("%q is not the name of a network device", m.Host), nil)
		case !isName(m.Container, true):
			return nil, m.Failed(fmt.Sprintf("%q is not the name of a network device", m.Container), nil)
		}
		list = append(list, m)
	}
	return list, nil
}

// isName follows dev_valid_name() in net/core/dev.c. A pattern may have one
// %d, which the kernel replaces with a number.
func isName(s string, pattern bool) bool {
	if s == "" || len(s) > 15 || s == "." || s == ".." || strings.ContainsAny(s, "/: \t\n\v\f\r") {
		return false
	}
	if n := strings.Count(s, "%"); n > 0 {
		return pattern && n == 1 && strings.Contains(s, "%d")
	}
	return true
}
