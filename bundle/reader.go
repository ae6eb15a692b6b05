package bundle

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds how deep arrays and objects may nest, because unknown
// properties are skipped by recursion.
const maxDepth = 1000

// reader walks over one JSON text. It does not keep the path to where it
// stands: an error needs only an offset, from which locate finds the path
// again, so that the good case pays nothing for it.
//
// The first failure sticks and moves the reader to the end of the text, which
// ends every loop over it; callers look at failed once, when all is done.
type reader struct {
	text   string
	pos    int
	depth  int
	key    string // the name of the property whose value comes next
	failed bool
	offset int    // where it failed
	reason string // and why

	// pool is what is left of a chunk from which the []string of the
	// document are cut: one allocation instead of some for each list.
	pool []string
	// seccompStart and seccompEnd bound the value of linux.seccomp.
	seccompStart, seccompEnd int
}

func (r *reader) fail(offset int, reason string) {
	r.pos = len(r.text)
	if !r.failed {
		r.failed, r.offset, r.reason = true, offset, reason
	}
}

// mismatch fails at the current token.
func (r *reader) mismatch(expected string) {
	r.peek()
	r.fail(r.pos, "expected "+expected+", found "+r.found())
}

// found describes the token that the reader stands before.
func (r *reader) found() string {
	if r.pos == len(r.text) {
		return "the end of the file"
	}
	switch c := r.text[r.pos]; {
	case c == '{':
		return "an object"
	case c == '[':
		return "an array"
	case c == '"':
		return "a string"
	case c == '-' || isDigit(c):
		return "a number"
	}
	for _, word := range []string{"true", "false", "null"} {
		if strings.HasPrefix(r.text[r.pos:], word) {
			return word
		}
	}
	return character(r.text[r.pos:])
}

// peek skips white space and returns the byte after it, 0 at the end.
func (r *reader) peek() byte {
	for r.pos < len(r.text) {
		switch c := r.text[r.pos]; c {
		case ' ', '\n', '\t', '\r':
			r.pos++
		default:
			return c
		}
	}
	return 0
}

// word consumes a literal such as null when it comes next.
func (r *reader) word(word string) bool {
	if r.peek() != word[0] || !strings.HasPrefix(r.text[r.pos:], word) {
		return false
	}
	r.pos += len(word)
	return true
}

// object enters an object; false means that there is no property to read: it
// is empty, null or a failure. Otherwise key holds the first property's name.
func (r *reader) object() bool {
	if !r.open('{', "an object") || r.closes('}') {
		return false
	}
	return r.name()
}

// field goes on to the next property, false at the end of the object.
func (r *reader) field() bool {
	if r.closes('}') {
		return false
	}
	if r.peek() != ',' {
		r.mismatch("',' or '}'")
		return false
	}
	r.pos++
	return r.name()
}

// array enters an array; false means that there is no element to read.
func (r *reader) array() bool {
	return r.open('[', "an array") && !r.closes(']')
}

// element goes on to the next element, false at the end of the array.
func (r *reader) element() bool {
	if r.closes(']') {
		return false
	}
	if r.peek() != ',' {
		r.mismatch("',' or ']'")
		return false
	}
	r.pos++
	return true
}

func (r *reader) open(bracket byte, expected string) bool {
	if r.peek() != bracket {
		if !r.word("null") {
			r.mismatch(expected)
		}
		return false
	}
	if r.depth++; r.depth > maxDepth {
		r.fail(r.pos, "nested deeper than "+strconv.Itoa(maxDepth))
		return false
	}
	r.pos++
	return true
}

func (r *reader) closes(bracket byte) bool {
	if r.peek() != bracket {
		return false
	}
	r.pos++
	r.depth--
	return true
}

func (r *reader) name() bool {
	if r.peek() != '"' {
		r.mismatch("a property name")
		return false
	}
	r.key = r.quoted()
	if r.peek() != ':' {
		r.mismatch("':'")
		return false
	}
	r.pos++
	return true
}

// skip passes over any value and checks its syntax only.
func (r *reader) skip() {
	switch c := r.peek(); {
	case c == '"':
		r.quoted()
	case c == '{':
		for more := r.object(); more; more = r.field() {
			r.skip()
		}
	case c == '[':
		for more := r.array(); more; more = r.element() {
			r.skip()
		}
	case c == '-' || isDigit(c):
		r.number()
	case r.word("true") || r.word("false") || r.word("null"):
	default:
		r.mismatch("a value")
	}
}

// end fails unless only white space is left.
func (r *reader) end() {
	if r.peek(); r.pos < len(r.text) {
		r.mismatch("the end of the file")
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// character quotes the first character of text.
func character(text string) string {
	c, _ := utf8.DecodeRuneInString(text)
	return strconv.QuoteRune(c)
}
