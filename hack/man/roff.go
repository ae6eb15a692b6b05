package main

import (
	"fmt"
	"regexp"
	"strings"
)

// roff is a page in the language of man(7).
func (m *manual) roff(p *page) (string, error) {
	var b strings.Builder
	volume := map[string]string{"1": "User Commands", "5": "File Formats", "7": "Miscellanea"}[p.number]
	fmt.Fprintf(&b, ".TH %s %s %s \"homerun %s\" \"%s\"\n", strings.ToUpper(p.name), p.number, m.date, m.version, volume)
	sections := p.sections
	about := p.about
	if c := m.command(p); c != nil {
		about = c.Short
		sections = m.ofCommand(p, c)
	}
	fmt.Fprintf(&b, ".SH NAME\n%s\n", filled(p.name+" - "+about))
	for _, s := range sections {
		fmt.Fprintf(&b, ".SH %s\n", s.title)
		for i, block := range s.blocks {
			text, err := m.block(s.title, block, i == 0 || s.blocks[i-1].kind == heading)
			if err != nil {
				return "", fmt.Errorf("%s: %w", s.title, err)
			}
			b.WriteString(text)
		}
	}
	return b.String(), nil
}

// block is a block of a section; first: it needs no space before it.
func (m *manual) block(title string, b block, first bool) (string, error) {
	space := ".PP\n"
	if first {
		space = ""
	}
	switch b.kind {
	case tagged:
		text := b.text
		if text == "" {
			text = m.find(title, b.head)
		}
		if text == "" {
			return "", fmt.Errorf("%s has no text, here or elsewhere", b.head)
		}
		head := b.head
		if title == "MEMBERS" {
			head = withTypes(b)
		}
		return ".TP\n" + strings.ReplaceAll(inline(head), "\n", "\n.TQ\n") + "\n" + filled(text) + "\n", nil
	case bullet:
		return ".IP \\(bu 2\n" + filled(b.text) + "\n", nil
	case commands:
		return space + ".RS 4\n.EX\n" + verbatim(b.text) + ".EE\n.RE\n", nil
	case heading:
		return ".SS " + inline(b.head) + "\n", nil
	case fromCode:
		list, err := m.list(b.head)
		return space + filled(list) + "\n", err
	}
	return space + filled(b.text) + "\n", nil
}

// marked is what Markdown marks in a line: code, variable text, and pages.
var marked = regexp.MustCompile("`[^`]+`|\\*[^*]+\\*|[a-z][a-z0-9_.-]*\\([1-9]\\)")

// inline is text with its marks.
func inline(text string) string {
	var b strings.Builder
	at := 0
	for _, span := range marked.FindAllStringIndex(text, -1) {
		b.WriteString(escape(text[at:span[0]]))
		word := text[span[0]:span[1]]
		at = span[1]
		switch word[0] {
		case '`':
			b.WriteString(`\fB` + escape(word[1:len(word)-1]) + `\fR`)
		case '*':
			b.WriteString(`\fI` + escape(word[1:len(word)-1]) + `\fR`)
		default:
			name, number, _ := strings.Cut(word, "(")
			b.WriteString(`\fB` + escape(name) + `\fR(` + number)
		}
	}
	b.WriteString(escape(text[at:]))
	return lines(b.String())
}

// width is how long a line of the page's source may be, as mandoc(1) has it.
const width = 80

// filled is inline text in lines of that width.
func filled(text string) string {
	var b strings.Builder
	at := 0
	for _, word := range strings.Fields(inline(text)) {
		switch {
		case at == 0:
		case at+1+len(word) > width:
			b.WriteString("\n")
			at = 0
		default:
			b.WriteString(" ")
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	return lines(b.String())
}

// verbatim is text that shows itself.
func verbatim(text string) string { return lines(escape(text)) }

// escape keeps characters what they are: a hyphen is one to copy, as in an option.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, `"`, `\(dq`).Replace(text)
}

// lines keeps text from being requests.
func lines(text string) string {
	list := strings.Split(text, "\n")
	for i, l := range list {
		if strings.HasPrefix(l, ".") {
			list[i] = `\&` + l
		}
	}
	return strings.Join(list, "\n")
}
