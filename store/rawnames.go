package store

import "unicode/utf8"

// RawNames are the paths of a state that are not UTF-8, as they are; JSON has
// them in base64. A JSON string has another character in place of such bytes, and
// so names another file, which may be there and be somebody else's. Engines get no
// better from `state`; but what delete removes, and where hooks run, goes by these.
type RawNames struct {
	Bundle []byte `json:"bundle,omitempty"`
	Rootfs []byte `json:"rootfs,omitempty"`
	Cgroup []byte `json:"cgroup,omitempty"`
	// Undo are names of State.Undo, by their index.
	Undo map[int][]byte `json:"undo,omitempty"`
}

// keepRaw fills Raw.
func (s *State) keepRaw() {
	var r RawNames
	found := false
	keep := func(name string, put func([]byte)) {
		if !utf8.ValidString(name) {
			put([]byte(name))
			found = true
		}
	}
	keep(s.Bundle, func(b []byte) { r.Bundle = b })
	keep(s.Rootfs, func(b []byte) { r.Rootfs = b })
	keep(s.Cgroup.Path, func(b []byte) { r.Cgroup = b })
	for i, name := range s.Undo.Names() {
		keep(name, func(b []byte) {
			if r.Undo == nil {
				r.Undo = map[int][]byte{}
			}
			r.Undo[i] = b
		})
	}
	if s.Raw = nil; found {
		s.Raw = &r
	}
}

// restoreRaw puts what Raw has where it belongs.
func (s *State) restoreRaw() {
	if s.Raw == nil {
		return
	}
	restore := func(name *string, raw []byte) {
		if raw != nil {
			*name = string(raw)
		}
	}
	restore(&s.Bundle, s.Raw.Bundle)
	restore(&s.Rootfs, s.Raw.Rootfs)
	restore(&s.Cgroup.Path, s.Raw.Cgroup)
	for i, raw := range s.Raw.Undo {
		if raw != nil && i >= 0 && i < len(s.Undo) {
			s.Undo.Rename(i, string(raw))
		}
	}
}
