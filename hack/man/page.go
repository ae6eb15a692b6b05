package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// page is a page as it is written.
type page struct {
	file, name, number string
	// about is what stands after the name in NAME; a command has its own.
	about    string
	sections []section
}

type section struct {
	title  string
	blocks []block
}

// kind is what a block is.
type kind int

const (
	paragraph kind = iota
	// tagged is an item of a list that begins with a term, which is its head.
	tagged
	bullet
	commands
	heading
	// fromCode is a list that the code has; its head is the name.
	fromCode
)

type block struct {
	kind       kind
	head, text string
}

// parse reads a page.
func parse(file, text string) (*page, error) {
	name, number, ok := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".md"), ".")
	title, rest, _ := strings.Cut(text, "\n")
	title, about, _ := strings.Cut(title, ": ")
	if !ok || title != "# "+name+"("+number+")" {
		return nil, fmt.Errorf("%s: the first line is to be # %s(%s), and after a colon what that is", file, name, number)
	}
	p := &page{file: file, name: name, number: number, about: about}
	r := reader{page: p}
	// An item's terms may go on in the next line.
	rest = regexp.MustCompile("(?m)^(- `.*`,)\n +`").ReplaceAllString(rest, "$1 `")
	rest = regexp.MustCompile("(?m)^(- `.*`,)\n +`").ReplaceAllString(rest, "$1 `")
	for i, line := range strings.Split(rest, "\n") {
		if err := r.line(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, i+2, err)
		}
	}
	return p, nil
}

// reader reads a page line by line.
type reader struct {
	page *page
	// code: inside of a block of commands. open: the block may go on.
	code, open bool
}

// tag is the beginning of an item with a term: what begins with code, up to a colon
// or to the line's end.
var tag = regexp.MustCompile("^- (`[^`]+`(?:`[^`]+`|[^`:])*)(?:: (.*)|)$")

func (r *reader) line(line string) error {
	title, isSection := strings.CutPrefix(line, "## ")
	sub, isHeading := strings.CutPrefix(line, "### ")
	item, isItem := strings.CutPrefix(line, "- ")
	switch {
	case strings.HasPrefix(line, "```"):
		r.code, r.open = !r.code, !r.code
		if r.code {
			return r.begin(block{kind: commands})
		}
	case r.code:
		return r.add(line + "\n")
	case line == "":
		r.open = false
	case isSection:
		r.page.sections = append(r.page.sections, section{title: title})
		r.open = false
	case isHeading:
		return r.begin(block{kind: heading, head: sub})
	case line[0] == '@' && len(line) > 2 && line[len(line)-1] == '@':
		return r.begin(block{kind: fromCode, head: strings.Trim(line, "@")})
	case isItem:
		if m := tag.FindStringSubmatch(line); m != nil {
			return r.begin(block{kind: tagged, head: m[1], text: m[2]})
		}
		return r.begin(block{kind: bullet, text: item})
	case r.open:
		return r.add("\n" + strings.TrimSpace(line))
	default:
		return r.begin(block{text: line})
	}
	return nil
}

// begin begins a block.
func (r *reader) begin(b block) error {
	n := len(r.page.sections)
	if n == 0 {
		return fmt.Errorf("text before the first section")
	}
	s := &r.page.sections[n-1]
	s.blocks = append(s.blocks, b)
	r.open = b.kind != heading && b.kind != fromCode
	return nil
}

// add adds to the last block.
func (r *reader) add(text string) error {
	s := &r.page.sections[len(r.page.sections)-1]
	b := &s.blocks[len(s.blocks)-1]
	b.text = strings.TrimPrefix(b.text+text, "\n")
	return nil
}

// section finds a section, nil if there is none.
func (p *page) section(title string) *section {
	for i := range p.sections {
		if p.sections[i].title == title {
			return &p.sections[i]
		}
	}
	return nil
}

// terms are what stands in backquotes in an item's head.
func (b block) terms() (list []string) {
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(b.head, -1) {
		list = append(list, m[1])
	}
	return list
}
