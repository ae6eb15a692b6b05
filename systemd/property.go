package systemd

import (
	"fmt"
	"maps"
	"math"
	"math/bits"
	"reflect"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/homerun-oci/homerun/cgroupv2"
)

// Infinity is how systemd spells "no limit" in numbers of 64 bits.
const Infinity uint64 = math.MaxUint64

// Property is one property of a unit. Value is of the Go type whose D-Bus
// signature the property has: bool, string, []string, int32, uint32, uint64,
// []uint32, []byte, []DeviceValue.
type Property struct {
	Name  string
	Value any
	// Pointer leads to what asked for it in config.json; empty for our own.
	Pointer string
	// Writes are the cgroup files that the property stands for. When an old
	// systemd does not know it they are to be written instead.
	Writes []cgroupv2.Write
}

// DeviceValue is an element of the a(st) of IOReadBandwidthMax and the like.
type DeviceValue struct {
	Path  string
	Value uint64
}

// Scope is the unit to make.
type Scope struct {
	// Unit and Slice come from ParsePath.
	Unit, Slice string
	Description string
	// PIDs are moved into the scope, as systemd's pid namespace counts them; 0
	// is the sender. A slice unit takes none.
	PIDs []uint32
}

// Request is what is asked of systemd, and what is left to do.
type Request struct {
	Properties []Property
	// Files are the writes that no property stands for, or not exactly: they
	// go into the unit's own cgroup once the job is done.
	Files []cgroupv2.Write
	// Limits are the writes of the annotations' limits, to be proved as those
	// of linux.resources are.
	Limits []cgroupv2.Write
	// Warnings are those of cgroupv2.Files, Ignored the annotations that are not
	// set, a line each.
	Warnings, Ignored []string
}

// Properties makes the request for a new scope (or slice): its own properties,
// those of org.systemd.property.* annotations, which replace them, and those of
// the resources, which no annotation changes: where linux.resources has a limit,
// an annotation with another value of it is ignored. Errors name the JSON
// pointer.
//
// There are no device properties on purpose, for root neither: systemd would
// run its own device program on the scope, and put it back at each
// daemon-reload with what it knows. Ours (cgroupv2.DeviceProgram) stays
// attached and knows rules that DeviceAllow= cannot say.
func Properties(s Scope, res *specs.LinuxResources, annotations map[string]string) (Request, error) {
	r, err := Resources(res)
	if err != nil {
		return Request{}, err
	}
	extra, ignored, err := Annotations(annotations)
	if err != nil {
		return Request{}, err
	}
	r.Ignored = ignored
	r.Properties = unique(slices.Concat(s.properties(), r.merge(extra), r.Properties))
	return r, nil
}

// merge leaves the annotations' properties that linux.resources does not set, be
// it as a property or as a file.
func (r *Request) merge(extra []Property) (kept []Property) {
	for _, p := range extra {
		clash := slices.ContainsFunc(r.Properties, func(q Property) bool { return q.Name == p.Name && !reflect.DeepEqual(q.Value, p.Value) })
		same := slices.ContainsFunc(r.Properties, func(q Property) bool { return q.Name == p.Name })
		for _, w := range p.Writes {
			clash = clash || slices.ContainsFunc(r.Files, func(f cgroupv2.Write) bool { return f.File == w.File })
		}
		switch {
		case clash:
			r.Ignored = append(r.Ignored, "config.json: "+p.Pointer+": ignored: linux.resources has another value")
		case !same:
			kept = append(kept, p)
			r.Limits = append(r.Limits, p.Writes...)
		}
	}
	return kept
}

// properties: CollectMode lets a scope that failed (OOM) vanish too, and frees
// its name. No DefaultDependencies: the scope would be stopped early at
// shutdown, before what uses it. OOMPolicy stays at continue, the default with
// Delegate: one killed process does not end the container.
func (s Scope) properties() []Property {
	list := []Property{
		{Name: "Description", Value: s.Description},
		{Name: "DefaultDependencies", Value: false},
		{Name: "CollectMode", Value: "inactive-or-failed"},
		{Name: "CPUAccounting", Value: true},
		{Name: "MemoryAccounting", Value: true},
		{Name: "IOAccounting", Value: true},
		{Name: "TasksAccounting", Value: true},
	}
	if strings.HasSuffix(s.Unit, ".slice") {
		return append(list, Property{Name: "Wants", Value: []string{s.Slice}})
	}
	return append(list,
		Property{Name: "Slice", Value: s.Slice},
		Property{Name: "Delegate", Value: true},
		Property{Name: "PIDs", Value: s.PIDs})
}

