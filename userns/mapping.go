package userns

import (
	"strconv"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
)

// Mapped reports whether id, inside the namespace, stands for an id outside.
// With no mappings at all nothing is mapped.
func Mapped(id uint32, mappings []host.Mapping) bool {
	_, ok := ToHost(id, mappings)
	return ok
}

// ToHost translates an id inside the namespace to the parent's.
func ToHost(id uint32, mappings []host.Mapping) (uint32, bool) {
	for _, m := range mappings {
		if id >= m.ContainerID && id-m.ContainerID < m.Size {
			return m.HostID + (id - m.ContainerID), true
		}
	}
	return 0, false
}

// ToContainer translates an id of the parent to one inside the namespace.
func ToContainer(id uint32, mappings []host.Mapping) (uint32, bool) {
	for _, m := range mappings {
		if id >= m.HostID && id-m.HostID < m.Size {
			return m.ContainerID + (id - m.HostID), true
		}
	}
	return 0, false
}

// Describe lists the ids inside the namespace, for errors: "0-0, 1-65536", or
// "none".
func Describe(mappings []host.Mapping) string {
	var b []byte
	for i, m := range mappings {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = append(b, runText(m.ContainerID, m.Size)...)
	}
	if len(b) == 0 {
		return "none"
	}
	return string(b)
}

// Unmapped is the error for an id that config.json uses and the namespace
// does not have; field says where ("process.user.uid").
func Unmapped(field string, kind Kind, id uint32, mappings []host.Mapping) *fault.Error {
	return &fault.Error{
		Code:  CodeMapping,
		Place: field,
		Why: string(kind) + " " + itoa(uint64(id)) +
			" is not mapped in the user namespace (mapped: " + Describe(mappings) + ")",
	}
}

// describeRanges lists ranges as "100000-165535", or "none".
func describeRanges(ranges []host.Range) string {
	ms := make([]host.Mapping, len(ranges))
	for i, r := range ranges {
		ms[i] = host.Mapping{ContainerID: r.Start, Size: r.Size}
	}
	return Describe(ms)
}

// runText prints size ids from first on as "first-last", the form that
// usermod takes.
func runText(first, size uint32) string {
	return itoa(uint64(first)) + "-" + itoa(uint64(first)+uint64(size)-1)
}

func appendLine(b []byte, m host.Mapping, sep byte) []byte {
	b = strconv.AppendUint(b, uint64(m.ContainerID), 10)
	b = append(b, sep)
	b = strconv.AppendUint(b, uint64(m.HostID), 10)
	b = append(b, sep)
	return strconv.AppendUint(b, uint64(m.Size), 10)
}

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }
