package bundle

// The functions below and the generated ones share one shape: read a value
// into *v. What v held before is gone, so of two properties with one name the
// last counts, and null leaves the zero value.

// text reads a string.
func text[T ~string](r *reader, v *T) {
	*v = ""
	switch {
	case r.peek() == '"':
		*v = T(r.quoted())
	case !r.word("null"):
		r.mismatch("a string")
	}
}

// boolean reads true or false.
func boolean(r *reader, v *bool) {
	*v = r.word("true")
	if !*v && !r.word("false") && !r.word("null") {
		r.mismatch("true or false")
	}
}

// pointer reads a value that may be absent.
func pointer[T any](r *reader, v **T, read func(*reader, *T)) {
	*v = nil
	if !r.word("null") {
		*v = new(T)
		read(r, *v)
	}
}

// list reads an array of anything but strings.
func list[T any](r *reader, v *[]T, read func(*reader, *T)) {
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

// table reads an object whose property names are data.
func table[T any](r *reader, v *map[string]T, read func(*reader, *T)) {
	*v = nil
	if r.word("null") {
		return
	}
	entries := make(map[string]T)
	for more := r.object(); more; more = r.field() {
		var entry T
		key := r.key
		read(r, &entry)
		entries[key] = entry
	}
	*v = entries
}

// words reads an array of strings.
func words(r *reader, v *[]string) {
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
		text(r, &r.pool[len(r.pool)-1])
	}
	if *v = []string{}; start < len(r.pool) {
		// The capacity ends with the list: an append by a caller copies it.
		*v = r.pool[start:len(r.pool):len(r.pool)]
	}
}

// refill starts a new pool with the unfinished list that begins at start.
func (r *reader) refill(start int) int {
	unfinished := r.pool[start:]
	r.pool = append(make([]string, 0, max(128, 2*len(unfinished))), unfinished...)
	return 0
}

// seccomp notes where the value of linux.seccomp is and leaves it undecoded.
func seccomp(r *reader) {
	if r.word("null") {
		r.seccompStart, r.seccompEnd = 0, 0
		return
	}
	if r.peek() != '{' {
		r.mismatch("an object")
	}
	r.seccompStart = r.pos
	r.skip()
	r.seccompEnd = r.pos
}
