package systemd

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/homerun-oci/homerun/limits"
)

// AnnotationPrefix begins the annotations that set a property of the scope.
const AnnotationPrefix = "org.systemd.property."

// settable gives the D-Bus type of the properties that an annotation may set, or
// "": those that order the scope, say how it ends, or limit it
// (systemd.unit(5), systemd.scope(5), systemd.kill(5),
// systemd.resource-control(5)). Annotations may come from whoever wrote a pod or
// an image, so nothing is here that starts, stops or restarts another unit, runs
// a program, or acts on the machine: OnFailure, SuccessAction (CVE-2024-3154),
// and as well Wants=reboot.target and Conflicts=sshd.service. RequiresMountsFor
// starts mounts at most, which the administrator has written.
func settable(name string) string {
	switch name {
	case "After", "Before", "PartOf", "Requisite", "StopPropagatedFrom", "RequiresMountsFor", "WantsMountsFor", "Documentation":
		return "as"
	case "Description", "CollectMode", "KillMode", "OOMPolicy", "ManagedOOMSwap", "ManagedOOMMemoryPressure", "ManagedOOMPreference":
		return "s"
	case "DefaultDependencies", "IgnoreOnIsolate", "RefuseManualStop", "SendSIGKILL", "SendSIGHUP":
		return "b"
	case "KillSignal", "FinalKillSignal", "RestartKillSignal":
		return "i"
	case "ManagedOOMMemoryPressureLimit":
		return "u"
	case "TimeoutStopUSec", "RuntimeMaxUSec", "RuntimeRandomizedExtraUSec", "JobTimeoutUSec", "JobRunningTimeoutUSec",
		"CPUWeight", "IOWeight", "CPUQuotaPerSecUSec", "CPUQuotaPeriodUSec", "TasksMax",
		"MemoryMin", "MemoryLow", "MemoryHigh", "MemoryMax", "MemorySwapMax", "MemoryZSwapMax":
		return "t"
	case "AllowedCPUs", "AllowedMemoryNodes":
		return "ay"
	}
	return ""
}

// confines reports properties that homerun cannot set from an annotation, and
// without which the container would be less confined than asked for: filters,
// and limits of a type that the annotations' text does not have.
func confines(name string) bool {
	switch name {
	case "DevicePolicy", "DeviceAllow", "BPFProgram", "NFTSet", "RestrictNetworkInterfaces", "SocketBindAllow", "SocketBindDeny",
		"IPAddressAllow", "IPAddressDeny", "IPIngressFilterPath", "IPEgressFilterPath",
		"IOReadBandwidthMax", "IOWriteBandwidthMax", "IOReadIOPSMax", "IOWriteIOPSMax", "MemoryLimit":
		return true
	}
	return strings.HasSuffix(name, "MaxScale") || strings.HasSuffix(name, "HighScale")
}

// Annotations turns org.systemd.property.NAME annotations into properties, in
// the order of their names. Values are in GVariant text format; a number may
// be of any type that holds it. NAME ending in Sec is seconds and stands for
// the property ending in USec. Those that limit come with their Limits. ignored says, a
// line each, what is not set; see settable. An error are a value that does not
// fit its property, and a property that confines and cannot be set.
func Annotations(annotations map[string]string) (list []Property, ignored []string, err error) {
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		name, ok := strings.CutPrefix(key, AnnotationPrefix)
		if !ok {
			continue
		}
		pointer := fmt.Sprintf("annotations[%.100q]", key)
		p, err := annotation(name, annotations[key])
		switch {
		case errors.Is(err, errNotSettable):
			ignored = append(ignored, "config.json: "+pointer+": "+err.Error())
			continue
		case err != nil:
			return nil, nil, fmt.Errorf("config.json: %s: %w", pointer, err)
		}
		p.Pointer = pointer
		list = append(list, p)
	}
	for i := range list {
		if l := list[i].limit(list); l != nil {
			list[i].Limits = limits.Set{l}
		}
	}
	return list, ignored, nil
}

var errNotSettable = errors.New("ignored: no property that an annotation may set")

func annotation(name, text string) (Property, error) {
	seconds := strings.HasSuffix(name, "Sec") && !strings.HasSuffix(name, "USec")
	if seconds {
		name = strings.TrimSuffix(name, "Sec") + "USec"
	}
	kind := settable(name)
	if kind == "" && confines(name) {
		return Property{}, errors.New("an annotation cannot set this property; without it the container would be less confined")
	}
	if kind == "" {
		return Property{}, errNotSettable
	}
	v, err := ParseGVariant(text)
	if err != nil {
		return Property{}, err
	}
	ok := true
	if seconds {
		v, ok = microseconds(v)
	}
	if ok {
		v, ok = as(kind, v)
	}
	if !ok {
		return Property{}, fmt.Errorf("%.100q does not fit the property's type %s", text, kind)
	}
	if !isOneLine(v) {
		return Property{}, errors.New("it has control characters")
	}
	return Property{Name: name, Value: v}, nil
}

