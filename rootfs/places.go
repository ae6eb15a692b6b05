package rootfs

import "strings"

// places are paths inside the root, cleaned, that are asked for by what lies at,
// above, or below them. The zero value has none.
type places struct {
	at, above map[string]bool
}

func (s *places) add(p string) {
	if s.at == nil {
		s.at, s.above = make(map[string]bool), make(map[string]bool)
	}
	s.at[p] = true
	for p != "" {
		if p = parent(p); s.above[p] {
			return // and so are all above
		}
		s.above[p] = true
	}
}

// cover reports whether one of them is p, or lies above it.
func (s *places) cover(p string) bool {
	for {
		if s.at[p] {
			return true
		}
		if p == "" {
			return false
		}
		p = parent(p)
	}
}

// below reports whether one of them lies below p.
func (s *places) below(p string) bool { return s.above[p] }

// parent is the directory of a cleaned path inside the root, which is "".
func parent(p string) string { return p[:max(0, strings.LastIndexByte(p, '/'))] }
