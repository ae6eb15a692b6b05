package main

import (
	"regexp"
	"slices"
	"strings"
)

// ofCommand puts what the command has between the sections that people wrote.
func (m *manual) ofCommand(p *page, c *command) []section {
	sections := []section{{"SYNOPSIS", m.synopsis(c)}}
	for _, s := range p.sections {
		if s.title == "OPTIONS" {
			continue
		}
		sections = append(sections, s)
		if s.title != "DESCRIPTION" {
			continue
		}
		if len(c.Commands) > 0 {
			sections = append(sections, section{"COMMANDS", listed(c)})
		}
		if list := m.options(p, c); len(list) > 0 {
			sections = append(sections, section{"OPTIONS", list})
		}
	}
	return sections
}

// words of a synopsis: what is typed as it stands, and what stands for something.
var words = regexp.MustCompile(`--?[a-z][a-z-]*|[a-z][a-z.]*|[A-Z][A-Z-]*[A-Z]`)

// synopsis has a line for each way to use a command.
func (m *manual) synopsis(c *command) (list []block) {
	use := c.Use
	if len(c.Commands) > 0 {
		use = "[OPTIONS] COMMAND"
	}
	for _, way := range strings.Split(use, " | ") {
		marked := words.ReplaceAllStringFunc(way, func(w string) string {
			switch {
			case w == "flags":
				return "*OPTIONS*"
			case w == strings.ToUpper(w):
				return "*" + w + "*"
			}
			return "`" + w + "`"
		})
		list = append(list, block{text: "`" + m.root.Name + "` " + marked})
	}
	return list
}

// listed are the commands below one, in their groups.
func listed(c *command) (list []block) {
	for _, group := range append([]string{""}, c.Groups...) {
		first := len(list)
		for _, sub := range c.Commands {
			if sub.Group == group {
				list = append(list, block{kind: tagged, head: "`" + c.Name + "-" + sub.Name + "`(1)", text: sentence(sub.Short)})
			}
		}
		if group != "" && len(list) > first {
			list = slices.Insert(list, first, block{kind: heading, head: strings.TrimSuffix(group, ":")})
		}
	}
	return list
}

// options are a command's flags: as its page describes them, else as its help does.
func (m *manual) options(p *page, c *command) (list []block) {
	var written []block
	if s := p.section("OPTIONS"); s != nil {
		written = s.blocks
	}
	for i, f := range c.Flags {
		if f.Heading != "" && (i == 0 || c.Flags[i-1].Heading != f.Heading) {
			list = append(list, block{kind: heading, head: f.Heading})
		}
		i := slices.IndexFunc(written, func(b block) bool { return slices.Contains(b.terms(), "--"+f.Name) })
		if i >= 0 {
			list = append(list, written[i])
			continue
		}
		list = append(list, m.described(f))
	}
	for _, b := range written {
		if b.kind != tagged {
			list = append(list, b)
		}
	}
	if c != &m.root && len(list) > 0 {
		list = slices.Insert(list, 0, block{text: "The options of homerun(1) go with each command."})
	}
	return list
}

// described is a flag as the page of another command describes it that has the same,
// else as its help does.
func (m *manual) described(f flag) block {
	for _, p := range m.pages {
		c, s := m.command(p), p.section("OPTIONS")
		if c == nil || s == nil || !slices.Contains(c.Flags, f) {
			continue
		}
		for _, b := range s.blocks {
			if b.text != "" && slices.Contains(b.terms(), "--"+f.Name) {
				return b
			}
		}
	}
	return block{kind: tagged, head: f.head(), text: f.text()}
}

func (f flag) head() string {
	head := "`--" + f.Name + "`"
	if f.Shorthand != "" {
		head = "`-" + f.Shorthand + "`, " + head
	}
	switch f.Value {
	case "":
		return head
	case "int", "uint", "float", "uints":
		return head + " *NUMBER*"
	case "string", "stringArray", "stringSlice", "strings":
		return head + " *VALUE*"
	}
	if f.Value == strings.ToLower(f.Value) { // a type, as duration
		return head + " *" + strings.ToUpper(f.Value) + "*"
	}
	return head + " *" + f.Value + "*"
}

func (f flag) text() string {
	text := sentence(strings.TrimPrefix(f.Usage, "with --rootfs: "))
	if strings.HasPrefix(f.Usage, "with --rootfs: ") {
		text += " Only with `--rootfs`."
	}
	switch f.Default {
	case "", "false", "0", "[]":
		return text
	}
	return text + " The default is `" + f.Default + "`."
}

// sentence makes one of a help text.
func sentence(text string) string {
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
