package cgroupv2

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// pids: 0 is a valid limit (runtime specification 1.3): no process may be
// made. Written as 0 it would forbid the clone of init itself into the cgroup
// (EAGAIN). Init counts as one, so 1 says the same of a container that runs:
// init and nobody else. systemd's TasksMax gets the same value.
func (f *files) pids(p *specs.LinuxPids) {
	if p == nil || p.Limit == nil {
		return
	}
	pointer := root + ".pids.limit"
	limit := *p.Limit
	if limit == 0 {
		limit = 1
	}
	if text := f.limit(limit, pointer); text != "" {
		f.add("pids.max", text, pointer)
	}
}

// hugepages limits use and, where the kernel has it (5.7), reservation: a
// program that faults a page beyond .max dies by SIGBUS, beyond .rsvd.max its
// mmap fails.
func (f *files) hugepages(limits []specs.LinuxHugepageLimit) {
	for i, l := range limits {
		pointer := index(root+".hugepageLimits", i)
		if !pageSize(l.Pagesize) {
			f.fail(pointer+".pageSize", strconv.Quote(l.Pagesize)+" is not like 2MB (a number, then KB, MB or GB)")
			return
		}
		prefix := "hugetlb." + l.Pagesize
		f.add(prefix+".max", utoa(l.Limit), pointer)
		f.put(Write{File: prefix + ".rsvd.max", Value: utoa(l.Limit), Pointer: pointer, Tolerate: []unix.Errno{unix.ENOENT}})
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

func (f *files) rdma(devices map[string]specs.LinuxRdma) {
	for _, name := range slices.Sorted(maps.Keys(devices)) {
		pointer := member(root+".rdma", name)
		if name == "" || strings.ContainsAny(name, " \t\n\x00=") {
			f.fail(pointer, strconv.Quote(name)+" is not a device name")
			return
		}
		text := name
		if v := devices[name].HcaHandles; v != nil {
			text += " hca_handle=" + utoa(uint64(*v))
		}
		if v := devices[name].HcaObjects; v != nil {
			text += " hca_object=" + utoa(uint64(*v))
		}
		if text != name {
			f.add("rdma.max", text, pointer)
		}
	}
}

func (f *files) network(n *specs.LinuxNetwork) {
	if n == nil {
		return
	}
	f.v1Only(value(n.ClassID) != 0, root+".network.classID")
	f.v1Only(len(n.Priorities) > 0, root+".network.priorities")
}

// isLimit tells a file of the core's that limits something. The others act on
// processes (cgroup.procs, cgroup.kill) or on the tree, and are not resources.
func isLimit(file string) bool {
	return slices.Contains([]string{"cgroup.max.depth", "cgroup.max.descendants", "cgroup.pressure"}, file)
}

// unified goes last, so that it has the last word over the other fields.
func (f *files) unified(values map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		pointer := member(root+".unified", key)
		if reason := unifiedKey(key); reason != "" {
			f.fail(pointer, reason)
			return
		}
		for _, line := range strings.Split(values[key], "\n") {
			f.unifiedLine(key, line, pointer)
		}
	}
}

func (f *files) unifiedLine(key, line, pointer string) {
	if strings.TrimSpace(line) == "" {
		return
	}
	f.put(Write{File: key, Value: line, Pointer: pointer, Retry: key == "cpu.max.burst"})
}

// unifiedKey says what is wrong with a key of unified, or "".
func unifiedKey(key string) string {
	controller, knob, dotted := strings.Cut(key, ".")
	switch {
	case strings.ContainsAny(key, "/\x00\n"):
		return strconv.Quote(key) + " is a path; it must be the plain name of a file"
	case !dotted || controller == "" || knob == "":
		return strconv.Quote(key) + " is not the name of a controller's file, like memory.high"
	case controller == "cgroup" && !isLimit(key):
		return strconv.Quote(key) + " does not limit anything"
	}
	return ""
}
