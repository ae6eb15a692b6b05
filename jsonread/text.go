package jsonread

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// quoted reads the string that the reader stands before. A string without
// escapes is a part of the text and is not copied.
func (r *Reader) quoted() string {
	start := r.pos + 1
	for i := start; i < len(r.text); i++ {
		switch c := r.text[i]; {
		case c == '"':
			r.pos = i + 1
			return r.text[start:i]
		case c < ' ' || c == '\\' || c >= utf8.RuneSelf:
			return r.unquote(start, i)
		}
	}
	r.fail(len(r.text), "the string has no end")
	return ""
}

// unquote reads on at the first byte of a string, at pos, that quoted leaves
// to it. A string without escapes is not copied unless its UTF-8 is invalid.
func (r *Reader) unquote(start, pos int) string {
	var out strings.Builder
	for r.pos = pos; r.pos < len(r.text); {
		switch c := r.text[r.pos]; {
		case c == '"':
			rest := valid(r.text[start:r.pos])
			r.pos++
			if out.Len() == 0 {
				return rest
			}
			return out.String() + rest
		case c < ' ':
			r.fail(r.pos, "control character "+strconv.QuoteRune(rune(c))+" in a string")
		case c == '\\':
			out.WriteString(valid(r.text[start:r.pos]))
			r.escape(&out)
			start = r.pos
		default:
			r.pos++
		}
	}
	r.fail(len(r.text), "the string has no end")
	return ""
}

// valid replaces each byte that is not part of valid UTF-8 with U+FFFD.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

func (r *Reader) escape(out *strings.Builder) {
	if r.pos+1 == len(r.text) {
		r.fail(len(r.text), "the string has no end")
		return
	}
	switch c := r.text[r.pos+1]; c {
	case '"', '\\', '/':
		out.WriteByte(c)
	case 'b':
		out.WriteByte('\b')
	case 'f':
		out.WriteByte('\f')
	case 'n':
		out.WriteByte('\n')
	case 'r':
		out.WriteByte('\r')
	case 't':
		out.WriteByte('\t')
	case 'u':
		r.unicode(out)
		return
	default:
		r.fail(r.pos, "unknown escape: "+character(r.text[r.pos+1:]))
		return
	}
	r.pos += 2
}

// unicode reads \uXXXX and the second half of a surrogate pair after it. Half
// a pair alone becomes U+FFFD.
func (r *Reader) unicode(out *strings.Builder) {
	first, ok := hex4(r.text[r.pos:])
	if !ok {
		r.fail(r.pos, "\\u without four hexadecimal digits")
		return
	}
	r.pos += 6
	if utf16.IsSurrogate(first) {
		second, _ := hex4(r.text[r.pos:])
		first = utf16.DecodeRune(first, second)
		if first != utf8.RuneError {
			r.pos += 6
		}
	}
	out.WriteRune(first)
}

// hex4 reads the \uXXXX that text begins with.
func hex4(text string) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	var value rune
	for i := 2; i < 6; i++ {
		digit := strings.IndexByte("0123456789abcdefABCDEF", text[i])
		if digit < 0 {
			return 0, false
		}
		if digit > 15 {
			digit -= 6
		}
		value = value<<4 | rune(digit)
	}
	return value, true
}
