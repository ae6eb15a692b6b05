// Package cgroupv2 turns limits into the files of a cgroup v2 directory, and
// linux.resources.devices into a program; it chooses who makes the cgroup, and
// reads what the kernel says of its use. It is pure: package cgroupv2/live acts.
//
// The rules are those of the runtime specification 1.3 (config-linux.md,
// "Control groups") and of the kernel's Documentation/admin-guide/cgroup-v2.rst.
package cgroupv2

import (
	"strconv"
	"strings"

	"github.com/homerun-oci/homerun/limits"
	"golang.org/x/sys/unix"
)

// Write is one value for one file of a cgroup directory.
type Write struct {
	// File is the plain name of the file, as memory.max.
	File string `json:"file"`
	// Value is what is written, without a newline.
	Value string `json:"value"`
	// Pointer is the JSON pointer into config.json that asked for it.
	Pointer string `json:"pointer"`
	// Unlimited is true when Value asks for what holds without the controller,
	// which may then be missing.
	Unlimited bool `json:"unlimited,omitempty"`
	// Tolerate holds the errnos after which the write counts as done: the
	// kernel lacks the file, and Value asks for what then holds anyway.
	Tolerate []unix.Errno `json:"tolerate,omitempty"`
	// Retry puts the write off when the kernel answers EINVAL: it may depend
	// on a later write of the same list (cpu.max.burst on cpu.max).
	Retry bool `json:"retry,omitempty"`
	// Else is written instead when File does not exist, or is not supported by the
	// device that Value names.
	Else *Write `json:"else,omitempty"`
	// Both has Else written too, if its file exists.
	Both bool `json:"both,omitempty"`
	// Check must pass before anything of the list is written.
	Check *Check `json:"check,omitempty"`
}

// Check demands that a new limit is above what is in use, the sum of the
// files' numbers (checkBeforeUpdate: cgroup v2 would call the OOM killer).
type Check struct {
	Limit   uint64   `json:"limit"`
	Files   []string `json:"files"`
	Pointer string   `json:"pointer"`
}

// Controller is the controller that File belongs to: its part before the
// first dot ("cgroup" for core files).
func (w Write) Controller() string { return limits.Knob(w.File).Controller() }

// Files renders limits as writes, in the order in which they must be made.
//
// The burst is tried before the quota, and once more after it: the kernel wants
// burst <= quota at every moment, so a shrinking pair needs this order, a growing
// pair the other (sched/core.c, tg_set_cfs_bandwidth).
func Files(set limits.Set) []Write {
	var writes []Write
	for _, l := range set {
		w := Write{File: string(l.Name()), Pointer: l.Place(), Unlimited: !l.Restricts()}
		w.render(l)
		writes = append(writes, w)
		if h, ok := l.(limits.Hugepages); ok {
			// Where the kernel has it (5.7) the reservation is limited too: a program
			// that faults a page beyond .max dies by SIGBUS, beyond .rsvd.max its mmap fails.
			w.File, w.Tolerate = "hugetlb."+h.Size+".rsvd.max", []unix.Errno{unix.ENOENT}
			writes = append(writes, w)
		}
	}
	return writes
}

// render makes the value, and what else the write of a limit is.
func (w *Write) render(l limits.Limit) {
	switch l := l.(type) {
	case limits.Number:
		w.number(l)
	case limits.CPUIdle:
		w.Value = digit(l.Idle)
	case limits.CPUBurst:
		w.Value, w.Retry = utoa(l.Time), true
	case limits.CPUTime:
		w.Value = l.Quota.String() + " " + utoa(l.Period)
	case limits.CPUSet:
		w.Value = l.Text
		if w.Value == "" {
			w.Value = list(l.Numbers)
		}
	case limits.IOWeight:
		w.weight(l)
	case limits.IORate:
		w.Value = l.Device.String() + " " + string(l.Flow) + "=" + l.Rate.String()
	case limits.Hugepages:
		w.Value = utoa(l.Bytes)
	case limits.Rdma:
		w.Value = l.Device + rdma("hca_handle", l.Handles) + rdma("hca_object", l.Objects)
	case limits.OOMGroup:
		w.Value = digit(l.Kill)
	case limits.Unified:
		w.Value, w.Retry = l.Line, l.Key == limits.CPUBurst{}.Name()
	}
}

// number: a kernel without swap accounting lacks memory.swap.max; max and 0 then
// ask for nothing that does not hold.
func (w *Write) number(n limits.Number) {
	w.Value = n.Amount.String()
	if n.Knob == limits.SwapMax && (n.Amount == limits.Max || n.Amount == 0) {
		w.Tolerate = []unix.Errno{unix.ENOENT}
	}
	if c, ok := check(n); ok && n.Use.Check == limits.CheckAsked {
		w.Check = &c
	}
}

// weight prefers BFQ's file: with that scheduler io.weight (iocost) may exist and
// do nothing. But each disk has a scheduler of its own: where BFQ is there, and not this
// disk's, its file refuses the disk (EOPNOTSUPP). What is for all disks goes to both.
func (w *Write) weight(l limits.IOWeight) {
	device := ""
	if l.Device != nil {
		device = l.Device.String() + " "
	}
	w.Value = device + utoa(l.Weight)
	if l.BFQ != 0 {
		cost := *w
		w.File, w.Value, w.Else, w.Both = "io.bfq.weight", device+utoa(uint64(l.BFQ)), &cost, l.Device == nil
	}
}

// Checks are those of the limits that checkBeforeUpdate does not decline. asked
// is true when it asks for them; when nothing is said, memory may be reclaimed
// before (live.Dir.Reclaim).
func Checks(set limits.Set) (checks []Check, asked bool) {
	for _, l := range set {
		n, _ := l.(limits.Number)
		if c, ok := check(n); ok && n.Use.Check != limits.CheckDeclined {
			checks, asked = append(checks, c), n.Use.Check == limits.CheckAsked
		}
	}
	return checks, asked
}

func check(n limits.Number) (c Check, ok bool) {
	if n.Use.Total == 0 {
		return c, false
	}
	files := []string{"memory.current", "memory.swap.current"}
	if n.Knob != limits.SwapMax {
		files = files[:1]
	}
	return Check{Limit: n.Use.Total, Files: files, Pointer: n.Place()}, true
}

func rdma(key string, most *uint32) string {
	if most == nil {
		return ""
	}
	return " " + key + "=" + utoa(uint64(*most))
}

// list writes numbers as cpuset(7) has them.
func list(numbers []uint16) string {
	words := make([]string, len(numbers))
	for i, n := range numbers {
		words[i] = strconv.Itoa(int(n))
	}
	return strings.Join(words, ",")
}

func digit(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

func utoa(v uint64) string { return strconv.FormatUint(v, 10) }
