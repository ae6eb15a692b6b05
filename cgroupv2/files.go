// Package cgroupv2 turns linux.resources of config.json into the files of a
// cgroup v2 directory, and its devices into a program; it chooses who makes the
// cgroup, and reads what the kernel says of its use. It is pure: package
// cgroupv2/live acts.
//
// The rules are those of the runtime specification 1.3 (config-linux.md,
// "Control groups") and of the kernel's Documentation/admin-guide/cgroup-v2.rst.
package cgroupv2

import (
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
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
	// Tolerate holds the errnos after which the write counts as done: the
	// kernel lacks the file, and Value asks for what then holds anyway.
	Tolerate []unix.Errno `json:"tolerate,omitempty"`
	// Retry puts the write off when the kernel answers EINVAL: it may depend
	// on a later write of the same list (cpu.max.burst on cpu.max).
	Retry bool `json:"retry,omitempty"`
	// Else is written instead when File does not exist.
	Else *Write `json:"else,omitempty"`
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
func (w Write) Controller() string {
	name, _, _ := strings.Cut(w.File, ".")
	return name
}

// Limits reports whether the write changes anything for a cgroup that was just
// made. max where the kernel has max, and 0 where it has 0, hold also without
// the controller.
func (w Write) Limits() bool {
	switch w.File {
	case "memory.max", "memory.high", "memory.swap.max", "memory.swap.high", "memory.zswap.max", "pids.max",
		"cgroup.max.depth", "cgroup.max.descendants":
		return w.Value != "max"
	case "memory.min", "memory.low", "memory.oom.group", "cpu.idle", "cpu.max.burst":
		return w.Value != "0"
	case "cpu.max":
		quota, _, _ := strings.Cut(w.Value, " ")
		return quota != "max"
	case "io.max":
		words := strings.Fields(w.Value)
		return len(words) < 2 || slices.ContainsFunc(words[1:], func(word string) bool { return !strings.HasSuffix(word, "=max") })
	}
	return true
}

// Limits reports whether any of the writes limits something: -1 (unlimited)
// asks for what holds where there is no cgroup at all.
func Limits(writes []Write) bool { return slices.ContainsFunc(writes, Write.Limits) }

// Controllers names the controllers that the writes need, in order of first
// use, without the core's "cgroup". Writes with an alternative or with a
// tolerated ENOENT count: the limit lies in their controller too. Writes that
// limit nothing need none.
func Controllers(writes []Write) []string {
	var names []string
	seen := map[string]bool{"cgroup": true}
	for _, w := range writes {
		if name := w.Controller(); !seen[name] && w.Limits() {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

// Checks collects the checks of writes.
func Checks(writes []Write) []Check {
	var checks []Check
	for _, w := range writes {
		if w.Check != nil {
			checks = append(checks, *w.Check)
		}
	}
	return checks
}

// ConfigError is a value of config.json that no host can apply.
type ConfigError struct {
	Pointer string
	Reason  string
}

func (e *ConfigError) Error() string { return "config.json: " + e.Pointer + ": " + e.Reason }

const root = "linux.resources"

// files collects the writes, the warnings and the first error.
type files struct {
	writes   []Write
	warnings []string
	err      error
}

// Files converts resources to writes, in the order in which they must be made.
// A value that can hold nowhere is a *ConfigError, and so is one that asks for
// what only cgroup v1 has; a value that is near what can hold gives a warning. Device rules are not files: see
// DeviceRules. A nil res gives nothing.
//
// create and update share it: for an update, call Merge first and convert what
// it says was touched.
func Files(res *specs.LinuxResources) ([]Write, []string, error) {
	if res == nil {
		return nil, nil, nil
	}
	f := &files{}
	f.memory(res.Memory)
	f.pids(res.Pids)
	f.cpu(res.CPU)
	f.cpuset(res.CPU)
	f.blockIO(res.BlockIO)
	f.hugepages(res.HugepageLimits)
	f.rdma(res.Rdma)
	f.network(res.Network)
	f.unified(res.Unified)
	if f.err != nil {
		return nil, nil, f.err
	}
	return f.writes, f.warnings, nil
}

func (f *files) put(w Write) { f.writes = append(f.writes, w) }

func (f *files) add(file, value, pointer string) {
	f.put(Write{File: file, Value: value, Pointer: pointer})
}

// fail keeps the first error only: one line reaches the user.
func (f *files) fail(pointer, reason string) {
	if f.err == nil {
		f.err = &ConfigError{Pointer: pointer, Reason: reason}
	}
}

func (f *files) warn(pointer, reason string) {
	f.warnings = append(f.warnings, pointer+": "+reason)
}

// v1Only refuses a field that asks for something that cgroup v2 has not, as crun
// does: a container without a limit that was asked for is another container.
func (f *files) v1Only(set bool, pointer string) {
	if set {
		f.fail(pointer, "only cgroup v1 has this, and homerun limits with cgroup v2")
	}
}

// limit renders a limit: "" for 0 (not asked for), max for -1.
func (f *files) limit(v int64, pointer string) string {
	switch {
	case v == 0:
		return ""
	case v == -1:
		return "max"
	case v < 0:
		f.fail(pointer, strconv.FormatInt(v, 10)+" is negative; only -1 (unlimited) may be")
		return ""
	}
	return strconv.FormatInt(v, 10)
}

func value[T any](p *T) T {
	var zero T
	if p == nil {
		return zero
	}
	return *p
}

func utoa(v uint64) string { return strconv.FormatUint(v, 10) }

// index names element i of a list in a JSON pointer.
func index(pointer string, i int) string { return pointer + "[" + strconv.Itoa(i) + "]" }

// member names a key of an object, quoted where it is no plain name, as package
// bundle writes paths.
func member(pointer, key string) string {
	if strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
		return pointer + "[" + strconv.Quote(key) + "]"
	}
	return pointer + "." + key
}
