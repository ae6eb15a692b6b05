package jsonread

import (
	"strconv"
	"strings"
)

type signedInteger interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64
}

type unsignedInteger interface {
	~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// Signed reads an integer into a field of a signed type; null is 0.
func Signed[T signedInteger](r *Reader, v *T) {
	*v = 0
	start, literal := r.integer("int", width[T])
	if literal == "" {
		return
	}
	n, err := strconv.ParseInt(literal, 10, 64)
	if *v = T(n); err != nil || int64(*v) != n {
		r.fail(start, abridge(literal)+" is out of range for int"+width[T]())
	}
}

// Unsigned reads an integer into a field of an unsigned type; null is 0.
func Unsigned[T unsignedInteger](r *Reader, v *T) {
	*v = 0
	start, literal := r.integer("uint", width[T])
	if literal == "" || literal == "-0" {
		return
	}
	n, err := strconv.ParseUint(literal, 10, 64)
	if *v = T(n); err != nil || uint64(*v) != n {
		r.fail(start, abridge(literal)+" is out of range for uint"+width[T]())
	}
}

// width names the number of bits of an integer type.
func width[T signedInteger | unsignedInteger]() string {
	bits := 8
	for T(1)<<bits != 0 {
		bits *= 2
	}
	return strconv.Itoa(bits)
}

// integer consumes an integer and returns where it starts and how it is
// written: "" if it is null or no integer.
func (r *Reader) integer(kind string, width func() string) (start int, literal string) {
	c := r.peek()
	start = r.pos
	if c != '-' && !isDigit(c) {
		if !r.word("null") {
			r.mismatch("an integer")
		}
		return start, ""
	}
	literal = r.number()
	if strings.ContainsAny(literal, ".eE") {
		r.fail(start, "expected an integer of type "+kind+width()+", found "+abridge(literal))
		return start, ""
	}
	return start, literal
}

// number consumes a number and returns it as it is written, "" if the grammar
// does not allow it.
func (r *Reader) number() string {
	start := r.pos
	r.accept("-")
	ok := r.accept("0") || r.digits()
	if ok && r.accept(".") {
		ok = r.digits()
	}
	if ok && r.accept("eE") {
		r.accept("+-")
		ok = r.digits()
	}
	if !ok {
		return ""
	}
	return r.text[start:r.pos]
}

// accept consumes the next byte if it is one of set.
func (r *Reader) accept(set string) bool {
	if r.pos == len(r.text) || strings.IndexByte(set, r.text[r.pos]) < 0 {
		return false
	}
	r.pos++
	return true
}

// digits consumes one digit or more.
func (r *Reader) digits() bool {
	start := r.pos
	for r.pos < len(r.text) && isDigit(r.text[r.pos]) {
		r.pos++
	}
	if r.pos == start {
		r.fail(start, "expected a digit, found "+r.found())
	}
	return !r.failed
}

// abridge keeps a message readable whatever the number in it.
func abridge(literal string) string {
	if len(literal) <= 40 {
		return literal
	}
	return literal[:40] + "..."
}
