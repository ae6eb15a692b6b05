package systemd

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseGVariant reads a value in GVariant text format (glib, "GVariant Text
// Format"), as far as unit properties need it:
//
//	true, false        bool
//	'text' or "text"   string, with \' \" \\ \n \t and the like
//	15                 int32;  1.5  float64
//	uint64 15          byte int16 uint16 int32 uint32 int64 uint64 double
//	['a', 'b']         []string, []int32, ... of one type
//	[byte 1, 2]        the type of the first holds for all
//	@as []             an empty array of strings
//
// Numbers may be hexadecimal or octal (0x1f, 017), as glib has them.
//
// The text may be a pod author's, so godbus's dbus.ParseVariant (5.2.4) will not
// do: it ends the process on deep nesting ("[[[[...", stack overflow), panics on
// "@x []", takes "1 2" and '\q', and refuses "double 2" and "0x0d".
func ParseGVariant(text string) (any, error) {
	p := &parser{rest: text}
	v, err := p.value()
	if err == nil {
		if p.space(); p.rest != "" {
			err = fmt.Errorf("%.100q follows the value", p.rest)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%.100q is not a GVariant text: %w", text, err)
	}
	return v, nil
}

type parser struct {
	rest string
	// inside an array; none has arrays in it.
	inside bool
	// read is how the numbers of an array are read, once one of them said.
	read func(string) (any, error)
}

func (p *parser) space() { p.rest = strings.TrimLeft(p.rest, " \t\n\r") }

func (p *parser) skip(prefix string) bool {
	p.space()
	rest, ok := strings.CutPrefix(p.rest, prefix)
	p.rest = rest
	return ok
}

func (p *parser) value() (any, error) {
	p.space()
	if p.rest == "" {
		return nil, errors.New("it is empty")
	}
	switch p.rest[0] {
	case '\'', '"':
		return p.text()
	case '[':
		if p.inside {
			return nil, errors.New("it has an array of something no property has")
		}
		return p.array()
	case '@':
		return p.emptyArray()
	}
	word := p.word()
	read := numberTypes()[word]
	switch {
	case word == "true", word == "false":
		return word == "true", nil
	case read != nil:
		p.space()
		if p.inside {
			p.read = read
		}
		return read(p.word())
	case p.read != nil:
		return p.read(word)
	case strings.ContainsAny(word, ".eEfi") && !strings.HasPrefix(strings.TrimLeft(word, "+-"), "0x"):
		return parseDouble(word)
	}
	return parseInt32(word)
}

// word takes what may be a keyword or a number.
func (p *parser) word() string {
	end := 0
	for end < len(p.rest) && (isWord(p.rest[end])) {
		end++
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	return word
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '+' || c == '-' || c == '.'
}

// numberTypes are the type keywords that may stand before a number.
func numberTypes() map[string]func(string) (any, error) {
	return map[string]func(string) (any, error){
		"byte":   func(s string) (any, error) { v, err := strconv.ParseUint(s, 0, 8); return byte(v), number(s, err) },
		"int16":  func(s string) (any, error) { v, err := strconv.ParseInt(s, 0, 16); return int16(v), number(s, err) },
		"uint16": func(s string) (any, error) { v, err := strconv.ParseUint(s, 0, 16); return uint16(v), number(s, err) },
		"int32":  parseInt32,
		"uint32": func(s string) (any, error) { v, err := strconv.ParseUint(s, 0, 32); return uint32(v), number(s, err) },
		"int64":  func(s string) (any, error) { v, err := strconv.ParseInt(s, 0, 64); return v, number(s, err) },
		"uint64": func(s string) (any, error) { v, err := strconv.ParseUint(s, 0, 64); return v, number(s, err) },
		"double": parseDouble,
	}
}

func parseInt32(s string) (any, error) {
	v, err := strconv.ParseInt(s, 0, 32)
	return int32(v), number(s, err)
}

func parseDouble(s string) (any, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		err = strconv.ErrRange
	}
	return v, number(s, err)
}

// number words what strconv said; the value beside an error is not used.
func number(s string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, strconv.ErrRange):
		return fmt.Errorf("%.100s is out of range", s)
	}
	return fmt.Errorf("%.100q is not a number", s)
}

// letters are what may stand after a backslash, and escapes what it means.
const (
	letters = `abfnrtv\'"`
	escapes = "\a\b\f\n\r\t\v\\'\""
)

func (p *parser) text() (string, error) {
	mark, rest := p.rest[0], p.rest[1:]
	var b strings.Builder
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == mark:
			p.rest = rest[i+1:]
			return b.String(), nil
		case c == 0:
			return "", errors.New("it has a NUL")
		case c == '\\':
			i++
			if i >= len(rest) || strings.IndexByte(letters, rest[i]) < 0 {
				return "", errors.New("it has an unknown escape")
			}
			b.WriteByte(escapes[strings.IndexByte(letters, rest[i])])
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New("its string does not end")
}

func (p *parser) array() (any, error) {
	p.rest, p.inside = p.rest[1:], true
	var values []any
	for !p.skip("]") {
		if len(values) > 0 && !p.skip(",") {
			return nil, errors.New("its array does not end")
		}
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return sameType(values)
}

// sameType turns the elements into a slice of their type.
func sameType(values []any) (any, error) {
	if len(values) == 0 {
		return nil, errors.New("an empty array needs its type, as @as []")
	}
	switch values[0].(type) {
	case bool:
		return sliceOf[bool](values)
	case string:
		return sliceOf[string](values)
	case byte:
		return sliceOf[byte](values)
	case int32:
		return sliceOf[int32](values)
	case uint32:
		return sliceOf[uint32](values)
	case int64:
		return sliceOf[int64](values)
	case uint64:
		return sliceOf[uint64](values)
	case float64:
		return sliceOf[float64](values)
	}
	return nil, errors.New("it has an array of something no property has")
}

func sliceOf[T any](values []any) (any, error) {
	var list []T
	for _, v := range values {
		element, ok := v.(T)
		if !ok {
			return nil, errors.New("its array mixes types")
		}
		list = append(list, element)
	}
	return list, nil
}

func (p *parser) emptyArray() (any, error) {
	p.rest = p.rest[1:]
	kind := p.word()
	if !p.skip("[") || !p.skip("]") {
		return nil, errors.New("a type is understood only before an empty array")
	}
	if kind != "as" {
		return nil, fmt.Errorf("empty arrays of type %.100q are not understood", kind)
	}
	return []string{}, nil
}
