package cgroupv2

import (
	"math"
	"strings"
)

// Stats reads what the cgroup has used. Controllers that the cgroup does not
// have leave their part zero, as do files that this kernel lacks; only a cgroup
// that is gone is an error (*Error, ENOENT or ENODEV).
func (d *Dir) Stats() (*Stats, error) {
	s := &Stats{Hugetlb: map[string]HugetlbStats{}, NetworkInterfaces: []struct{}{}}
	cpu, err := d.fields("cpu.stat")
	if err != nil && !d.alive() {
		return nil, d.fault("read", "cpu.stat", err)
	}
	s.CPU.parse(cpu)
	s.CPU.PSI = d.pressure("cpu.pressure")
	s.CPUSet.CPUs, _ = ParseList(d.text("cpuset.cpus.effective"))
	s.CPUSet.Mems, _ = ParseList(d.text("cpuset.mems.effective"))
	d.memoryStats(s)
	s.Pids.Current = parseLimit(d.text("pids.current"))
	if limit := parseLimit(d.text("pids.max")); limit != math.MaxUint64 {
		s.Pids.Limit = limit
	}
	s.Blkio.parse(d.text("io.stat"))
	s.Blkio.PSI = d.pressure("io.pressure")
	d.hugetlbStats(s.Hugetlb)
	if rdma := parseKeyed(d.text("rdma.current")); len(rdma) > 0 {
		s.Rdma = rdma
	}
	if misc, _ := d.fields("misc.current"); len(misc) > 0 {
		s.Misc = misc
	}
	return s, nil
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

// text is a file's content, or "".
func (d *Dir) text(name string) string {
	text, _ := d.read(name)
	return text
}

func (d *Dir) pressure(name string) *PSI {
	text, err := d.read(name)
	if err != nil {
		return nil
	}
	return parsePSI(text)
}

func (d *Dir) memoryStats(s *Stats) {
	m := &s.Memory
	current, err := d.read("memory.current")
	if err != nil {
		return
	}
	events, _ := d.fields("memory.events")
	swapEvents, _ := d.fields("memory.swap.events")
	m.Raw, _ = d.fields("memory.stat")
	m.Cache = m.Raw["file"]
	m.Kernel.Usage = m.Raw["kernel"]
	m.Usage = MemoryEntry{
		Limit:   d.maximum("memory.max"),
		Usage:   parseLimit(current),
		Max:     parseLimit(d.text("memory.peak")),
		Failcnt: events["max"],
	}
	m.Swap = MemoryEntry{
		Limit:   sumLimits(d.maximum("memory.swap.max"), m.Usage.Limit),
		Usage:   m.Usage.Usage + parseLimit(d.text("memory.swap.current")),
		Failcnt: swapEvents["max"],
	}
	m.PSI = d.pressure("memory.pressure")
	s.OOMKills = events["oom_kill"]
}

// maximum reads a limit; a file that is not there limits nothing.
func (d *Dir) maximum(name string) uint64 {
	text, err := d.read(name)
	if err != nil {
		return math.MaxUint64
	}
	return parseLimit(text)
}

func sumLimits(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

func (d *Dir) hugetlbStats(sizes map[string]HugetlbStats) {
	names, err := d.names()
	if err != nil {
		return
	}
	for _, name := range names {
		size, ok := strings.CutPrefix(name, "hugetlb.")
		size, isCurrent := strings.CutSuffix(size, ".current")
		if !ok || !isCurrent || strings.HasSuffix(size, ".rsvd") {
			continue
		}
		events, _ := d.fields("hugetlb." + size + ".events")
		sizes[size] = HugetlbStats{
			Usage:   parseLimit(d.text(name)),
			Max:     parseLimit(d.text("hugetlb." + size + ".max")),
			Failcnt: events["max"],
		}
	}
}

// OOMKills counts the processes of the cgroup and its children that the OOM
// killer took (memory.events, oom_kill). 0 also where there is no memory
// controller. To be read before the cgroup is removed.
func (d *Dir) OOMKills() uint64 {
	events, _ := d.fields("memory.events")
	return events["oom_kill"]
}
