package compile

import (
	"fmt"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/plan"
)

// leastSteps is how many steps an entry of a list takes at least.
const leastSteps = 3

// room makes room for the steps of long lists: usually an entry takes fewer. Memory
// that is never written costs nothing.
func (c *compiler) room() {
	const mount, path = 16, 9
	c.b.Grow(min(plan.MaxSteps, mount*len(c.spec.Mounts)+path*(len(c.spec.Linux.MaskedPaths)+len(c.spec.Linux.ReadonlyPaths))))
}

// checkSize refuses a config that asks for more than a plan takes: before the
// steps are written, by the lists alone, and after, by their number. The longest
// list is named.
func (c *compiler) checkSize() error {
	steps, longest, pointer := c.b.Len(), 0, ""
	for _, l := range []struct {
		pointer string
		n       int
	}{
		{"mounts", len(c.spec.Mounts)}, {"linux.maskedPaths", len(c.spec.Linux.MaskedPaths)},
		{"linux.readonlyPaths", len(c.spec.Linux.ReadonlyPaths)}, {"linux.devices", len(c.spec.Linux.Devices)},
		{"linux.sysctl", len(c.spec.Linux.Sysctl)},
	} {
		if l.n > longest {
			longest, pointer = l.n, l.pointer
		}
	}
	if steps <= plan.MaxSteps && longest*leastSteps <= plan.MaxSteps {
		return nil
	}
	return &fault.Error{Place: pointer, What: "make the container's file system",
		Why: fmt.Sprintf("%d entries are too many: a plan takes %d steps at most, and an entry some of them", longest, plan.MaxSteps)}
}
