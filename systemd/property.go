package systemd

import (
	"fmt"
	"math"
	"math/bits"
	"reflect"
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/limits"
)

// Infinity is how systemd spells "no limit" in numbers of 64 bits.
const Infinity uint64 = math.MaxUint64

// NotifySocketName is that of the socket at which a container's program reports to
// its service manager, in a directory that is mounted in the container.
const NotifySocketName = "notify.sock"

// Property is one property of a unit. Value is of the Go type whose D-Bus
// signature the property has: bool, string, []string, int32, uint32, uint64,
// []uint32, []byte, []DeviceValue.
type Property struct {
	Name  string
	Value any
	// Pointer leads to what asked for it in config.json; empty for our own.
	Pointer string
	// Limits are what the property stands for. When an old systemd does not know
	// it the cgroup's files are to be written instead (cgroupv2.Files).
	Limits limits.Set
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
	// Left are the limits that no property stands for, or not exactly: they
	// go into the unit's own cgroup, as files, once the job is done.
	Left limits.Set
	// Limits are those of the annotations, to be proved as those of
	// linux.resources are.
	Limits limits.Set
	// Ignored are the annotations that are not set, a line each.
	Ignored []string
}

// Properties makes the request for a new scope (or slice): its own properties,
// those of org.systemd.property.* annotations, which replace them, and those of
// the limits, which no annotation changes: where linux.resources has a limit,
// an annotation with another value of it is ignored. Errors name the JSON
// pointer.
//
// There are no device properties on purpose, for root neither: systemd would
// run its own device program on the scope, and put it back at each
// daemon-reload with what it knows. Ours (cgroupv2.DeviceProgram) stays
// attached and knows rules that DeviceAllow= cannot say.
func Properties(s Scope, set limits.Set, annotations map[string]string) (Request, error) {
	extra, ignored, err := Annotations(annotations)
	if err != nil {
		return Request{}, err
	}
	r := Resources(set)
	r.Ignored = ignored
	r.Properties = unique(slices.Concat(s.properties(), r.merge(extra), r.Properties))
	return r, nil
}

// Undecided is set without a CPU period that has no quota beside it, where an
// annotation sets one: engines write a period always (CRI-O: quota 0, period
// 100000), and alone it limits nothing that the annotation could lift.
func Undecided(set limits.Set, annotations map[string]string) limits.Set {
	if annotations[AnnotationPrefix+"CPUQuotaPerSecUSec"]+annotations[AnnotationPrefix+"CPUQuotaPerSecSec"] == "" {
		return set
	}
	return slices.DeleteFunc(slices.Clone(set), func(l limits.Limit) bool {
		t, ok := l.(limits.CPUTime)
		return ok && strings.HasSuffix(t.Place(), ".cpu.period")
	})
}

