// Package jsonread reads JSON without reflection: the caches of encoding/json are
// cold in a process that lives for milliseconds. For a type of the caller's there is a
// function that reads its properties, for fields of them those of this package.
//
// All functions are pure, and safe for concurrent use with different readers. Differences
// from encoding/json: property names match by exact case; a property that occurs
// twice is replaced, never merged; null gives the zero value; -0 is allowed in unsigned
// fields; nesting is limited to 1000.
package jsonread

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds how deep arrays and objects may nest, because unknown
// properties are skipped by recursion.
const maxDepth = 1000

// Reader walks over one JSON text. Its zero value is ready for Document. It does not keep the path to where it
// stands: an error needs only an offset, from which locate finds the path
// again, so that the good case pays nothing for it.
//
// The first failure sticks and moves the reader to the end of the text, which
// ends every loop over it; callers look at failed once, when all is done.
type Reader struct {
	text  string
	pos   int
	depth int
	// Key is the name of the property whose value comes next.
	Key    string
	failed bool
	offset int    // where it failed
	reason string // and why

	// pool is what is left of a chunk from which the []string of the
	// document are cut: one allocation instead of some for each list.
	pool []string
	// start and end bound the object that was marked.
	start, end int
}

func (r *Reader) fail(offset int, reason string) {
	r.pos = len(r.text)
	if !r.failed {
		r.failed, r.offset, r.reason = true, offset, reason
	}
}

// Refuse fails after a value that was read.
func (r *Reader) Refuse(reason string) { r.fail(r.pos, reason) }

// mismatch fails at the current token.
func (r *Reader) mismatch(expected string) {
	r.peek()
	r.fail(r.pos, "expected "+expected+", found "+r.found())
}

// found describes the token that the reader stands before.
func (r *Reader) found() string {
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
func (r *Reader) peek() byte {
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
func (r *Reader) word(word string) bool {
	if r.peek() != word[0] || !strings.HasPrefix(r.text[r.pos:], word) {
		return false
	}
	r.pos += len(word)
	return true
}

// Object enters an object; false means that there is no property to read: it
// is empty, null or a failure. Otherwise Key holds the first property's name.
func (r *Reader) Object() bool {
	if !r.open('{', "an object") || r.closes('}') {
		return false
	}
	return r.name()
}

// Field goes on to the next property, false at the end of the object.
func (r *Reader) Field() bool {
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
func (r *Reader) array() bool {
	return r.open('[', "an array") && !r.closes(']')
}

// element goes on to the next element, false at the end of the array.
func (r *Reader) element() bool {
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

func (r *Reader) open(bracket byte, expected string) bool {
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

func (r *Reader) closes(bracket byte) bool {
	if r.peek() != bracket {
		return false
	}
	r.pos++
	r.depth--
	return true
}

func (r *Reader) name() bool {
	if r.peek() != '"' {
		r.mismatch("a property name")
		return false
	}
	r.Key = r.quoted()
	if r.peek() != ':' {
		r.mismatch("':'")
		return false
	}
	r.pos++
	return true
}

// Skip passes over any value and checks its syntax only.
func (r *Reader) Skip() {
	switch c := r.peek(); {
	case c == '"':
		r.quoted()
	case c == '{':
		for more := r.Object(); more; more = r.Field() {
			r.Skip()
		}
	case c == '[':
		for more := r.array(); more; more = r.element() {
			r.Skip()
		}
	case c == '-' || isDigit(c):
		r.number()
	case r.word("true") || r.word("false") || r.word("null"):
	default:
		r.mismatch("a value")
	}
}

// finish fails unless only white space is left.
func (r *Reader) finish() {
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
