package limits

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// unified goes last, so that it has the last word over the other fields.
func (r *reader) unified(values map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		at := member(root+".unified", key)
		if reason := unifiedKey(key); reason != "" {
			r.fail(at, reason)
			return
		}
		for line := range strings.SplitSeq(values[key], "\n") {
			if strings.TrimSpace(line) != "" {
				r.add(Unified{Pointer: at, Key: Knob(key), Line: line, Means: means(at, Knob(key), line)})
			}
		}
	}
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

// isLimit reports a file of the core's that limits something. The others act on
// processes (cgroup.procs, cgroup.kill) or on the tree, and are not resources.
func isLimit(file string) bool {
	return slices.Contains([]string{"cgroup.max.depth", "cgroup.max.descendants", "cgroup.pressure"}, file)
}

// means reads a line of unified as the kernel does; nil when it is not understood.
func means(at Pointer, key Knob, line string) Set {
	text := strings.TrimSpace(line)
	switch key {
	case MemoryMax, MemoryHigh, MemoryLow, MemoryMin, SwapMax, SwapHigh, ZswapMax, PidsMax, CPUWeight, MaxDepth, MaxDescendants:
		if n, ok := amount(text); ok {
			return Set{Number{Pointer: at, Knob: key, Amount: n}}
		}
	case CPUs, MemoryNodes:
		if numbers, ok := ParseList(text); ok && len(numbers) > 0 {
			return Set{CPUSet{Pointer: at, Knob: key, Text: text, Numbers: numbers}}
		}
	case cpuIdle:
		if text == "0" || text == "1" {
			return Set{CPUIdle{at, text == "1"}}
		}
	case oomGroup:
		if text == "0" || text == "1" {
			return Set{OOMGroup{at, text == "1"}}
		}
	case cpuBurst:
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			return Set{CPUBurst{at, n}}
		}
	case cpuMax:
		return meansCPUTime(at, strings.Fields(text))
	case ioWeight:
		return meansIOWeight(at, text)
	case ioMax:
		return meansIORates(at, strings.Fields(text))
	}
	return nil
}

// amount reads a number or max.
func amount(text string) (Amount, bool) {
	if text == "max" {
		return Max, true
	}
	n, err := strconv.ParseUint(text, 10, 64)
	return Amount(n), err == nil
}

// meansCPUTime reads "QUOTA" or "QUOTA PERIOD".
func meansCPUTime(at Pointer, words []string) Set {
	t := CPUTime{Pointer: at, Period: defaultPeriod}
	var understood bool
	if len(words) == 1 || len(words) == 2 {
		t.Quota, understood = amount(words[0])
	}
	if len(words) == 2 {
		period, err := strconv.ParseUint(words[1], 10, 64)
		t.Period, understood = period, understood && err == nil && period != 0
	}
	if !understood {
		return nil
	}
	return Set{t}
}

// meansIOWeight reads "WEIGHT", "default WEIGHT" or "MAJOR:MINOR WEIGHT".
func meansIOWeight(at Pointer, text string) Set {
	key, number, two := strings.Cut(text, " ")
	if !two {
		key, number = "default", key
	}
	weight, err := strconv.ParseUint(number, 10, 64)
	w := IOWeight{Pointer: at, Weight: weight}
	if err != nil {
		return nil
	}
	if key != "default" {
		device, ok := parseDevice(key)
		if !ok {
			return nil
		}
		w.Device = &device
	}
	return Set{w}
}

// meansIORates reads "MAJOR:MINOR KEY=RATE ...". The rates come in the order of
// their keys.
func meansIORates(at Pointer, words []string) Set {
	if len(words) < 2 {
		return nil
	}
	device, ok := parseDevice(words[0])
	rates := map[Flow]Amount{}
	for _, word := range words[1:] {
		key, number, _ := strings.Cut(word, "=")
		rate, isAmount := amount(number)
		ok = ok && isAmount && slices.Contains([]Flow{ReadBytes, WriteBytes, Reads, Writes}, Flow(key))
		rates[Flow(key)] = rate
	}
	if !ok {
		return nil
	}
	var set Set
	for _, flow := range slices.Sorted(maps.Keys(rates)) {
		set = append(set, IORate{Pointer: at, Device: device, Flow: flow, Rate: rates[flow]})
	}
	return set
}

// parseDevice reads MAJOR:MINOR.
func parseDevice(text string) (Device, bool) {
	major, minor, ok := strings.Cut(text, ":")
	a, err := strconv.ParseUint(major, 10, 32)
	b, err2 := strconv.ParseUint(minor, 10, 32)
	return Device{int64(a), int64(b)}, ok && err == nil && err2 == nil
}

// maxListed bounds the numbers of one list of CPUs; kernels have at most 8192.
const maxListed = 1 << 14

// ParseList reads a list of CPUs or memory nodes, as "0-3,7". Numbers end
// below 16384, and there are no more of them. ok is false for anything else.
func ParseList(text string) (numbers []uint16, ok bool) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, true
	}
	for _, part := range strings.Split(text, ",") {
		from, to, ranged := strings.Cut(strings.TrimSpace(part), "-")
		if !ranged {
			to = from
		}
		first, err := strconv.ParseUint(from, 10, 16)
		last, err2 := strconv.ParseUint(to, 10, 16)
		if err != nil || err2 != nil || first > last || last >= maxListed || len(numbers)+int(last-first) >= maxListed {
			return nil, false
		}
		for n := first; n <= last; n++ {
			numbers = append(numbers, uint16(n))
		}
	}
	return numbers, true
}
