package jsonread

import (
	"strconv"
	"strings"
)

// step is one component of a JSON path: a property's name, or an index.
type step struct {
	key   string
	index int // noIndex if it is a name
}

const noIndex = -1

// Position finds where in raw the value with a JSON path such as
// mounts[4].options[1] begins. If raw has no such value it is the nearest
// ancestor that exists before any syntax error. It is not ok if path is
// malformed or raw is blank. Lines and columns count from 1, columns in bytes. It reads raw
// again and is meant for error messages.
func Position(raw []byte, path string) (line, column int, ok bool) {
	steps, ok := parsePath(path)
	r := Reader{text: string(raw)}
	r.peek()
	at, blank := r.pos, r.pos == len(r.text)
	for _, s := range steps {
		if !r.enter(s) {
			break
		}
		at = r.pos
	}
	line, column = lineColumn(r.text, at)
	return line, column, ok && !blank
}

// enter moves the reader from before a value to before its member.
func (r *Reader) enter(s step) bool {
	if s.index == noIndex {
		return r.enterObject(s.key)
	}
	return r.enterArray(s.index)
}

func (r *Reader) enterArray(index int) bool {
	if r.peek() != '[' {
		return false
	}
	for more := r.array(); more; more = r.element() {
		if r.peek(); index == 0 {
			return true
		}
		index--
		r.Skip()
	}
	return false
}

// enterObject reads the object to its end, for of two properties with one name
// the last counts.
func (r *Reader) enterObject(key string) bool {
	if r.peek() != '{' {
		return false
	}
	at := -1
	for more := r.Object(); more; more = r.Field() {
		if r.peek(); r.Key == key {
			at = r.pos
		}
		r.Skip()
	}
	if at < 0 {
		return false
	}
	// Start afresh there: the object may be malformed after it.
	*r = Reader{text: r.text, pos: at}
	return true
}

// locate returns the JSON path of the innermost value that a reader of text is
// in when it comes to offset, or fails before.
func locate(text string, offset int) string {
	t := trail{Reader: Reader{text: text}, offset: offset}
	t.value()
	var path strings.Builder
	for _, s := range t.steps {
		s.appendTo(&path)
	}
	return path.String()
}

// trail is a reader that knows its path.
type trail struct {
	Reader
	offset int
	steps  []step
}

// value reads a value; true means that the trail ends in it.
func (t *trail) value() bool {
	c := t.peek()
	switch {
	case t.pos >= t.offset:
		return true
	case c == '{':
		for more := t.Object(); more; more = t.Field() {
			if t.member(step{t.Key, noIndex}) {
				return true
			}
		}
	case c == '[':
		index := 0
		for more := t.array(); more; more = t.element() {
			if t.member(step{"", index}) {
				return true
			}
			index++
		}
	default:
		t.Skip()
	}
	return t.failed || t.pos > t.offset
}

func (t *trail) member(s step) bool {
	t.steps = append(t.steps, s)
	if t.value() {
		return true
	}
	t.steps = t.steps[:len(t.steps)-1]
	return false
}

// Keyed is the path of an entry of a map that has a path.
func Keyed(table, key string) string {
	var path strings.Builder
	path.WriteString(table)
	step{key, noIndex}.appendTo(&path)
	return path.String()
}

func (s step) appendTo(path *strings.Builder) {
	switch {
	case s.index != noIndex:
		path.WriteString("[" + strconv.Itoa(s.index) + "]")
	case !isName(s.key):
		path.WriteString("[" + strconv.Quote(s.key) + "]")
	case path.Len() > 0:
		path.WriteString("." + s.key)
	default:
		path.WriteString(s.key)
	}
}

// isName reports whether a property name stands in a path without quotes.
func isName(key string) bool {
	return key != "" && !strings.ContainsFunc(key, func(c rune) bool {
		return c != '_' && c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z')
	})
}

// parsePath splits a path that step.appendTo made.
func parsePath(path string) (steps []step, ok bool) {
	for path != "" {
		var s step
		if s, path, ok = firstStep(path); !ok {
			return steps, false
		}
		steps = append(steps, s)
	}
	return steps, true
}

func firstStep(path string) (s step, rest string, ok bool) {
	if strings.HasPrefix(path, "[") {
		return bracketStep(path[1:])
	}
	path = strings.TrimPrefix(path, ".")
	end := strings.IndexAny(path, ".[")
	if end < 0 {
		end = len(path)
	}
	return step{path[:end], noIndex}, path[end:], end > 0
}

func bracketStep(path string) (s step, rest string, ok bool) {
	if quoted, err := strconv.QuotedPrefix(path); err == nil {
		key, _ := strconv.Unquote(quoted)
		rest, ok = strings.CutPrefix(path[len(quoted):], "]")
		return step{key, noIndex}, rest, ok
	}
	number, rest, ok := strings.Cut(path, "]")
	index, err := strconv.Atoi(number)
	return step{"", index}, rest, ok && err == nil && index >= 0
}

// lineColumn converts an offset; both count from 1.
func lineColumn(text string, offset int) (line, column int) {
	before := text[:offset]
	return strings.Count(before, "\n") + 1, offset - strings.LastIndexByte(before, '\n')
}
