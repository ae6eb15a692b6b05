package cgroupv2

import (
	"math"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const (
	cpuPointer = root + ".cpu"
	// The kernel's numbers, in microseconds (sched/core.c, tg_set_cfs_bandwidth):
	// the period unless one is given, the least quota and period, the longest
	// period.
	defaultPeriod = 100000
	leastTime     = 1000
	longestPeriod = 1000000
)

// cpu writes cpu.idle before cpu.weight: the kernel refuses a weight for an
// idle group with EINVAL, and leaving idle resets the weight.
func (f *files) cpu(c *specs.LinuxCPU) {
	if c == nil {
		return
	}
	f.cpuIdle(c)
	f.cpuBurst(c)
	f.cpuMax(c)
	f.v1Only(value(c.RealtimeRuntime) != 0, cpuPointer+".realtimeRuntime")
	f.v1Only(value(c.RealtimePeriod) != 0, cpuPointer+".realtimePeriod")
}

func (f *files) cpuIdle(c *specs.LinuxCPU) {
	idle := value(c.Idle)
	if idle != 0 && idle != 1 {
		f.fail(cpuPointer+".idle", strconv.FormatInt(idle, 10)+" is neither 0 nor 1")
	}
	if c.Idle != nil {
		f.add("cpu.idle", strconv.FormatInt(idle, 10), cpuPointer+".idle")
	}
	if shares := value(c.Shares); shares != 0 && idle == 0 {
		f.add("cpu.weight", utoa(CPUWeight(shares)), cpuPointer+".shares")
	}
}

// CPUWeight converts cpu.shares (2 to 262144, default 1024) to cpu.weight (1
// to 10000, default 100) so that both defaults meet:
// 10^((l^2 + 125 l) / 612 - 7/34), l = log2(shares), rounded up. 0 stays 0 (not set).
func CPUWeight(shares uint64) uint64 {
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
	return uint64(math.Ceil(weight - 1e-9))
}

// cpuBurst goes before cpu.max, with a retry after it: the kernel wants burst
// <= quota at every moment, so a shrinking pair needs this order, a growing
// pair the other (sched/core.c, tg_set_cfs_bandwidth).
func (f *files) cpuBurst(c *specs.LinuxCPU) {
	if c.Burst != nil {
		f.put(Write{File: "cpu.max.burst", Value: utoa(*c.Burst), Pointer: cpuPointer + ".burst", Retry: true})
	}
}

func (f *files) cpuMax(c *specs.LinuxCPU) {
	quota, period := value(c.Quota), value(c.Period)
	if quota == 0 && period == 0 {
		return
	}
	pointer := cpuPointer + ".quota"
	if quota == 0 {
		pointer = cpuPointer + ".period"
	}
	if quota > 0 && quota < leastTime {
		f.fail(pointer, strconv.FormatInt(quota, 10)+" is below 1000 microseconds, the kernel's least; "+
			"a longer period with a quota in proportion gives the same share")
	}
	if period != 0 && (period < leastTime || period > longestPeriod) {
		f.fail(cpuPointer+".period", utoa(period)+" is not from 1000 to 1000000 microseconds, which the kernel takes")
	}
	text := "max"
	if quota > 0 {
		text = strconv.FormatInt(quota, 10)
	}
	if period == 0 {
		period = defaultPeriod
	}
	f.add("cpu.max", text+" "+utoa(period), pointer)
}

func (f *files) cpuset(c *specs.LinuxCPU) {
	if c == nil {
		return
	}
	if cpus := strings.TrimSpace(c.Cpus); cpus != "" {
		f.add("cpuset.cpus", cpus, cpuPointer+".cpus")
	}
	if mems := strings.TrimSpace(c.Mems); mems != "" {
		f.add("cpuset.mems", mems, cpuPointer+".mems")
	}
}
