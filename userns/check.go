package userns

import (
	"fmt"

	"github.com/homerun-oci/homerun/host"
)

const (
	// maxLines is UID_GID_MAP_MAX_EXTENTS, since Linux 4.15.
	maxLines = 340
	// maxText is one less than the page that the kernel reads the map into:
	// "the number of bytes written must be less than the system page size".
	maxText = 4095
)

// check refuses what the kernel would answer with a bare EINVAL, and names the
// line of config.json.
func check(kind Kind, mappings []host.Mapping) error {
	if len(mappings) == 0 {
		return invalid(kind, -1, "a user namespace needs at least one mapping")
	}
	for i, m := range mappings {
		if err := checkLine(kind, i, m); err != nil {
			return err
		}
	}
	return checkOverlaps(kind, mappings)
}

func checkLine(kind Kind, i int, m host.Mapping) error {
	switch {
	case m.Size == 0:
		return invalid(kind, i, "size is 0")
	case uint64(m.ContainerID)+uint64(m.Size) > idEnd:
		return invalid(kind, i, "container ids go past 4294967294, the last id")
	case uint64(m.HostID)+uint64(m.Size) > idEnd:
		return invalid(kind, i, "host ids go past 4294967294, the last id")
	}
	return nil
}

// checkOverlaps compares each pair; a map has few lines, and one with too many
// is refused by checkLimits whatever this says.
func checkOverlaps(kind Kind, mappings []host.Mapping) error {
	for i, a := range mappings {
		for j, b := range mappings[:i] {
			if overlap(a.ContainerID, b.ContainerID, a.Size, b.Size) {
				return invalid(kind, i, fmt.Sprintf("container ids %s overlap those of %s[%d], %s",
					runText(a.ContainerID, a.Size), kind.field(), j, runText(b.ContainerID, b.Size)))
			}
			if overlap(a.HostID, b.HostID, a.Size, b.Size) {
				return invalid(kind, i, fmt.Sprintf("host ids %s overlap those of %s[%d], %s",
					runText(a.HostID, a.Size), kind.field(), j, runText(b.HostID, b.Size)))
			}
		}
	}
	return nil
}

func overlap(a, b, aSize, bSize uint32) bool {
	x, y := spanOf(a, aSize), spanOf(b, bSize)
	return x.lo < y.hi && y.lo < x.hi
}

// checkLimits is for the map as it will be written, after splitting.
func checkLimits(m Map) error {
	if len(m.Mappings) > maxLines {
		return invalid(m.Kind, -1, fmt.Sprintf("%d lines, and the kernel takes at most %d", len(m.Mappings), maxLines))
	}
	if n := len(m.Text()); n > maxText {
		return invalid(m.Kind, -1, fmt.Sprintf("%d bytes as text, and the kernel takes at most %d", n, maxText))
	}
	return nil
}

// split cuts each line at the borders of the parent namespace's map, since the
// kernel wants each line within one of the parent's. It fails for an id that
// the parent does not have.
func split(kind Kind, mappings []host.Mapping, parent []span) ([]host.Mapping, error) {
	var out []host.Mapping
	for i, m := range mappings {
		s := spanOf(m.HostID, m.Size)
		for id := s.lo; id < s.hi; {
			end := min(s.hi, endOfCover(id, parent))
			if end == id {
				return nil, outsideParent(kind, i, id, parent)
			}
			out = append(out, host.Mapping{
				ContainerID: m.ContainerID + uint32(id-s.lo),
				HostID:      uint32(id),
				Size:        uint32(end - id),
			})
			id = end
		}
	}
	return out, nil
}

// parentSpans is the ids that exist in the runtime's own namespace, which is
// the parent of the one to make.
func parentSpans(kind Kind, facts *host.Facts) []span {
	switch {
	case facts.UserNamespace.Initial:
		return []span{{0, idEnd}}
	case kind == GID:
		return inside(facts.UserNamespace.GIDMap)
	}
	return inside(facts.UserNamespace.UIDMap)
}
