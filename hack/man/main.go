// Man writes the manual pages: what people wrote in docs/man, and what the code has
// already, which therefore cannot differ from it: names, synopses and options of the
// commands, members of config.json and their types, lists of what is known.
//
//	homerun generate-docs DIR && go run ./hack/man DIR
//
// A page in docs/man is a part of Markdown: headings, paragraphs, lists, and blocks of
// commands, which tests/docs runs. An item of a list that begins with a term in
// backquotes is tagged with it; one that has a term and no text has the text of the
// same item of another page, of homerun(1) first. A line @NAME@ is a list from the code.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: man DIR")
		os.Exit(2)
	}
	if err := write("docs/man", os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "man:", err)
		os.Exit(1)
	}
}

// write reads the pages of source and writes DIR/man, for the commands that
// DIR/commands.json describes.
func write(source, dir string) error {
	m, err := load(source, filepath.Join(dir, "commands.json"))
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(dir, "man")); err != nil { // pages of verbs that are gone
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "man"), 0o755); err != nil {
		return err
	}
	for _, p := range m.pages {
		text, err := m.roff(p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.file, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "man", p.name+"."+p.number), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// command is what `homerun generate-docs` says of one. Group is the title of those that
// it stands with; Groups has the titles of those below it, in order.
type command struct {
	Name, Use, Short, Group string
	Flags                   []flag
	Groups                  []string
	Commands                []command
}

// flag is a command's; Heading is the title of those that it stands with, which are
// side by side.
type flag struct{ Name, Shorthand, Value, Default, Usage, Heading string }

// manual is all pages, and the commands that they are about.
type manual struct {
	root  command
	pages []*page
	date  string
	// version is VERSION's.
	version string
}

// load reads pages and commands.
func load(source, commands string) (*manual, error) {
	m := &manual{date: date(source)}
	text, err := os.ReadFile(commands)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &m.root); err != nil {
		return nil, fmt.Errorf("%s: %w", commands, err)
	}
	files, err := filepath.Glob(filepath.Join(source, "*.md"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		p, err := parse(file, string(text))
		if err != nil {
			return nil, err
		}
		m.pages = append(m.pages, p)
	}
	version, err := os.ReadFile(filepath.Join(source, "../../VERSION"))
	m.version = strings.TrimSpace(string(version))
	return m, err
}

// date is that of the pages: what a packager says, or when something was last
// committed, or what the files have, so that each build of the same source has the same.
func date(source string) string {
	if s, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		return time.Unix(s, 0).UTC().Format(time.DateOnly)
	}
	if out, err := exec.Command("git", "-C", source, "log", "-1", "--format=%cs").Output(); err == nil && len(out) > 0 {
		return strings.TrimSpace(string(out))
	}
	st, err := os.Stat(source)
	if err != nil {
		return ""
	}
	return st.ModTime().UTC().Format(time.DateOnly)
}

// command is the one that a page is about, nil if it is about none.
func (m *manual) command(p *page) *command {
	if p.number != "1" {
		return nil
	}
	if p.name == m.root.Name {
		return &m.root
	}
	for i := range m.root.Commands {
		if c := &m.root.Commands[i]; m.root.Name+"-"+c.Name == p.name {
			return c
		}
	}
	return nil
}

// find is the text of another page's item: homerun(1)'s, or any.
func (m *manual) find(title, head string) string {
	for _, first := range []bool{true, false} {
		for _, p := range m.pages {
			if first != (p.name == m.root.Name && p.number == "1") {
				continue
			}
			for _, s := range p.sections {
				for _, b := range s.blocks {
					if s.title == title && b.head == head && b.text != "" {
						return b.text
					}
				}
			}
		}
	}
	return ""
}
