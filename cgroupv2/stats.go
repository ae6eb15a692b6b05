package cgroupv2

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