// isOneLine reports whether a value's strings have no control characters: systemd
// keeps properties in a unit file, of which a newline would begin another line
// at the next daemon-reload.
func isOneLine(v any) bool {
	var list []string
	switch v := v.(type) {
	case string:
		list = []string{v}
	case []string:
		list = v
	}
	return !slices.ContainsFunc(list, func(s string) bool {
		return !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl)
	})
}

// limit is the property as one of linux.resources, by which it is proved as those
// are; nil for what is no limit. others are the annotations beside it.
func (p Property) limit(others []Property) limits.Limit {
	at := limits.Pointer(p.Pointer)
	n, number := p.Value.(uint64)
	switch {
	case p.Name == "AllowedCPUs" || p.Name == "AllowedMemoryNodes":
		set := limits.CPUSet{Pointer: at, Knob: limits.CPUs, Numbers: numbersOf(p.Value.([]byte))}
		if p.Name == "AllowedMemoryNodes" {
			set.Knob = limits.MemoryNodes
		}
		if len(set.Numbers) > 0 {
			return set
		}
	case !number || n == Infinity:
	case p.Name == "CPUQuotaPerSecUSec":
		period := periodOf(others)
		quota := n * period / 1000000
		// Where that is shorter than a quota may be, systemd has a longer period.
		if quota >= 1000 && n <= math.MaxUint64/period {
			return limits.CPUTime{Pointer: at, Quota: limits.Amount(quota), Period: period}
		}
	default:
		if knob := knobOf(p.Name); knob != "" {
			return limits.Number{Pointer: at, Knob: knob, Amount: limits.Amount(n)}
		}
	}
	return nil
}

// periodOf is CPUQuotaPeriodUSec in microseconds, as the kernel takes it: 1 ms to
// 1 s, and 100 ms if there is none.
func periodOf(list []Property) uint64 {
	for _, p := range list {
		if period, ok := p.Value.(uint64); ok && p.Name == "CPUQuotaPeriodUSec" && period != Infinity {
			return min(max(period, 1000), 1000000)
		}
	}
	return 100000
}

// knobOf is the reverse of numeric, for limits; weights are none.
func knobOf(property string) limits.Knob {
	for _, knob := range []limits.Knob{limits.MemoryMax, limits.MemoryHigh, limits.MemoryLow, limits.MemoryMin, limits.SwapMax, limits.ZswapMax, limits.PidsMax} {
		if numeric(knob) == property {
			return knob
		}
	}
	return ""
}

// numbersOf reads a bit mask, as far as a kernel could have CPUs.
func numbersOf(mask []byte) []uint16 {
	var numbers []uint16
	for i := range min(len(mask)*8, math.MaxUint16) {
		if mask[i/8]&(1<<(i%8)) != 0 {
			numbers = append(numbers, uint16(i))
		}
	}
	return numbers
}

// microseconds converts seconds, also with a fraction.
func microseconds(v any) (any, bool) {
	if f, ok := v.(float64); ok {
		f *= 1e6
		return uint64(f), f >= 0 && f < 1<<63
	}
	n, ok := unsigned(v)
	if n == Infinity {
		return n, ok
	}
	return n * 1000000, ok && n <= math.MaxUint64/1000000
}

// as gives the value the D-Bus type that the property has.
func as(kind string, v any) (any, bool) {
	switch kind {
	case "b":
		b, ok := v.(bool)
		return b, ok
	case "s":
		s, ok := v.(string)
		return s, ok
	case "as":
		if s, ok := v.(string); ok {
			return []string{s}, true
		}
		list, ok := v.([]string)
		return list, ok
	case "ay":
		return octets(v)
	}
	n, ok := unsigned(v)
	switch kind {
	case "i":
		return int32(n), ok && n <= math.MaxInt32
	case "u":
		return uint32(n), ok && n <= math.MaxUint32
	}
	return n, ok
}

// octets is an array of numbers as bytes.
func octets(v any) ([]byte, bool) {
	switch list := v.(type) {
	case []byte:
		return list, true
	case []int32:
		bytes := make([]byte, len(list))
		for i, n := range list {
			if n < 0 || n > math.MaxUint8 {
				return nil, false
			}
			bytes[i] = byte(n)
		}
		return bytes, true
	}
	return nil, false
}

func unsigned(v any) (uint64, bool) {
	switch n := v.(type) {
	case byte:
		return uint64(n), true
	case int16:
		return uint64(n), n >= 0
	case uint16:
		return uint64(n), true
	case int32:
		return uint64(n), n >= 0
	case uint32:
		return uint64(n), true
	case int64:
		return uint64(n), n >= 0
	case uint64:
		return n, true
	}
	return 0, false
}
