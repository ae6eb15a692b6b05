package userns

import (
	"bytes"
	"iter"

	"github.com/homerun-oci/homerun/host"
)

// Grant is one line of /etc/subuid or /etc/subgid that grants ids to a user.
type Grant struct {
	// Line counts from 1.
	Line  int
	Owner string
	Range host.Range
}

// Grants reads the text of /etc/subuid or /etc/subgid (subuid(5)) and returns
// the lines whose first field is one of owners: the login name, and the uid
// written as a number. Comments, blank lines and lines that are not
// "owner:start:count" grant nothing; newuidmap ignores them too. A range that
// leaves the 32-bit ids is cut at their end.
func Grants(text []byte, owners []string) []Grant {
	var grants []Grant
	for n, line := range numbered(text) {
		if g, ok := grant(line, owners); ok {
			g.Line = n
			grants = append(grants, g)
		}
	}
	return grants
}

// numbered are the lines of a text, from 1.
func numbered(text []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for n := 1; len(text) > 0; n++ {
			line, rest, _ := bytes.Cut(text, []byte{'\n'})
			if !yield(n, line) {
				return
			}
			text = rest
		}
	}
}

// UsualSize is how many subordinate ids a user is usually given.
const UsualSize = 65536

// Where useradd(8) gives subordinate ids: SUB_UID_MIN and SUB_UID_MAX of
// login.defs(5), which the gids have too.
const (
	usualMin = 100000
	usualMax = 600100000
)

// Moved is a range from free on, which is Survey's, of as many ids as r has where there is
// room for them, and of UsualSize otherwise, or if that is more.
func Moved(r host.Range, free uint32) host.Range {
	if r.Size > usualMax-free {
		r.Size = UsualSize
	}
	return host.Range{Start: free, Size: max(r.Size, UsualSize)}
}

// Survey reads the same text for who has no grant in it. free is where a range
// of UsualSize ids begins that no line grants and of which none is among uids,
// or 0; line is the first one that names one of owners and cannot be read, or 0.
func Survey(text []byte, owners []string, uids []uint32) (free uint32, line int) {
	end := uint64(usualMin)
	for n, l := range numbered(text) {
		name, _, _ := bytes.Cut(l, []byte{':'})
		if g, ok := grant(l, []string{string(name)}); ok {
			end = max(end, uint64(g.Range.Start)+uint64(g.Range.Size))
		} else if _, named := match(name, owners); named && line == 0 {
			line = n
		}
	}
	for _, id := range uids {
		if uint64(id) >= end && uint64(id) < usualMax {
			end = uint64(id) + 1
		}
	}
	if end+UsualSize > usualMax {
		return 0, line
	}
	return uint32(end), line
}

// Overlap finds the first line of the same text that grants somebody else some of the ids
// that one of owners' lines grants; ok is false without one.
func Overlap(text []byte, owners []string) (own, other Grant, ok bool) {
	grants := Grants(text, owners)
	for n, line := range numbered(text) {
		name, _, _ := bytes.Cut(line, []byte{':'})
		if _, named := match(name, owners); named {
			continue
		}
		other, readable := grant(line, []string{string(name)})
		other.Line = n
		readable = readable && name[0] != '#' // nobody's, but what somebody has taken back
		for _, own := range grants {
			if readable && overlap(own.Range.Start, other.Range.Start, own.Range.Size, other.Range.Size) {
				return own, other, true
			}
		}
	}
	return Grant{}, Grant{}, false
}

// Ranges drops all but the ids from grants.
func Ranges(grants []Grant) []host.Range {
	ranges := make([]host.Range, 0, len(grants))
	for _, g := range grants {
		ranges = append(ranges, g.Range)
	}
	return ranges
}

// grant reads one line. Comparing the owner first keeps the cost of a file
// with ten thousand users low: numbers are only read from the caller's lines.
func grant(line []byte, owners []string) (Grant, bool) {
	name, rest, ok := bytes.Cut(line, []byte{':'})
	if !ok {
		return Grant{}, false
	}
	owner, ok := match(name, owners)
	if !ok {
		return Grant{}, false
	}
	first, last, ok := bytes.Cut(rest, []byte{':'})
	if !ok {
		return Grant{}, false
	}
	r, ok := rangeOf(first, last)
	return Grant{Owner: owner, Range: r}, ok
}

func match(name []byte, owners []string) (string, bool) {
	for _, o := range owners {
		if o != "" && string(name) == o {
			return o, true
		}
	}
	return "", false
}

// rangeOf refuses an empty range and one that starts past the last id.
func rangeOf(first, last []byte) (host.Range, bool) {
	start, ok := decimal(first)
	if !ok || start >= idEnd {
		return host.Range{}, false
	}
	size, ok := decimal(last)
	if !ok || size == 0 {
		return host.Range{}, false
	}
	size = min(size, idEnd-start)
	return host.Range{Start: uint32(start), Size: uint32(size)}, true
}

// decimal reads an unsigned number; one that does not fit reads as the
// largest. It is strict: no sign, no blanks, no empty field.
func decimal(b []byte) (uint64, bool) {
	if len(b) == 0 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+uint64(c-'0'), 1<<58)
	}
	return n, true
}
