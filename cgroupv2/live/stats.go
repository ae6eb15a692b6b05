package live

import (
	"strings"

	"github.com/homerun-oci/homerun/cgroupv2"
)

// Stats reads what the cgroup has used. Controllers that the cgroup does not
// have leave their part zero, as do files that this kernel lacks; only a cgroup
// that is gone is an error (*Error, ENOENT or ENODEV).
func (d *Dir) Stats() (*cgroupv2.Stats, error) {
	names, _ := d.names() // of a cgroup that is gone there are none
	files := map[string]string{}
	for _, name := range cgroupv2.StatsFiles(names) {
		text, err := d.read(name)
		if err != nil && name == "cpu.stat" && !d.alive() {
			return nil, d.failed("read", name, err)
		}
		if err == nil {
			files[name] = text
		}
	}
	return cgroupv2.ParseStats(files), nil
}

// alive is true while the directory is linked.
func (d *Dir) alive() bool {
	_, err := d.read("cgroup.events")
	if err == nil {
		return true
	}
	_, err = d.read("cgroup.procs")
	return err == nil
}

// Limits reads the files by which the kernel limits the cgroup, by their names: those
// that it has.
func (d *Dir) Limits() map[string]string {
	files := map[string]string{}
	for _, name := range [...]string{"cpu.max", "cpu.weight", "cpuset.cpus", "cpuset.mems", "io.max", "io.weight",
		"memory.high", "memory.low", "memory.max", "memory.swap.max", "pids.max"} {
		if text, err := d.read(name); err == nil && strings.TrimSpace(text) != "" {
			files[name] = strings.TrimSpace(text)
		}
	}
	return files
}
