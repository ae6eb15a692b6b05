// Package limits turns linux.resources of config.json into typed limits, once. A
// cgroup's files (package cgroupv2) and a unit's properties (package systemd) are
// two renderings of them. It refuses what can hold nowhere, warns of what is near
// what can hold, and lays an update over what a container has. It is pure.
//
// The rules are those of the runtime specification 1.3 (config-linux.md,
// "Control groups") and of the kernel's Documentation/admin-guide/cgroup-v2.rst.
package limits

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// Amount is a number of whatever a knob counts, or Max.
type Amount uint64

// Max is no limit: the kernel's max, and what systemd calls infinity.
const Max Amount = math.MaxUint64

// String is the number as the kernel takes it, or max.
func (a Amount) String() string {
	if a == Max {
		return "max"
	}
	return strconv.FormatUint(uint64(a), 10)
}

// Knob is what a limit sets, by the kernel's name for it: the keys of unified.
type Knob string

// The knobs that one number or max turns (Number), and those of a CPUSet.
const (
	MemoryMax      Knob = "memory.max"
	MemoryHigh     Knob = "memory.high"
	MemoryLow      Knob = "memory.low"
	MemoryMin      Knob = "memory.min"
	SwapMax        Knob = "memory.swap.max"
	SwapHigh       Knob = "memory.swap.high"
	ZswapMax       Knob = "memory.zswap.max"
	PidsMax        Knob = "pids.max"
	CPUWeight      Knob = "cpu.weight"
	MaxDepth       Knob = "cgroup.max.depth"
	MaxDescendants Knob = "cgroup.max.descendants"

	CPUs        Knob = "cpuset.cpus"
	MemoryNodes Knob = "cpuset.mems"
)

// Knobs of one type each.
const (
	cpuIdle  Knob = "cpu.idle"
	cpuBurst Knob = "cpu.max.burst"
	cpuMax   Knob = "cpu.max"
	ioWeight Knob = "io.weight"
	ioMax    Knob = "io.max"
	rdmaMax  Knob = "rdma.max"
	oomGroup Knob = "memory.oom.group"
)

// Controller is the controller that the knob belongs to: what stands before its
// first dot ("cgroup" for the core's).
func (k Knob) Controller() string {
	name, _, _ := strings.Cut(string(k), ".")
	return name
}

// Pointer is the JSON pointer to what asked for a limit in config.json.
type Pointer string

// Place is the pointer, for messages.
func (p Pointer) Place() string { return string(p) }

// Limit is one thing that config.json asks for: a Number, CPUIdle, CPUBurst,
// CPUTime, CPUSet, IOWeight, IORate, Hugepages, Rdma, OOMGroup or Unified.
type Limit interface {
	// Name is the knob.
	Name() Knob
	// Place is the JSON pointer to what asked for it.
	Place() string
	// Restricts reports whether it changes anything for a cgroup that was just
	// made. Max where the kernel has max, and 0 where it has 0, hold also without
	// the controller.
	Restricts() bool
}

// Set is limits in the order in which they must be made. Where two are for the
// same knob (and device), the later one has the last word.
type Set []Limit

// Restricts reports whether any of the limits does: -1 (unlimited) asks for what
// holds where there is no cgroup at all.
func (s Set) Restricts() bool { return slices.ContainsFunc(s, Limit.Restricts) }

