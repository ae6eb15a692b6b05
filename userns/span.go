package userns

import "github.com/homerun-oci/homerun/host"

// span is the ids from lo up to, not including, hi. 64 bits hold the end of
// any 32-bit range, so no arithmetic here wraps.
type span struct{ lo, hi uint64 }

// idEnd is one past the last id that can be mapped: 4294967295 is (uid_t)-1,
// which setresuid(2) takes for "no change" and the kernel refuses to map.
const idEnd = 1<<32 - 1

func spanOf(start, size uint32) span {
	return span{uint64(start), min(uint64(start)+uint64(size), idEnd)}
}

func (s span) empty() bool { return s.lo >= s.hi }

// subtract returns what is left of s without the ids in taken.
func (s span) subtract(taken []span) []span {
	left := []span{s}
	for _, t := range taken {
		if t.empty() {
			continue
		}
		var next []span
		for _, l := range left {
			next = appendSpan(next, span{l.lo, min(l.hi, t.lo)})
			next = appendSpan(next, span{max(l.lo, t.hi), l.hi})
		}
		left = next
	}
	return left
}

// intersect returns the parts of s that lie within one of allowed, in the
// order of allowed.
func (s span) intersect(allowed []span) []span {
	var parts []span
	for _, a := range allowed {
		parts = appendSpan(parts, span{max(s.lo, a.lo), min(s.hi, a.hi)})
	}
	return parts
}

func appendSpan(spans []span, s span) []span {
	if s.empty() {
		return spans
	}
	return append(spans, s)
}

// disjoint turns granted ranges, which may overlap and repeat each other, into
// spans that do neither and leave out the id own. It keeps the order.
func disjoint(ranges []host.Range, own uint32) []span {
	taken := []span{spanOf(own, 1)}
	var out []span
	for _, r := range ranges {
		s := spanOf(r.Start, r.Size)
		if s.empty() {
			continue
		}
		parts := s.subtract(taken)
		out = append(out, parts...)
		taken = append(taken, parts...)
	}
	return out
}

// inside returns the ids that a namespace with these mappings has.
func inside(mappings []host.Mapping) []span {
	spans := make([]span, 0, len(mappings))
	for _, m := range mappings {
		spans = appendSpan(spans, spanOf(m.ContainerID, m.Size))
	}
	return spans
}

// firstOutside returns the first id of s that no span covers.
func (s span) firstOutside(spans []span) (uint64, bool) {
	id := s.lo
	for id < s.hi {
		end := endOfCover(id, spans)
		if end == id {
			return id, true
		}
		id = end
	}
	return 0, false
}

// endOfCover returns the end of the span that has id, or id when none has.
func endOfCover(id uint64, spans []span) uint64 {
	for _, s := range spans {
		if id >= s.lo && id < s.hi {
			return s.hi
		}
	}
	return id
}
