package cgroupv2

import (
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const ioPointer = root + ".blockIO"

func (f *files) blockIO(b *specs.LinuxBlockIO) {
	if b == nil {
		return
	}
	f.v1Only(value(b.LeafWeight) != 0, ioPointer+".leafWeight")
	if b.Weight != nil && *b.Weight != 0 {
		f.ioWeight("", *b.Weight, ioPointer+".weight")
	}
	for i, d := range b.WeightDevice {
		pointer := index(ioPointer+".weightDevice", i)
		f.v1Only(value(d.LeafWeight) != 0, pointer+".leafWeight")
		if d.Weight != nil && *d.Weight != 0 {
			f.ioWeight(device(d.Major, d.Minor)+" ", *d.Weight, pointer)
		}
	}
	f.throttle("rbps", "throttleReadBpsDevice", b.ThrottleReadBpsDevice)
	f.throttle("wbps", "throttleWriteBpsDevice", b.ThrottleWriteBpsDevice)
	f.throttle("riops", "throttleReadIOPSDevice", b.ThrottleReadIOPSDevice)
	f.throttle("wiops", "throttleWriteIOPSDevice", b.ThrottleWriteIOPSDevice)
}

// ioWeight prefers BFQ's file: with that scheduler io.weight (iocost) may
// exist and do nothing.
func (f *files) ioWeight(device string, weight uint16, pointer string) {
	clamped := min(max(weight, 10), 1000)
	if clamped != weight {
		f.warn(pointer, strconv.Itoa(int(weight))+" is outside of 10 to 1000, "+strconv.Itoa(int(clamped))+" is used")
	}
	cost := Write{File: "io.weight", Value: device + utoa(IOWeight(clamped)), Pointer: pointer}
	f.put(Write{File: "io.bfq.weight", Value: device + strconv.Itoa(int(clamped)), Pointer: pointer, Else: &cost})
}

// IOWeight converts blockIO.weight (10 to 1000) to io.weight (1 to 10000).
// 0 stays 0 (not set).
func IOWeight(weight uint16) uint64 {
	if weight == 0 {
		return 0
	}
	clamped := uint64(min(max(weight, 10), 1000))
	return 1 + (clamped-10)*9999/990
}

// throttle: a rate of 0 removes the limit, as it did in cgroup v1; the kernel
// itself refuses 0 here.
func (f *files) throttle(key, list string, devices []specs.LinuxThrottleDevice) {
	for i, d := range devices {
		rate := "max"
		if d.Rate != 0 {
			rate = utoa(d.Rate)
		}
		f.add("io.max", device(d.Major, d.Minor)+" "+key+"="+rate, index(ioPointer+"."+list, i))
	}
}

func device(major, minor int64) string {
	return strconv.FormatInt(major, 10) + ":" + strconv.FormatInt(minor, 10)
}
