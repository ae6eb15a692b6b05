package compile

import (
	"path"
	"strings"

	"github.com/homerun-oci/homerun/cgroupv2"
)

// warnOutside says that the container of a unit is not in the unit: one that has
// delegated nothing has its cgroup for itself, and nobody may make others there. Who
// names a manager or a scope has asked for that.
func (c *compiler) warnOutside() {
	d := &c.decided.cgroup
	asked := c.wishes.Manager != cgroupv2.Auto && c.wishes.Manager != "" || c.spec.Linux.CgroupsPath != ""
	if !c.facts.ServiceManager.Started || asked || !d.late() && !d.choice.Foreign {
		return
	}
	unit := path.Base(c.cgroupTree().Path)
	if !strings.HasSuffix(unit, ".service") {
		unit = "the unit that homerun runs in"
	}
	c.warn("%s has no Delegate=yes, so the container is not in its cgroup: the unit's limits do not hold for it, and systemctl does not count it "+
		"or see that it is out of memory; write Delegate=yes into the unit's [Service] (systemd-run: -p Delegate=yes)", unit)
}