// merge leaves the annotations' properties that linux.resources does not set, be
// it as a property or as a file.
func (r *Request) merge(extra []Property) (kept []Property) {
	for _, p := range extra {
		clash := slices.ContainsFunc(r.Properties, func(q Property) bool { return q.Name == p.Name && !reflect.DeepEqual(q.Value, p.Value) })
		same := slices.ContainsFunc(r.Properties, func(q Property) bool { return q.Name == p.Name })
		for _, l := range p.Limits {
			clash = clash || slices.ContainsFunc(r.Left, func(m limits.Limit) bool { return m.Name() == l.Name() })
		}
		switch {
		case clash:
			r.Ignored = append(r.Ignored, "config.json: "+p.Pointer+": ignored: linux.resources has another value")
		case !same:
			kept = append(kept, p)
			r.Limits = append(r.Limits, p.Limits...)
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

// Resources makes the request for limits alone, as an update needs it (of what
// limits.Merge says was touched).
func Resources(set limits.Set) Request {
	c := &converter{}
	for _, l := range set {
		if !c.convert(l, l) {
			c.left = append(c.left, l)
		}
	}
	return Request{Properties: c.list, Left: c.left}
}

type converter struct {
	list []Property
	left limits.Set
}

// numeric is the property that a Number's knob is, or "".
func numeric(knob limits.Knob) string {
	switch knob {
	case limits.MemoryMax:
		return "MemoryMax"
	case limits.MemoryHigh:
		return "MemoryHigh"
	case limits.MemoryLow:
		return "MemoryLow"
	case limits.MemoryMin:
		return "MemoryMin"
	case limits.SwapMax:
		return "MemorySwapMax"
	case limits.ZswapMax:
		return "MemoryZSwapMax"
	case limits.PidsMax:
		return "TasksMax"
	case limits.CPUWeight:
		return "CPUWeight"
	}
	return ""
}

// convert sets the properties that a limit is, for source: the limit itself, or
// the line of unified that means it. It reports whether they say all of it.
func (c *converter) convert(l, source limits.Limit) (exact bool) {
	switch l := l.(type) {
	case limits.Number:
		return c.number(l, source)
	case limits.CPUIdle:
		c.set("CPUWeight", idleWeight(l.Idle), source)
		return true
	case limits.CPUTime:
		return c.cpuTime(l, source)
	case limits.CPUSet:
		return c.cpuset(l, source)
	case limits.IOWeight:
		return c.ioWeight(l, source)
	case limits.IORate:
		return c.add(rate(l.Flow), l.Device, uint64(l.Rate), source)
	case limits.OOMGroup:
		// OOMPolicy can be given at creation only, so the file is written in any
		// case.
		if l.Kill {
			c.set("OOMPolicy", "kill", source)
		}
	case limits.Unified:
		exact = len(l.Means) > 0
		for _, meant := range l.Means {
			exact = c.convert(meant, source) && exact
		}
		return exact
	}
	return false
}

// set adds a property or replaces it (unified has the last word).
func (c *converter) set(name string, v any, source limits.Limit) {
	p := Property{Name: name, Value: v, Pointer: source.Place(), Limits: limits.Set{source}}
	if i := slices.IndexFunc(c.list, func(p Property) bool { return p.Name == name }); i >= 0 {
		c.list[i] = p
		return
	}
	c.list = append(c.list, p)
}

// add appends a device to a list property. udev keeps links to block devices by
// their numbers, of which none is negative.
func (c *converter) add(name string, device limits.Device, v uint64, source limits.Limit) (exact bool) {
	if device.Major < 0 || device.Minor < 0 {
		return false
	}
	value := DeviceValue{"/dev/block/" + device.String(), v}
	if i := slices.IndexFunc(c.list, func(p Property) bool { return p.Name == name }); i >= 0 {
		p := &c.list[i]
		p.Value, p.Limits = append(p.Value.([]DeviceValue), value), append(p.Limits, source)
		return true
	}
	c.set(name, []DeviceValue{value}, source)
	return true
}

func (c *converter) number(n limits.Number, source limits.Limit) (exact bool) {
	name, v := numeric(n.Knob), uint64(n.Amount)
	if name == "" {
		return false
	}
	if name == "TasksMax" {
		// systemd refuses 0; see package limits for why 1 says the same.
		v = max(v, 1)
	}
	c.set(name, v, source)
	return true
}

// idleWeight: since version 252 a CPUWeight of 0 is idle, Infinity the default.
// Where idle is turned off a weight follows or the default holds.
func idleWeight(idle bool) uint64 {
	if idle {
		return 0
	}
	return Infinity
}

// cpuTime: systemd keeps quotas in whole percents of a CPU, so the quota is
// rounded up to one; the exact value then goes to the file as well.
func (c *converter) cpuTime(t limits.CPUTime, source limits.Limit) (exact bool) {
	perSecond, exact, ok := quotaPerSecond(uint64(t.Quota), t.Period)
	if !ok {
		return false
	}
	c.set("CPUQuotaPerSecUSec", perSecond, source)
	c.set("CPUQuotaPeriodUSec", t.Period, source)
	return exact
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
func (c *converter) cpuset(s limits.CPUSet, source limits.Limit) (exact bool) {
	if len(s.Numbers) == 0 {
		return false
	}
	mask := make([]byte, slices.Max(s.Numbers)/8+1)
	for _, n := range s.Numbers {
		mask[n/8] |= 1 << (n % 8)
	}
	name := "AllowedCPUs"
	if s.Knob == limits.MemoryNodes {
		name = "AllowedMemoryNodes"
	}
	c.set(name, mask, source)
	return true
}

// ioWeight: IOWeight has the scale of io.weight, and systemd itself knows what
// BFQ wants.
func (c *converter) ioWeight(w limits.IOWeight, source limits.Limit) (exact bool) {
	if w.Device != nil {
		return c.add("IODeviceWeight", *w.Device, w.Weight, source)
	}
	c.set("IOWeight", w.Weight, source)
	return true
}

// rate is the property of a flow.
func rate(flow limits.Flow) string {
	switch flow {
	case limits.ReadBytes:
		return "IOReadBandwidthMax"
	case limits.WriteBytes:
		return "IOWriteBandwidthMax"
	case limits.Reads:
		return "IOReadIOPSMax"
	default:
		return "IOWriteIOPSMax"
	}
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
