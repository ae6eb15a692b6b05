package limits

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	root          Pointer = "linux.resources"
	memoryPointer         = root + ".memory"
	cpuPointer            = root + ".cpu"
	ioPointer             = root + ".blockIO"
)

// reader collects the limits, the warnings and the first error.
type reader struct {
	set      Set
	warnings []string
	err      error
}

// Of reads resources. A value that can hold nowhere is a *fault.Error, and so is one
// that asks for what only cgroup v1 has; a value that is near what can hold gives
// a warning, of one line. Device rules are no limits: see cgroupv2.DeviceRules. A
// nil res, and a 0 where engines send it for "not asked for", gives nothing.
//
// create and update share it: for an update, call Merge first and read what it
// says was touched.
func Of(res *specs.LinuxResources) (Set, []string, error) {
	if res == nil {
		return nil, nil, nil
	}
	r := &reader{}
	r.memory(res.Memory)
	r.pids(res.Pids)
	r.cpu(res.CPU)
	r.cpuset(res.CPU)
	r.blockIO(res.BlockIO)
	r.hugepages(res.HugepageLimits)
	r.rdma(res.Rdma)
	r.network(res.Network)
	r.unified(res.Unified)
	if r.err != nil {
		return nil, nil, r.err
	}
	return r.set, r.warnings, nil
}

func (r *reader) add(l Limit) { r.set = append(r.set, l) }

// fail keeps the first error only: one line reaches the user.
func (r *reader) fail(at Pointer, reason string) {
	if r.err == nil {
		r.err = &fault.Error{File: "config.json", Place: at.Place(), Why: reason}
	}
}

// v1Only refuses a field that asks for something that cgroup v2 has not, as crun
// does: a container without a limit that was asked for is another container.
func (r *reader) v1Only(set bool, at Pointer) {
	if set {
		r.fail(at, "only cgroup v1 has this, and homerun limits with cgroup v2")
	}
}

// number adds a limit where one is asked for: 0 is not, and -1 is Max.
func (r *reader) number(n Number, v int64) {
	switch {
	case v == 0:
		return
	case v == -1:
		n.Amount = Max
	case v < 0:
		r.fail(n.Pointer, itoa(v)+" is negative; only -1 (unlimited) may be")
	default:
		n.Amount = Amount(v)
	}
	r.add(n)
}

// memory: no program runs in memory.max 0.
func (r *reader) memory(m *specs.LinuxMemory) {
	if m == nil {
		return
	}
	check := CheckUnsaid
	if m.CheckBeforeUpdate != nil {
		check = CheckDeclined
	}
	if value(m.CheckBeforeUpdate) {
		check = CheckAsked
	}
	limit := value(m.Limit)
	r.number(Number{Pointer: memoryPointer + ".limit", Knob: MemoryMax, Use: Use{uint64(max(limit, 0)), check}}, limit)
	r.swap(value(m.Swap), limit, check)
	r.number(Number{Pointer: memoryPointer + ".reservation", Knob: MemoryLow}, value(m.Reservation))
	r.v1Only(value(m.Kernel) > 0, memoryPointer+".kernel")
	r.v1Only(value(m.KernelTCP) > 0, memoryPointer+".kernelTCP")
	r.v1Only(m.Swappiness != nil, memoryPointer+".swappiness")
	r.v1Only(value(m.DisableOOMKiller), memoryPointer+".disableOOMKiller")
	r.v1Only(m.UseHierarchy != nil && !*m.UseHierarchy, memoryPointer+".useHierarchy")
}

// swap: memory.swap counts memory and swap together, the kernel's limit swap
// alone. 0 is not set, -1 unlimited, and an unlimited memory with no word about
// swap leaves swap unlimited too: rules of runc's (opencontainers/cgroups,
// ConvertMemorySwapToCgroupV2Value) that engines rely on.
func (r *reader) swap(swap, limit int64, check CheckBeforeUpdate) {
	n := Number{Pointer: memoryPointer + ".swap", Knob: SwapMax, Use: Use{uint64(max(swap, 0)), check}}
	switch {
	case swap < -1:
		r.fail(n.Pointer, itoa(swap)+" is negative; only -1 (unlimited) may be")
	case swap == -1, swap == 0 && limit == -1:
		n.Amount = Max
	case swap == 0:
		return
	case limit == -1:
		n.Amount = Amount(swap)
	case limit == 0:
		r.fail(n.Pointer, "is memory and swap together, so memory.limit must be set too")
	case swap < limit:
		r.fail(n.Pointer, itoa(swap)+" (memory and swap together) is below memory.limit "+itoa(limit))
	default:
		n.Amount = Amount(swap - limit)
	}
	r.add(n)
}

