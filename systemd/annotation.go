package systemd

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

const annotationPrefix = "org.systemd.property."

// allowed are the properties that an annotation may set, with their D-Bus
// types. Annotations may come from whoever wrote a pod or an image, so nothing
// is here that starts, stops or restarts another unit, runs a program, or acts
// on the machine (BindsTo, OnFailure, SuccessAction: CVE-2024-3154). Limits are
// not here either: linux.resources says them, and an annotation could lift
// them.
func allowed() map[string]string {
	return map[string]string{
		"After": "as", "Before": "as", "PartOf": "as", "Documentation": "as", "Description": "s",
		"CollectMode": "s", "KillMode": "s", "KillSignal": "i", "FinalKillSignal": "i", "RestartKillSignal": "i",
		"SendSIGKILL": "b", "SendSIGHUP": "b", "TimeoutStopUSec": "t", "RuntimeMaxUSec": "t",
		"OOMPolicy": "s", "ManagedOOMSwap": "s", "ManagedOOMMemoryPressure": "s",
		"ManagedOOMMemoryPressureLimit": "u", "ManagedOOMPreference": "s",
	}
}

// Annotations turns org.systemd.property.NAME annotations into properties, in
// the order of their names. Values are in GVariant text format; a number may
// be of any type that holds it. NAME ending in Sec is seconds and stands for
// the property ending in USec. Others than those of the allow-list are errors.
func Annotations(annotations map[string]string) ([]Property, error) {
	var list []Property
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		name, ok := strings.CutPrefix(key, annotationPrefix)
		if !ok {
			continue
		}
		p, err := annotation(name, annotations[key])
		if err != nil {
			return nil, fmt.Errorf("config.json: annotations[%q]: %w", key, err)
		}
		p.Pointer = "annotations[\"" + key + "\"]"
		list = append(list, p)
	}
	return list, nil
}

func annotation(name, text string) (Property, error) {
	seconds := strings.HasSuffix(name, "Sec") && !strings.HasSuffix(name, "USec")
	if seconds {
		name = strings.TrimSuffix(name, "Sec") + "USec"
	}
	kind, ok := allowed()[name]
	if !ok {
		return Property{}, fmt.Errorf("property %q may not be set by an annotation", name)
	}
	v, err := ParseGVariant(text)
	if err != nil {
		return Property{}, err
	}
	if seconds {
		v, ok = microseconds(v)
	}
	if ok {
		v, ok = as(kind, v)
	}
	if !ok {
		return Property{}, fmt.Errorf("%s does not fit the property's type %s", text, kind)
	}
	return Property{Name: name, Value: v}, nil
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
