package cgroupv2

import (
	"math"
	"strconv"
	"strings"
)

// Stats is what a cgroup has used. It marshals to the "data" object of
// `events --stats` with runc's field names (types/events.go), which containerd
// and CRI-O decode; rdma, misc and oomKills are additions of ours.
type Stats struct {
	CPU     CPUStats                     `json:"cpu"`
	CPUSet  CPUSetStats                  `json:"cpuset"`
	Memory  MemoryStats                  `json:"memory"`
	Pids    PidsStats                    `json:"pids"`
	Blkio   BlkioStats                   `json:"blkio"`
	Hugetlb map[string]HugetlbStats      `json:"hugetlb"`
	Rdma    map[string]map[string]uint64 `json:"rdma,omitempty"`
	Misc    map[string]uint64            `json:"misc,omitempty"`
	// IntelRdt and NetworkInterfaces are empty: the fields are expected.
	IntelRdt          struct{}   `json:"intel_rdt"`
	NetworkInterfaces []struct{} `json:"network_interfaces"`
	// OOMKills counts the processes that the OOM killer took.
	OOMKills uint64 `json:"oomKills,omitempty"`
}

// CPUStats holds nanoseconds and counts.
type CPUStats struct {
	Usage      CPUUsage   `json:"usage"`
	Throttling Throttling `json:"throttling"`
	PSI        *PSI       `json:"psi,omitempty"`
}

// CPUUsage is in nanoseconds.
type CPUUsage struct {
	Total  uint64 `json:"total,omitempty"`
	Kernel uint64 `json:"kernel"`
	User   uint64 `json:"user"`
}

// Throttling counts cpu.max periods; ThrottledTime is in nanoseconds.
type Throttling struct {
	Periods          uint64 `json:"periods,omitempty"`
	ThrottledPeriods uint64 `json:"throttledPeriods,omitempty"`
	ThrottledTime    uint64 `json:"throttledTime,omitempty"`
}

// CPUSetStats holds the effective CPUs and memory nodes.
type CPUSetStats struct {
	CPUs []uint16 `json:"cpus,omitempty"`
	Mems []uint16 `json:"mems,omitempty"`
}

// MemoryStats holds bytes. Swap counts memory and swap together, as cgroup v1
// did and readers of runc's output expect. Raw is memory.stat.
type MemoryStats struct {
	Cache     uint64            `json:"cache,omitempty"`
	Usage     MemoryEntry       `json:"usage"`
	Swap      MemoryEntry       `json:"swap"`
	Kernel    MemoryEntry       `json:"kernel"`
	KernelTCP MemoryEntry       `json:"kernelTCP"`
	Raw       map[string]uint64 `json:"raw,omitempty"`
	PSI       *PSI              `json:"psi,omitempty"`
}

// MemoryEntry holds bytes; a Limit of 2^64-1 means none. Max is the peak
// (Linux 5.19; 0 before), Failcnt how often the limit was met.
type MemoryEntry struct {
	Limit   uint64 `json:"limit"`
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

// PidsStats counts tasks; a Limit of 0 means none.
type PidsStats struct {
	Current uint64 `json:"current,omitempty"`
	Limit   uint64 `json:"limit,omitempty"`
}

// BlkioStats is io.stat.
type BlkioStats struct {
	IoServiceBytesRecursive []BlkioEntry `json:"ioServiceBytesRecursive,omitempty"`
	IoServicedRecursive     []BlkioEntry `json:"ioServicedRecursive,omitempty"`
	PSI                     *PSI         `json:"psi,omitempty"`
}

// BlkioEntry counts bytes or operations; Op is Read, Write or Discard.
type BlkioEntry struct {
	Major uint64 `json:"major,omitempty"`
	Minor uint64 `json:"minor,omitempty"`
	Op    string `json:"op,omitempty"`
	Value uint64 `json:"value,omitempty"`
}

// HugetlbStats holds bytes for one page size.
type HugetlbStats struct {
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

// PSI is pressure stall information (Documentation/accounting/psi.rst).
type PSI struct {
	Some PSIShare `json:"some"`
	Full PSIShare `json:"full"`
}

// PSIShare holds percent of time stalled in the last 10, 60 and 300 seconds,
// and the total in microseconds.
type PSIShare struct {
	Avg10  float64 `json:"avg10"`
	Avg60  float64 `json:"avg60"`
	Avg300 float64 `json:"avg300"`
	Total  uint64  `json:"total"`
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

// maxListed bounds the numbers of one list of CPUs; kernels have at most 8192.
const maxListed = 1 << 14

// ParseList reads a list of CPUs or memory nodes, as "0-3,7". Numbers end
// below 16384, and so do their count. ok is false for anything else.
func ParseList(text string) (numbers []uint16, ok bool) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, true
	}
	for _, part := range strings.Split(text, ",") {
		from, to, ranged := strings.Cut(strings.TrimSpace(part), "-")
		if !ranged {
			to = from
		}
		first, err := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if err != nil || err2 != nil || first > last || last >= maxListed || len(numbers) >= maxListed {
			return nil, false
		}
		for n := first; n <= last; n++ {
			numbers = append(numbers, uint16(n))
		}
	}
	return numbers, true
}