// pids: 0 is a valid limit (runtime specification 1.3): no process may be made.
// Set as 0 it would forbid the clone of init itself into the cgroup (EAGAIN).
// Init counts as one, so 1 says the same of a container that runs: init and
// nobody else.
func (r *reader) pids(p *specs.LinuxPids) {
	if p == nil || p.Limit == nil {
		return
	}
	limit := *p.Limit
	if limit == 0 {
		limit = 1
	}
	r.number(Number{Pointer: root + ".pids.limit", Knob: PidsMax}, limit)
}

// The kernel's numbers, in microseconds (sched/core.c, tg_set_cfs_bandwidth): the
// period unless one is given, the least quota and period, the longest period.
const (
	defaultPeriod = 100000
	leastTime     = 1000
	longestPeriod = 1000000
)

// cpu has idle before the weight: the kernel refuses a weight for an idle group
// with EINVAL, and leaving idle resets the weight. The burst comes before the
// quota, see cgroupv2.Files.
func (r *reader) cpu(c *specs.LinuxCPU) {
	if c == nil {
		return
	}
	idle := value(c.Idle)
	if idle != 0 && idle != 1 {
		r.fail(cpuPointer+".idle", itoa(idle)+" is neither 0 nor 1")
	}
	if c.Idle != nil {
		r.add(CPUIdle{Pointer: cpuPointer + ".idle", Idle: idle == 1})
	}
	if shares := value(c.Shares); shares != 0 && idle == 0 {
		r.add(Number{Pointer: cpuPointer + ".shares", Knob: CPUWeight, Amount: weightOfShares(shares)})
	}
	if c.Burst != nil {
		r.add(CPUBurst{Pointer: cpuPointer + ".burst", Time: *c.Burst})
	}
	r.cpuTime(value(c.Quota), value(c.Period))
	r.v1Only(value(c.RealtimeRuntime) != 0, cpuPointer+".realtimeRuntime")
	r.v1Only(value(c.RealtimePeriod) != 0, cpuPointer+".realtimePeriod")
}

// weightOfShares converts cpu.shares (2 to 262144, default 1024) to cpu.weight (1
// to 10000, default 100) so that both defaults meet:
// 10^((l^2 + 125 l) / 612 - 7/34), l = log2(shares), rounded up. 0 stays 0 (not set).
func weightOfShares(shares uint64) Amount {
	switch {
	case shares == 0:
		return 0
	case shares <= 2:
		return 1
	case shares >= 262144:
		return 10000
	}
	l := math.Log2(float64(shares))
	weight := math.Pow(10, (l*l+125*l)/612-7.0/34)
	// The slack absorbs what fused multiply-add (arm64) adds to exact values:
	// 1024 must not become 101.
	return Amount(math.Ceil(weight - 1e-9))
}

func (r *reader) cpuTime(quota int64, period uint64) {
	if quota == 0 && period == 0 {
		return
	}
	t := CPUTime{Pointer: cpuPointer + ".quota", Quota: Max, Period: defaultPeriod}
	if quota == 0 {
		t.Pointer = cpuPointer + ".period"
	}
	if quota > 0 && quota < leastTime {
		r.fail(t.Pointer, itoa(quota)+" is below 1000 microseconds, the kernel's least; "+
			"a longer period with a quota in proportion gives the same share")
	}
	if period != 0 && (period < leastTime || period > longestPeriod) {
		r.fail(cpuPointer+".period", utoa(period)+" is not from 1000 to 1000000 microseconds, which the kernel takes")
	}
	if quota > 0 {
		t.Quota = Amount(quota)
	}
	if period != 0 {
		t.Period = period
	}
	r.add(t)
}

func (r *reader) cpuset(c *specs.LinuxCPU) {
	if c == nil {
		return
	}
	r.list(cpuPointer+".cpus", CPUs, c.Cpus)
	r.list(cpuPointer+".mems", MemoryNodes, c.Mems)
}

func (r *reader) list(at Pointer, knob Knob, text string) {
	if text = strings.TrimSpace(text); text != "" {
		numbers, _ := ParseList(text)
		r.add(CPUSet{Pointer: at, Knob: knob, Text: text, Numbers: numbers})
	}
}

