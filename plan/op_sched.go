package plan

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// SchedSetattr sets the process's scheduling policy: sched_setattr(2), Linux
// 3.14. The fields are those of struct sched_attr; config.json has no values for
// the two utilisation clamps (Linux 5.3), which stay 0.
type SchedSetattr struct {
	Policy                    int
	Flags                     int
	Nice, Priority            int32
	Runtime, Deadline, Period uint64
}

// Of linux/sched.h and linux/sched/types.h; x/sys/unix has no names for them.
const (
	// SchedISO is reserved: no kernel implements it.
	SchedISO      = 4
	schedAttrSize = 56 // SCHED_ATTR_SIZE_VER1
)

// Call implements Operation.
func (o SchedSetattr) Call() Call {
	b := halves(schedAttrSize, uint32(o.Policy), uint32(o.Flags), 0, uint32(o.Nice), uint32(o.Priority))
	b = append(b, words(o.Runtime, o.Deadline, o.Period, 0)...)
	return Call{"sched_setattr", unix.SYS_SCHED_SETATTR, []Arg{number(0), memory(fixed(b, o.show)), number(0)}}
}

func (o SchedSetattr) show() string {
	unsigned := func(n uint64) string { return strconv.FormatUint(n, 10) }
	return "{size=" + strconv.Itoa(schedAttrSize) + ", sched_policy=" + schedPolicies(int64(o.Policy)) +
		", sched_flags=" + schedFlags(int64(o.Flags)) + ", sched_nice=" + strconv.Itoa(int(o.Nice)) +
		", sched_priority=" + strconv.Itoa(int(o.Priority)) + ", sched_runtime=" + unsigned(o.Runtime) +
		", sched_deadline=" + unsigned(o.Deadline) + ", sched_period=" + unsigned(o.Period) +
		", sched_util_min=0, sched_util_max=0}"
}

func schedPolicies(n int64) string {
	return table{
		{unix.SCHED_NORMAL, "SCHED_OTHER"}, {unix.SCHED_FIFO, "SCHED_FIFO"}, {unix.SCHED_RR, "SCHED_RR"},
		{unix.SCHED_BATCH, "SCHED_BATCH"}, {SchedISO, "SCHED_ISO"}, {unix.SCHED_IDLE, "SCHED_IDLE"},
		{unix.SCHED_DEADLINE, "SCHED_DEADLINE"},
	}.value(n)
}

func schedFlags(n int64) string {
	return table{
		{unix.SCHED_FLAG_RESET_ON_FORK, "SCHED_FLAG_RESET_ON_FORK"}, {unix.SCHED_FLAG_RECLAIM, "SCHED_FLAG_RECLAIM"},
		{unix.SCHED_FLAG_DL_OVERRUN, "SCHED_FLAG_DL_OVERRUN"}, {unix.SCHED_FLAG_KEEP_POLICY, "SCHED_FLAG_KEEP_POLICY"},
		{unix.SCHED_FLAG_KEEP_PARAMS, "SCHED_FLAG_KEEP_PARAMS"},
		{unix.SCHED_FLAG_UTIL_CLAMP_MIN, "SCHED_FLAG_UTIL_CLAMP_MIN"},
		{unix.SCHED_FLAG_UTIL_CLAMP_MAX, "SCHED_FLAG_UTIL_CLAMP_MAX"},
	}.flags(n)
}

// SchedSetaffinity says on which CPUs the process may run: bit N of byte N/8
// for CPU N, little-endian as all machines that homerun runs on:
// sched_setaffinity(2).
type SchedSetaffinity struct{ Mask []byte }

// Call implements Operation.
func (o SchedSetaffinity) Call() Call {
	return Call{"sched_setaffinity", unix.SYS_SCHED_SETAFFINITY, []Arg{
		number(0), number(len(o.Mask)), memory(&Memory{Bytes: o.Mask, Show: func(func(Ref) string) string { return showCPUs(o.Mask) }})}}
}

// showCPUs prints a mask as a list of CPUs and ranges: [0-3 7].
func showCPUs(mask []byte) string {
	has := func(n int) bool { return n < 8*len(mask) && mask[n/8]&(1<<(n%8)) != 0 }
	s := ""
	for n := 0; n < 8*len(mask); n++ {
		if !has(n) {
			continue
		}
		first := n
		for has(n + 1) {
			n++
		}
		s += " " + strconv.Itoa(first)
		if n > first {
			s += "-" + strconv.Itoa(n)
		}
	}
	if s != "" {
		s = s[1:]
	}
	return "[" + s + "]"
}

// IoprioSet sets the I/O class and priority of the process, or of its process
// group: ioprio_set(2).
type IoprioSet struct{ Which, Class, Priority int }

// The IOPRIO_* numbers of linux/ioprio.h, which have no names in x/sys/unix.
const (
	IoprioWhoProcess = 1
	ioprioClassShift = 13
)

// Call implements Operation.
func (o IoprioSet) Call() Call {
	show := func(int64) string {
		return "IOPRIO_PRIO_VALUE(" + ioprioClasses(int64(o.Class)) + ", " + strconv.Itoa(o.Priority) + ")"
	}
	return Call{"ioprio_set", unix.SYS_IOPRIO_SET, []Arg{
		flags(o.Which, ioprioWho), number(0), flags(o.Class<<ioprioClassShift|o.Priority, show)}}
}

func ioprioWho(n int64) string {
	return table{{IoprioWhoProcess, "IOPRIO_WHO_PROCESS"}, {2, "IOPRIO_WHO_PGRP"}}.value(n)
}

func ioprioClasses(n int64) string {
	return table{{1, "IOPRIO_CLASS_RT"}, {2, "IOPRIO_CLASS_BE"}, {3, "IOPRIO_CLASS_IDLE"}}.value(n)
}
