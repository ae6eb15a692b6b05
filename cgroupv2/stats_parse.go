package cgroupv2

import (
	"math"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/limits"
)

// StatsFiles names the files that ParseStats reads, of a cgroup whose directory
// has these names; also those that are not among them.
func StatsFiles(names []string) []string {
	files := []string{
		"cpu.stat", "cpu.pressure", "cpuset.cpus.effective", "cpuset.mems.effective",
		"memory.current", "memory.events", "memory.swap.events", "memory.stat", "memory.max", "memory.peak",
		"memory.swap.max", "memory.swap.current", "memory.pressure",
		"pids.current", "pids.max", "io.stat", "io.pressure", "rdma.current", "misc.current",
	}
	for _, name := range names {
		if size := hugepageSize(name); size != "" {
			files = append(files, name, "hugetlb."+size+".max", "hugetlb."+size+".events")
		}
	}
	return files
}

// hugepageSize is that of hugetlb.SIZE.current, or "" for another file's name.
func hugepageSize(name string) string {
	size, ok := strings.CutPrefix(name, "hugetlb.")
	size, isCurrent := strings.CutSuffix(size, ".current")
	if !ok || !isCurrent || strings.HasSuffix(size, ".rsvd") {
		return ""
	}
	return size
}

// ParseStats reads the text of a cgroup's files (StatsFiles), by their names.
// What a missing one would say stays zero.
func ParseStats(files map[string]string) *Stats {
	s := &Stats{Hugetlb: map[string]HugetlbStats{}, NetworkInterfaces: []struct{}{}}
	s.CPU.parse(ParseFields(files["cpu.stat"]))
	s.CPU.PSI = pressure(files, "cpu.pressure")
	s.CPUSet.CPUs, _ = limits.ParseList(files["cpuset.cpus.effective"])
	s.CPUSet.Mems, _ = limits.ParseList(files["cpuset.mems.effective"])
	s.memory(files)
	s.Pids.Current = parseLimit(files["pids.current"])
	if limit := parseLimit(files["pids.max"]); limit != math.MaxUint64 {
		s.Pids.Limit = limit
	}
	s.Blkio.parse(files["io.stat"])
	s.Blkio.PSI = pressure(files, "io.pressure")
	for name, text := range files {
		if size := hugepageSize(name); size != "" {
			s.Hugetlb[size] = HugetlbStats{
				Usage:   parseLimit(text),
				Max:     parseLimit(files["hugetlb."+size+".max"]),
				Failcnt: ParseFields(files["hugetlb."+size+".events"])["max"],
			}
		}
	}
	if rdma := parseKeyed(files["rdma.current"]); len(rdma) > 0 {
		s.Rdma = rdma
	}
	if misc := ParseFields(files["misc.current"]); len(misc) > 0 {
		s.Misc = misc
	}
	return s
}

func (s *Stats) memory(files map[string]string) {
	current, ok := files["memory.current"]
	if !ok {
		return
	}
	m := &s.Memory
	events := ParseFields(files["memory.events"])
	if text, ok := files["memory.stat"]; ok {
		m.Raw = ParseFields(text)
	}
	m.Cache = m.Raw["file"]
	m.Kernel.Usage = m.Raw["kernel"]
	m.Usage = MemoryEntry{
		Limit:   maximum(files, "memory.max"),
		Usage:   parseLimit(current),
		Max:     parseLimit(files["memory.peak"]),
		Failcnt: events["max"],
	}
	m.Swap = MemoryEntry{
		Limit:   sumLimits(maximum(files, "memory.swap.max"), m.Usage.Limit),
		Usage:   m.Usage.Usage + parseLimit(files["memory.swap.current"]),
		Failcnt: ParseFields(files["memory.swap.events"])["max"],
	}
	m.PSI = pressure(files, "memory.pressure")
	s.OOMKills = events["oom_kill"]
}

// maximum reads a limit; a file that is not there limits nothing.
func maximum(files map[string]string, name string) uint64 {
	text, ok := files[name]
	if !ok {
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

func pressure(files map[string]string, name string) *PSI {
	text, ok := files[name]
	if !ok {
		return nil
	}
	return parsePSI(text)
}

// ParseFields reads lines of "KEY NUMBER", as memory.events has them, and leaves
// out others.
func ParseFields(text string) map[string]uint64 {
	values := map[string]uint64{}
	for line := range strings.Lines(text) {
		key, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseUint(number, 10, 64); err == nil {
			values[key] = v
		}
	}
	return values
}

func (c *CPUStats) parse(stat map[string]uint64) {
	c.Usage = CPUUsage{
		Total:  stat["usage_usec"] * 1000,
		Kernel: stat["system_usec"] * 1000,
		User:   stat["user_usec"] * 1000,
	}
	c.Throttling = Throttling{
		Periods:          stat["nr_periods"],
		ThrottledPeriods: stat["nr_throttled"],
		ThrottledTime:    stat["throttled_usec"] * 1000,
	}
}

// parseKeyed reads lines of "key name=number name=number" (io.stat, rdma).
func parseKeyed(text string) map[string]map[string]uint64 {
	lines := map[string]map[string]uint64{}
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		values := map[string]uint64{}
		for _, word := range words[1:] {
			name, number, _ := strings.Cut(word, "=")
			values[name] = parseLimit(number)
		}
		lines[words[0]] = values
	}
	return lines
}

// parseLimit reads a number or max; what is neither counts as 0.
func parseLimit(text string) uint64 {
	text = strings.TrimSpace(text)
	if text == "max" {
		return math.MaxUint64
	}
	v, _ := strconv.ParseUint(text, 10, 64)
	return v
}

func (b *BlkioStats) parse(text string) {
	for line := range strings.Lines(text) {
		device, _, _ := strings.Cut(line, " ")
		var at BlkioEntry
		major, minor, ok := strings.Cut(device, ":")
		if !ok {
			continue
		}
		at.Major, at.Minor = parseLimit(major), parseLimit(minor)
		b.add(at, parseKeyed(line)[device])
	}
}

func (b *BlkioStats) add(at BlkioEntry, values map[string]uint64) {
	for _, op := range []struct{ name, letter string }{{"Read", "r"}, {"Write", "w"}, {"Discard", "d"}} {
		at.Op = op.name
		if v, ok := values[op.letter+"bytes"]; ok {
			at.Value = v
			b.IoServiceBytesRecursive = append(b.IoServiceBytesRecursive, at)
		}
		if v, ok := values[op.letter+"ios"]; ok {
			at.Value = v
			b.IoServicedRecursive = append(b.IoServicedRecursive, at)
		}
	}
}

// parsePSI reads "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" and "full ...".
func parsePSI(text string) *PSI {
	var p PSI
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "some":
			p.Some = parseShare(words[1:])
		case "full":
			p.Full = parseShare(words[1:])
		}
	}
	return &p
}

func parseShare(words []string) PSIShare {
	var s PSIShare
	for _, word := range words {
		name, number, _ := strings.Cut(word, "=")
		v, _ := strconv.ParseFloat(number, 64)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			v = 0 // which JSON has not
		}
		switch name {
		case "avg10":
			s.Avg10 = v
		case "avg60":
			s.Avg60 = v
		case "avg300":
			s.Avg300 = v
		case "total":
			s.Total = parseLimit(number)
		}
	}
	return s
}