// unique keeps the last property of each name, in the place of the first.
func unique(list []Property) []Property {
	var kept []Property
	at := map[string]int{}
	for _, p := range list {
		if i, ok := at[p.Name]; ok {
			kept[i] = p
			continue
		}
		at[p.Name] = len(kept)
		kept = append(kept, p)
	}
	return kept
}

// Resources makes the request for limits alone, as an update needs it (with
// what cgroupv2.Merge says was touched). It shares the converters of
// cgroupv2.Files, so the cgroupfs and the systemd manager set the same values.
func Resources(res *specs.LinuxResources) (Request, error) {
	writes, warnings, err := cgroupv2.Files(res)
	if err != nil {
		return Request{}, err
	}
	c := &converter{}
	for _, w := range writes {
		if !c.convert(w) {
			c.files = append(c.files, w)
		}
	}
	return Request{Properties: c.list, Files: c.files, Warnings: warnings}, nil
}

type converter struct {
	list  []Property
	files []cgroupv2.Write
}

// numeric is the property of a file whose one number is the property's, or "".
func numeric(file string) string {
	switch file {
	case "memory.max":
		return "MemoryMax"
	case "memory.high":
		return "MemoryHigh"
	case "memory.low":
		return "MemoryLow"
	case "memory.min":
		return "MemoryMin"
	case "memory.swap.max":
		return "MemorySwapMax"
	case "memory.zswap.max":
		return "MemoryZSwapMax"
	case "pids.max":
		return "TasksMax"
	case "cpu.weight":
		return "CPUWeight"
	}
	return ""
}

// convert is false when no property says what the write does.
func (c *converter) convert(w cgroupv2.Write) bool {
	switch w.File {
	case "cpu.idle":
		return c.cpuIdle(w)
	case "cpu.max":
		return c.cpuMax(w)
	case "cpuset.cpus":
		return c.cpuset("AllowedCPUs", w)
	case "cpuset.mems":
		return c.cpuset("AllowedMemoryNodes", w)
	case "io.weight", "io.bfq.weight":
		return c.ioWeight(w)
	case "io.max":
		return c.ioMax(w)
	case "memory.oom.group":
		return c.oomGroup(w)
	}
	name := numeric(w.File)
	v, ok := limit(w.Value)
	if name == "" || !ok {
		return false
	}
	if name == "TasksMax" {
		// systemd refuses 0; see cgroupv2 for why 1 says the same.
		v = max(v, 1)
	}
	c.set(name, v, w)
	return true
}

// limit reads a number or max.
func limit(text string) (uint64, bool) {
	text = strings.TrimSpace(text)
	if text == "max" {
		return Infinity, true
	}
	v, err := strconv.ParseUint(text, 10, 64)
	return v, err == nil
}

// set adds a property or replaces it (unified has the last word).
func (c *converter) set(name string, v any, w cgroupv2.Write) {
	p := Property{Name: name, Value: v, Pointer: w.Pointer, Writes: []cgroupv2.Write{w}}
	for i := range c.list {
		if c.list[i].Name == name {
			c.list[i] = p
			return
		}
	}
	c.list = append(c.list, p)
}

// add appends a device to a list property.
func (c *converter) add(name string, v DeviceValue, w cgroupv2.Write) {
	for i := range c.list {
		if p := &c.list[i]; p.Name == name {
			p.Value = append(p.Value.([]DeviceValue), v)
			p.Writes = append(p.Writes, w)
			return
		}
	}
	c.set(name, []DeviceValue{v}, w)
}

// cpuIdle: since version 252 a CPUWeight of 0 is idle, Infinity the default.
// Where idle is turned off a weight follows or the default holds.
func (c *converter) cpuIdle(w cgroupv2.Write) bool {
	switch strings.TrimSpace(w.Value) {
	case "1":
		c.set("CPUWeight", uint64(0), w)
	case "0":
		c.set("CPUWeight", Infinity, w)
	default:
		return false
	}
	return true
}

