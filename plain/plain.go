// Package plain makes bytes that come from elsewhere, such as a container's
// command lines, fit to be shown: a terminal acts on none of them, and none
// begins a line that a reader would take for the runtime's own.
//
// The package is pure, and safe for concurrent use.
package plain

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Text replaces what does not print by its escape in Go's notation: control
// characters with all kinds of line ends (\n, \x1b, \u009b), characters that
// only change how others are shown, such as the order of writing (\u202e), and
// bytes that are no UTF-8 (\xff). The rest stays, backslashes too, so that a
// text may pass here more than once.
func Text(s string) string {
	i := unprintable(s)
	if i < 0 {
		return s
	}
	var b strings.Builder
	for ; i >= 0; i = unprintable(s) {
		_, size := utf8.DecodeRuneInString(s[i:])
		quoted := strconv.Quote(s[i : i+size])
		b.WriteString(s[:i])
		b.WriteString(quoted[1 : len(quoted)-1])
		s = s[i+size:]
	}
	b.WriteString(s)
	return b.String()
}

// Short is Text of at most max bytes of s: of a longer one its two ends, since
// the beginning of a message says what and the end says why.
func Short(s string, max int) string {
	if len(s) <= max {
		return Text(s)
	}
	head, tail := max/2, len(s)-max/2
	for head > 0 && !utf8.RuneStart(s[head]) {
		head--
	}
	for tail < len(s) && !utf8.RuneStart(s[tail]) {
		tail++
	}
	return Text(s[:head]) + " ... " + Text(s[tail:])
}

// JSON escapes in a JSON text, whose strings are UTF-8, what Text escapes, in JSON's
// notation: what it means stays, and no terminal acts on it.
func JSON(text string) string {
	var b strings.Builder
	for i := unprintable(text); i >= 0; i = unprintable(text) {
		r, size := utf8.DecodeRuneInString(text[i:])
		b.WriteString(text[:i])
		text = text[i+size:]
		if r == '\n' || r == '\t' || r == '\r' { // between strings
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	b.WriteString(text)
	return b.String()
}

// unprintable is the index of the first character to escape, or -1.
func unprintable(s string) int {
	for i := 0; i < len(s); {
		r, size := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
		}
		if !strconv.IsPrint(r) || r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}
