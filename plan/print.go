package plan

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Text is the call of step i in the notation of strace, with slots by name:
// `mkdirat($root, "proc", 0755)`. It is fit for messages: in place of the
// program's environment and of a long list of groups it has their number, and
// what an argument has beyond 1000 bytes is left out; see WithValues.
func (p *Plan) Text(i int) string { return p.calls[i].print(p.namer, p.values) }

// WithValues is the plan with Text and Line in full, secrets in the environment
// included.
func (p *Plan) WithValues() *Plan {
	full := *p
	full.values = true
	return &full
}

// Line is step i as `homerun plan` prints it: the result, the call, and what
// it tolerates.
func (p *Plan) Line(i int) string {
	s := &p.steps[i]
	line := p.Text(i)
	if s.Result != 0 {
		line = p.SlotName(s.Result) + " = " + line
	}
	if notes := p.notes(i); notes != "" {
		line += "  // " + notes
	}
	return line
}

// notes lists what differs from "any error ends the plan, else the next step".
func (p *Plan) notes(i int) string {
	s := &p.steps[i]
	var notes []string
	if s.Want != nil {
		notes = append(notes, "= "+strconv.Itoa(int(*s.Want)))
	}
	for _, e := range s.Tolerate {
		notes = append(notes, ErrnoName(e.Errno)+p.jump(e.To))
	}
	if s.OnZero != 0 {
		notes = append(notes, "0"+p.jump(s.OnZero))
	}
	if s.OnNonzero != 0 {
		notes = append(notes, "not 0"+p.jump(s.OnNonzero))
	}
	if s.Signals != "" {
		notes = append(notes, "signals "+s.Signals)
	}
	if s.Awaits != "" {
		notes = append(notes, "awaits "+s.Awaits)
	}
	return strings.Join(notes, ", ")
}

// jump prints where a skip leads, counted from 1 as the listing counts.
func (p *Plan) jump(l Label) string {
	if l == 0 {
		return ""
	}
	return " -> " + strconv.Itoa(p.target(l)+1)
}

// ErrnoName is the name of an errno (ENOENT).
func ErrnoName(e unix.Errno) string {
	if name := unix.ErrnoName(e); name != "" {
		return name
	}
	return "errno " + strconv.Itoa(int(e))
}

// print shows the call with its arguments; values as WithValues has them.
func (c Call) print(name func(Ref) string, values bool) string {
	var b strings.Builder
	b.WriteString(c.Name)
	b.WriteByte('(')
	for i := range c.Args {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(c.Args[i].print(name, values))
	}
	b.WriteByte(')')
	return b.String()
}

func (a *Arg) print(name func(Ref) string, values bool) string {
	switch {
	case a.text != nil:
		return bounded(quote(*a.text), values)
	case a.memory != nil && a.memory.Brief != nil && !values:
		return a.memory.Brief()
	case a.memory != nil:
		return bounded(a.memory.Show(name), values)
	case a.ref.Slot == 0 && a.show != nil:
		return a.show(int64(a.ref.Number))
	}
	return name(a.ref)
}

// maxArgument is how many bytes of one argument a message has at most.
const maxArgument = 1000

// bounded cuts what is too long for a message, and marks it as strace does.
func bounded(s string, values bool) string {
	if values || len(s) <= maxArgument {
		return s
	}
	return s[:maxArgument] + "..."
}

// quote shows a string as strace does: octal escapes for what is not
// printable ASCII, as short as the character after them allows.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		b.WriteString(quoteByte(s[i], i+1 < len(s) && '0' <= s[i+1] && s[i+1] <= '7'))
	}
	b.WriteByte('"')
	return b.String()
}

func quoteByte(c byte, beforeDigit bool) string {
	switch c {
	case '"', '\\':
		return "\\" + string(rune(c))
	case '\n':
		return `\n`
	case '\t':
		return `\t`
	case '\r':
		return `\r`
	case '\v':
		return `\v`
	case '\f':
		return `\f`
	}
	if ' ' <= c && c <= '~' {
		return string(rune(c))
	}
	octal := strconv.FormatUint(uint64(c), 8)
	if beforeDigit {
		octal = ("000" + octal)[len(octal):]
	}
	return `\` + octal
}
