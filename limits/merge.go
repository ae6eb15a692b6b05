package limits

import (
	"maps"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Merge lays an update over the resources a container has. merged is what the
// container has afterwards (to be stored once the update was applied); touched
// is the part of it to read (Of) and set now: the fields of the update and those
// that share a knob, or a calculation, with them (swap with limit, quota with
// period). It works on what was asked for, not on limits: 0 is "not set", and a
// new memory limit makes another swap limit of the same memory.swap, or no limit
// none. Device rules are never touched by an update. Neither argument is changed;
// both may be nil.
func Merge(stored, update *specs.LinuxResources) (merged, touched *specs.LinuxResources) {
	if update == nil {
		update = &specs.LinuxResources{}
	}
	if stored == nil {
		stored = &specs.LinuxResources{}
	}
	m, t := *stored, specs.LinuxResources{}
	m.Memory, t.Memory = mergeMemory(stored.Memory, update.Memory)
	m.CPU, t.CPU = mergeCPU(stored.CPU, update.CPU)
	m.BlockIO, t.BlockIO = mergeBlockIO(stored.BlockIO, update.BlockIO)
	m.Pids, t.Pids = either(update.Pids, stored.Pids), update.Pids
	m.Network, t.Network = either(update.Network, stored.Network), update.Network
	m.HugepageLimits, t.HugepageLimits = mergeHugepages(stored.HugepageLimits, update.HugepageLimits), update.HugepageLimits
	m.Rdma, t.Rdma = mergeMap(stored.Rdma, update.Rdma), update.Rdma
	m.Unified, t.Unified = mergeMap(stored.Unified, update.Unified), update.Unified
	return &m, &t
}

func either[T any](first, second *T) *T {
	if first != nil {
		return first
	}
	return second
}

func mergeMemory(stored, update *specs.LinuxMemory) (merged, touched *specs.LinuxMemory) {
	if update == nil {
		return stored, nil
	}
	s, u := value(stored), *update
	m := specs.LinuxMemory{
		Limit:             nonzero(u.Limit, s.Limit),
		Swap:              nonzero(u.Swap, s.Swap),
		Reservation:       nonzero(u.Reservation, s.Reservation),
		Kernel:            either(u.Kernel, s.Kernel),
		KernelTCP:         either(u.KernelTCP, s.KernelTCP),
		Swappiness:        either(u.Swappiness, s.Swappiness),
		DisableOOMKiller:  either(u.DisableOOMKiller, s.DisableOOMKiller),
		UseHierarchy:      either(u.UseHierarchy, s.UseHierarchy),
		CheckBeforeUpdate: either(u.CheckBeforeUpdate, s.CheckBeforeUpdate),
	}
	if value(u.Limit) == -1 && value(u.Swap) == 0 {
		m.Swap = nil // else its memory would become swap: Of
	}
	t := u
	t.CheckBeforeUpdate = m.CheckBeforeUpdate
	if value(u.Limit) != 0 || value(u.Swap) != 0 {
		t.Limit, t.Swap = m.Limit, m.Swap
	}
	return &m, &t
}

// nonzero prefers first unless it is 0, which engines send for "not set".
func nonzero[T comparable](first, second *T) *T {
	var zero T
	if first != nil && *first != zero {
		return first
	}
	return either(second, first)
}

// mergeCPU keeps what shares a knob together: quota, period and burst; idle
// and shares.
func mergeCPU(stored, update *specs.LinuxCPU) (merged, touched *specs.LinuxCPU) {
	if update == nil {
		return stored, nil
	}
	s, u := value(stored), *update
	m := specs.LinuxCPU{
		Shares:          nonzero(u.Shares, s.Shares),
		Quota:           nonzero(u.Quota, s.Quota),
		Period:          nonzero(u.Period, s.Period),
		Burst:           either(u.Burst, s.Burst),
		Idle:            either(u.Idle, s.Idle),
		RealtimeRuntime: either(u.RealtimeRuntime, s.RealtimeRuntime),
		RealtimePeriod:  either(u.RealtimePeriod, s.RealtimePeriod),
		Cpus:            u.Cpus,
		Mems:            u.Mems,
	}
	if m.Cpus == "" {
		m.Cpus = s.Cpus
	}
	if m.Mems == "" {
		m.Mems = s.Mems
	}
	t := u
	if value(u.Quota) != 0 || value(u.Period) != 0 || u.Burst != nil {
		t.Quota, t.Period, t.Burst = m.Quota, m.Period, m.Burst
	}
	if value(u.Shares) != 0 || u.Idle != nil {
		t.Shares, t.Idle = m.Shares, m.Idle
	}
	return &m, &t
}

func mergeBlockIO(stored, update *specs.LinuxBlockIO) (merged, touched *specs.LinuxBlockIO) {
	if update == nil {
		return stored, nil
	}
	m, u := value(stored), *update
	m.Weight = nonzero(u.Weight, m.Weight)
	m.LeafWeight = either(u.LeafWeight, m.LeafWeight)
	m.WeightDevice = mergeWeights(m.WeightDevice, u.WeightDevice)
	m.ThrottleReadBpsDevice = mergeThrottles(m.ThrottleReadBpsDevice, u.ThrottleReadBpsDevice)
	m.ThrottleWriteBpsDevice = mergeThrottles(m.ThrottleWriteBpsDevice, u.ThrottleWriteBpsDevice)
	m.ThrottleReadIOPSDevice = mergeThrottles(m.ThrottleReadIOPSDevice, u.ThrottleReadIOPSDevice)
	m.ThrottleWriteIOPSDevice = mergeThrottles(m.ThrottleWriteIOPSDevice, u.ThrottleWriteIOPSDevice)
	return &m, &u
}

// mergeList keeps the stored entries whose key the update does not name.
func mergeList[T any, K comparable](stored, update []T, key func(T) K) []T {
	named := map[K]bool{}
	for _, e := range update {
		named[key(e)] = true
	}
	var merged []T
	for _, e := range stored {
		if !named[key(e)] {
			merged = append(merged, e)
		}
	}
	return append(merged, update...)
}

type deviceNumber struct{ major, minor int64 }

func mergeWeights(stored, update []specs.LinuxWeightDevice) []specs.LinuxWeightDevice {
	return mergeList(stored, update, func(d specs.LinuxWeightDevice) deviceNumber { return deviceNumber{d.Major, d.Minor} })
}

func mergeThrottles(stored, update []specs.LinuxThrottleDevice) []specs.LinuxThrottleDevice {
	return mergeList(stored, update, func(d specs.LinuxThrottleDevice) deviceNumber { return deviceNumber{d.Major, d.Minor} })
}

func mergeHugepages(stored, update []specs.LinuxHugepageLimit) []specs.LinuxHugepageLimit {
	return mergeList(stored, update, func(l specs.LinuxHugepageLimit) string { return l.Pagesize })
}

func mergeMap[V any](stored, update map[string]V) map[string]V {
	if len(update) == 0 {
		return stored
	}
	merged := maps.Clone(stored)
	if merged == nil {
		merged = map[string]V{}
	}
	maps.Copy(merged, update)
	return merged
}