// cpuMax: systemd keeps quotas in whole percents of a CPU, so the quota is
// rounded up to one; the exact value then goes to the file as well.
func (c *converter) cpuMax(w cgroupv2.Write) bool {
	words := strings.Fields(w.Value)
	if len(words) == 0 || len(words) > 2 {
		return false
	}
	quota, ok := limit(words[0])
	period, ok2 := uint64(100000), true
	if len(words) == 2 {
		period, ok2 = limit(words[1])
	}
	if !ok || !ok2 || period == 0 {
		return false
	}
	perSecond, exact, ok := quotaPerSecond(quota, period)
	if !ok {
		return false
	}
	c.set("CPUQuotaPerSecUSec", perSecond, w)
	c.set("CPUQuotaPeriodUSec", period, w)
	if !exact {
		c.files = append(c.files, w)
	}
	return true
}

// quotaPerSecond is quota * 1e6 / period rounded up to 10 ms, in microseconds.
func quotaPerSecond(quota, period uint64) (perSecond uint64, exact, ok bool) {
	const second, percent = 1000000, 10000
	if quota == Infinity {
		return Infinity, true, true
	}
	high, low := bits.Mul64(quota, second)
	if high >= period {
		return 0, false, false
	}
	rate, rest := bits.Div64(high, low, period)
	if rest > 0 {
		rate++
	}
	rounded := (rate + percent - 1) / percent * percent
	return rounded, rest == 0 && rounded == rate, rounded >= rate
}

// cpuset: the bitmask has CPU 0 in the lowest bit of the first byte.
func (c *converter) cpuset(name string, w cgroupv2.Write) bool {
	numbers, ok := cgroupv2.ParseList(w.Value)
	if !ok || len(numbers) == 0 {
		return false
	}
	mask := make([]byte, slices.Max(numbers)/8+1)
	for _, n := range numbers {
		mask[n/8] |= 1 << (n % 8)
	}
	c.set(name, mask, w)
	return true
}

// ioWeight: IOWeight has the scale of io.weight, and systemd itself knows
// what BFQ wants.
func (c *converter) ioWeight(w cgroupv2.Write) bool {
	text := w.Value
	switch {
	case w.Else != nil:
		text = w.Else.Value
	case w.File == "io.bfq.weight":
		return false
	}
	key, number, two := strings.Cut(strings.TrimSpace(text), " ")
	if !two {
		key, number = "default", key
	}
	weight, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return false
	}
	if key == "default" {
		c.set("IOWeight", weight, w)
		return true
	}
	device, ok := devicePath(key)
	if ok {
		c.add("IODeviceWeight", DeviceValue{device, weight}, w)
	}
	return ok
}

// devicePath names a block device by its number, which udev keeps links for.
func devicePath(key string) (string, bool) {
	major, minor, ok := strings.Cut(key, ":")
	return "/dev/block/" + key, ok && onlyOf(major+minor, "0123456789") && major != "" && minor != ""
}

// throttle is the property of a key of io.max, or "".
func throttle(key string) string {
	switch key {
	case "rbps":
		return "IOReadBandwidthMax"
	case "wbps":
		return "IOWriteBandwidthMax"
	case "riops":
		return "IOReadIOPSMax"
	case "wiops":
		return "IOWriteIOPSMax"
	}
	return ""
}

func (c *converter) ioMax(w cgroupv2.Write) bool {
	words := strings.Fields(w.Value)
	if len(words) < 2 {
		return false
	}
	device, ok := devicePath(words[0])
	values := make(map[string]uint64)
	for _, word := range words[1:] {
		key, number, _ := strings.Cut(word, "=")
		v, isLimit := limit(number)
		if throttle(key) == "" || !isLimit {
			return false
		}
		values[key] = v
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if ok {
			c.add(throttle(key), DeviceValue{device, values[key]}, w)
		}
	}
	return ok
}

// oomGroup: OOMPolicy can be given at creation only, so the file is written in
// any case.
func (c *converter) oomGroup(w cgroupv2.Write) bool {
	c.files = append(c.files, w)
	if strings.TrimSpace(w.Value) == "1" {
		c.set("OOMPolicy", "kill", w)
	}
	return true
}

// isFixed reports a property that cannot be changed on a unit that runs.
func isFixed(p Property) bool {
	return slices.Contains([]string{"OOMPolicy", "PIDs", "Slice", "Delegate"}, p.Name)
}

// Changeable leaves the properties that SetUnitProperties takes.
func Changeable(list []Property) []Property {
	return slices.DeleteFunc(slices.Clone(list), isFixed)
}

func (p Property) String() string { return fmt.Sprintf("%s=%v", p.Name, p.Value) }
