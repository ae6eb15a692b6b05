package jsonread

import "github.com/homerun-oci/homerun/fault"

// The functions below and those for types of callers share one shape: read a value
// into *v. What v held before is gone, so of two properties with one name the
// last counts, and null leaves the zero value.

// Text reads a string.
func Text[T ~string](r *Reader, v *T) {
	*v = ""
	switch {
	case r.peek() == '"':
		*v = T(r.quoted())
	case !r.word("null"):
		r.mismatch("a string")
	}
}

// Boolean reads true or false.
func Boolean(r *Reader, v *bool) {
	*v = r.word("true")
	if !*v && !r.word("false") && !r.word("null") {
		r.mismatch("true or false")
	}
}

// Pointer reads a value that may be absent.
func Pointer[T any](r *Reader, v **T, read func(*Reader, *T)) {
	*v = nil
	if !r.word("null") {
		*v = new(T)
		read(r, *v)
	}
}

// List reads an array of anything but strings.
func List[T any](r *Reader, v *[]T, read func(*Reader, *T)) {
	*v = nil
	if r.word("null") {
		return
	}
	// Most lists of a config are short; the first allocation will do.
	elements := make([]T, 0, 4)
	for more := r.array(); more; more = r.element() {
		var zero T
		elements = append(elements, zero)
		read(r, &elements[len(elements)-1])
	}
	*v = elements
}

// Table reads an object whose property names are data.
func Table[T any](r *Reader, v *map[string]T, read func(*Reader, *T)) {
	*v = nil
	if r.word("null") {
		return
	}
	entries := make(map[string]T)
	for more := r.Object(); more; more = r.Field() {
		var entry T
		key := r.Key
		read(r, &entry)
		entries[key] = entry
	}
	*v = entries
}

// Words reads an array of strings.
func Words(r *Reader, v *[]string) {
	*v = nil
	if r.word("null") {
		return
	}
	start := len(r.pool)
	for more := r.array(); more; more = r.element() {
		if len(r.pool) == cap(r.pool) {
			start = r.refill(start)
		}
		r.pool = r.pool[:len(r.pool)+1]
		Text(r, &r.pool[len(r.pool)-1])
	}
	if *v = []string{}; start < len(r.pool) {
		// The capacity ends with the list: an append by a caller copies it.
		*v = r.pool[start:len(r.pool):len(r.pool)]
	}
}

// refill starts a new pool with the unfinished list that begins at start.
func (r *Reader) refill(start int) int {
	unfinished := r.pool[start:]
	r.pool = append(make([]string, 0, max(127, 2*len(unfinished))), unfinished...) // 127 and the 8 bytes that Go puts before them fill 2 KiB
	return 0
}

// Mark notes where the object that comes next is, and leaves it undecoded.
func (r *Reader) Mark() {
	if r.Unmark(); r.word("null") {
		return
	}
	if r.peek() != '{' {
		r.mismatch("an object")
	}
	r.start = r.pos
	r.Skip()
	r.end = r.pos
}

// Unmark forgets it.
func (r *Reader) Unmark() { r.start, r.end = 0, 0 }

// Marked is the part of raw, which was read, that was marked last; nil without one.
func (r *Reader) Marked(raw []byte) []byte {
	if r.end == 0 {
		return nil
	}
	return raw[r.start:r.end:r.end]
}

// Document reads a whole document, which must be an object. What it returns shares
// the memory of a string; bytes are copied. The error is a *fault.Error.
func Document[T any, Text string | []byte](r *Reader, raw Text, read func(*Reader, *T)) (*T, error) {
	r.text = string(raw)
	if r.peek() != '{' {
		r.mismatch("an object")
	}
	v := new(T)
	read(r, v)
	r.finish()
	if !r.failed {
		return v, nil
	}
	line, column := lineColumn(r.text, r.offset)
	return nil, &fault.Error{Place: locate(r.text, r.offset), Line: line, Column: column, Why: r.reason}
}