// Controllers names the controllers that the limits need, in order of first use,
// without the core's "cgroup". Limits that restrict nothing need none.
func (s Set) Controllers() []string {
	var names []string
	for _, l := range s {
		name := l.Name().Controller()
		if name != "cgroup" && l.Restricts() && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Number is a knob that takes one number, or max.
type Number struct {
	Pointer
	Knob   Knob
	Amount Amount
	// Use is for memory.limit and memory.swap only.
	Use Use
}

// Use is what a new limit of memory has to be compared with what is in use,
// since cgroup v2 would call the OOM killer (checkBeforeUpdate).
type Use struct {
	// Total is the limit in bytes: for SwapMax, of memory and swap together. 0
	// when there is nothing to compare.
	Total uint64
	Check CheckBeforeUpdate
}

// CheckBeforeUpdate is what config.json says by memory.checkBeforeUpdate.
type CheckBeforeUpdate int

// The values: nothing is said, true, false.
const (
	CheckUnsaid CheckBeforeUpdate = iota
	CheckAsked
	CheckDeclined
)

// Name is the field Knob.
func (n Number) Name() Knob { return n.Knob }

// Restricts is true for a weight, and for what differs from the kernel's own
// value.
func (n Number) Restricts() bool {
	switch n.Knob {
	case MemoryMin, MemoryLow:
		return n.Amount != 0
	case CPUWeight:
		return true
	}
	return n.Amount != Max
}

// CPUIdle is cpu.idle: run only when nobody else wants to.
type CPUIdle struct {
	Pointer
	Idle bool
}

// Name is cpu.idle.
func (CPUIdle) Name() Knob { return cpuIdle }

// Restricts is the field Idle.
func (c CPUIdle) Restricts() bool { return c.Idle }

// CPUBurst is the time that may be saved up, in microseconds (cpu.max.burst).
type CPUBurst struct {
	Pointer
	Time uint64
}

// Name is cpu.max.burst.
func (CPUBurst) Name() Knob { return cpuBurst }

// Restricts is true unless the time is 0.
func (c CPUBurst) Restricts() bool { return c.Time != 0 }

// CPUTime is the time that all CPUs together may run in each period (cpu.max);
// both in microseconds. Period is not 0.
type CPUTime struct {
	Pointer
	Quota  Amount
	Period uint64
}

// Name is cpu.max.
func (CPUTime) Name() Knob { return cpuMax }

// Restricts is true where there is a quota.
func (c CPUTime) Restricts() bool { return c.Quota != Max }

// CPUSet is the CPUs or the memory nodes that may be used.
type CPUSet struct {
	Pointer
	// Knob is CPUs or MemoryNodes.
	Knob Knob
	// Text is config.json's list, in the kernel's form; "" where only the
	// numbers are known.
	Text string
	// Numbers is nil where the text is not understood: the kernel may.
	Numbers []uint16
}

// Name is the field Knob.
func (c CPUSet) Name() Knob { return c.Knob }

// Restricts is true.
func (CPUSet) Restricts() bool { return true }

// Device is a block device.
type Device struct{ Major, Minor int64 }

// String is MAJOR:MINOR.
func (d Device) String() string {
	return strconv.FormatInt(d.Major, 10) + ":" + strconv.FormatInt(d.Minor, 10)
}

// IOWeight is the share of a device's time.
type IOWeight struct {
	Pointer
	// Device is nil for all that have no weight of their own.
	Device *Device
	// Weight has the scale of io.weight, 1 to 10000, and BFQ that of blockIO and
	// io.bfq.weight, 10 to 1000. BFQ is 0 where unified says io.weight.
	Weight uint64
	BFQ    uint16
}

// Name is io.weight.
func (IOWeight) Name() Knob { return ioWeight }

// Restricts is true.
func (IOWeight) Restricts() bool { return true }

// Flow is what an IORate counts, by the kernel's key in io.max.
type Flow string

// The flows: bytes and operations per second.
const (
	ReadBytes  Flow = "rbps"
	WriteBytes Flow = "wbps"
	Reads      Flow = "riops"
	Writes     Flow = "wiops"
)

// IORate is the most that may be read from, or written to, a device (io.max).
type IORate struct {
	Pointer
	Device Device
	Flow   Flow
	Rate   Amount
}

// Name is io.max.
func (IORate) Name() Knob { return ioMax }

// Restricts is true unless the rate is Max.
func (r IORate) Restricts() bool { return r.Rate != Max }

// Hugepages is the most bytes in huge pages of a size (hugetlb.SIZE.max).
type Hugepages struct {
	Pointer
	// Size is like 2MB.
	Size  string
	Bytes uint64
}

// Name is hugetlb.SIZE.max.
func (h Hugepages) Name() Knob { return Knob("hugetlb." + h.Size + ".max") }

// Restricts is true.
func (Hugepages) Restricts() bool { return true }

// Rdma is what may be used of an RDMA device (rdma.max); nil leaves one as it is,
// and not both are.
type Rdma struct {
	Pointer
	Device           string
	Handles, Objects *uint32
}

// Name is rdma.max.
func (Rdma) Name() Knob { return rdmaMax }

// Restricts is true.
func (Rdma) Restricts() bool { return true }

// OOMGroup is whether the OOM killer takes all processes at once
// (memory.oom.group). Only unified can ask for it.
type OOMGroup struct {
	Pointer
	Kill bool
}

// Name is memory.oom.group.
func (OOMGroup) Name() Knob { return oomGroup }

// Restricts is the field Kill.
func (o OOMGroup) Restricts() bool { return o.Kill }

// Unified is one line of a value in unified: what the kernel shall be told, in
// the user's words.
type Unified struct {
	Pointer
	// Key is the plain name of a controller's file.
	Key Knob
	// Line is not empty, and has no newline.
	Line string
	// Means is the line as limits, for a renderer that cannot hand it to the
	// kernel; nil where it is not understood.
	Means Set
}

// Name is the field Key.
func (u Unified) Name() Knob { return u.Key }

// Restricts is true of a line that is not understood.
func (u Unified) Restricts() bool { return u.Means == nil || u.Means.Restricts() }