func (r *reader) blockIO(b *specs.LinuxBlockIO) {
	if b == nil {
		return
	}
	r.v1Only(value(b.LeafWeight) != 0, ioPointer+".leafWeight")
	r.ioWeight(ioPointer+".weight", nil, value(b.Weight))
	for i, d := range b.WeightDevice {
		at := index(ioPointer+".weightDevice", i)
		r.v1Only(value(d.LeafWeight) != 0, at+".leafWeight")
		r.ioWeight(at, &Device{d.Major, d.Minor}, value(d.Weight))
	}
	r.rates(ioPointer+".throttleReadBpsDevice", ReadBytes, b.ThrottleReadBpsDevice)
	r.rates(ioPointer+".throttleWriteBpsDevice", WriteBytes, b.ThrottleWriteBpsDevice)
	r.rates(ioPointer+".throttleReadIOPSDevice", Reads, b.ThrottleReadIOPSDevice)
	r.rates(ioPointer+".throttleWriteIOPSDevice", Writes, b.ThrottleWriteIOPSDevice)
}

func (r *reader) ioWeight(at Pointer, device *Device, weight uint16) {
	if weight == 0 {
		return
	}
	clamped := min(max(weight, 10), 1000)
	if clamped != weight {
		r.warnings = append(r.warnings, at.Place()+": "+utoa(uint64(weight))+" is outside of 10 to 1000, "+utoa(uint64(clamped))+" is used")
	}
	r.add(IOWeight{Pointer: at, Device: device, Weight: weightOfBlockIO(clamped), BFQ: clamped})
}

// weightOfBlockIO converts blockIO.weight (10 to 1000) to io.weight (1 to 10000).
func weightOfBlockIO(weight uint16) uint64 { return 1 + uint64(weight-10)*9999/990 }

// rates: a rate of 0 removes the limit, as it did in cgroup v1; the kernel itself
// refuses 0 here.
func (r *reader) rates(at Pointer, flow Flow, devices []specs.LinuxThrottleDevice) {
	for i, d := range devices {
		rate := Max
		if d.Rate != 0 {
			rate = Amount(d.Rate)
		}
		r.add(IORate{Pointer: index(at, i), Device: Device{d.Major, d.Minor}, Flow: flow, Rate: rate})
	}
}

func (r *reader) hugepages(limits []specs.LinuxHugepageLimit) {
	for i, l := range limits {
		at := index(root+".hugepageLimits", i)
		if !pageSize(l.Pagesize) {
			r.fail(at+".pageSize", strconv.Quote(l.Pagesize)+" is not like 2MB (a number, then KB, MB or GB)")
			return
		}
		r.add(Hugepages{Pointer: at, Size: l.Pagesize, Bytes: l.Limit})
	}
}

// pageSize checks for ^[1-9][0-9]*[KMG]B$: the text becomes part of a file
// name, so a slash in it would name any file (runc#4103).
func pageSize(s string) bool {
	digits, ok := strings.CutSuffix(s, "B")
	if !ok || len(digits) < 2 || !strings.ContainsRune("KMG", rune(digits[len(digits)-1])) {
		return false
	}
	digits = digits[:len(digits)-1]
	return digits[0] != '0' && strings.Trim(digits, "0123456789") == ""
}

func (r *reader) rdma(devices map[string]specs.LinuxRdma) {
	for _, name := range slices.Sorted(maps.Keys(devices)) {
		at := member(root+".rdma", name)
		if name == "" || strings.ContainsAny(name, " \t\n\x00=") {
			r.fail(at, strconv.Quote(name)+" is not a device name")
			return
		}
		if d := devices[name]; d.HcaHandles != nil || d.HcaObjects != nil {
			r.add(Rdma{Pointer: at, Device: name, Handles: d.HcaHandles, Objects: d.HcaObjects})
		}
	}
}

func (r *reader) network(n *specs.LinuxNetwork) {
	if n == nil {
		return
	}
	r.v1Only(value(n.ClassID) != 0, root+".network.classID")
	r.v1Only(len(n.Priorities) > 0, root+".network.priorities")
}

func value[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

func itoa(v int64) string { return strconv.FormatInt(v, 10) }

func utoa(v uint64) string { return strconv.FormatUint(v, 10) }

// index names element i of a list in a JSON pointer.
func index(at Pointer, i int) Pointer { return at + "[" + Pointer(strconv.Itoa(i)) + "]" }

// member names a key of an object, quoted where it is no plain name, as package
// bundle writes paths.
func member(at Pointer, key string) Pointer {
	if strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
		return at + "[" + Pointer(strconv.Quote(key)) + "]"
	}
	return at + "." + Pointer(key)
}
