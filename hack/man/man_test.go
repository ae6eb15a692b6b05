package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// built is homerun and what it says of its commands.
var built struct{ homerun, dir string }

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "man")
	if err != nil {
		panic(err)
	}
	built.dir, built.homerun = dir, filepath.Join(dir, "homerun")
	status := 1
	if out, err := exec.Command("go", "build", "-o", built.homerun, "../../cmd/homerun").CombinedOutput(); err != nil {
		os.Stderr.Write(out)
	} else if out, err := exec.Command(built.homerun, "generate-docs", dir).CombinedOutput(); err != nil {
		os.Stderr.Write(out)
	} else {
		status = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(status)
}

// pages reads the pages.
func pages(t *testing.T) *manual {
	t.Helper()
	m, err := load("../../docs/man", filepath.Join(built.dir, "commands.json"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Each command has a page that is a manual, and each page of section 1 a command.
func TestEachCommandHasAPage(t *testing.T) {
	m := pages(t)
	seen := map[string]bool{}
	for _, p := range m.pages {
		c := m.command(p)
		if c == nil && p.number == "1" {
			t.Errorf("%s: there is no such command", p.file)
		}
		if c == nil {
			continue
		}
		seen[c.Name] = true
		for _, title := range []string{"DESCRIPTION", "EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES", "SEE ALSO"} {
			if s := p.section(title); s == nil || len(s.blocks) == 0 {
				t.Errorf("%s: no section %s", p.file, title)
			}
		}
	}
	for _, c := range append(slices.Clone(m.root.Commands), m.root) {
		if !seen[c.Name] {
			t.Errorf("no page for the command %s: docs/man/homerun-%s.1.md", c.Name, c.Name)
		}
	}
}

// Pages are written, and mandoc(1) finds nothing in them, not even of style.
func TestLint(t *testing.T) {
	if err := write("../../docs/man", built.dir); err != nil {
		t.Fatal(err)
	}
	written, err := filepath.Glob(filepath.Join(built.dir, "man/*"))
	if m := pages(t); err != nil || len(written) != len(m.pages) {
		t.Fatalf("%d files for %d pages, %v", len(written), len(m.pages), err)
	}
	if _, err := exec.LookPath("mandoc"); err != nil {
		t.Skip("needs mandoc")
	}
	if out, err := exec.Command("mandoc", append([]string{"-T", "lint"}, written...)...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// span is what stands in backquotes, or is a command in a block.
var span = regexp.MustCompile("`([^`]+)`|(?m:^[$#] (.*)$)")

// Flags that a page names are there: those of the command that is named with them, or
// of the page's own.
func TestFlagsAreThere(t *testing.T) {
	m := pages(t)
	for _, p := range m.pages {
		for _, s := range p.sections {
			for _, b := range s.blocks {
				for _, found := range span.FindAllStringSubmatch(b.head+"\n"+b.text, -1) {
					m.checkFlags(t, p, s.title, found[1]+found[2])
				}
			}
		}
	}
}

func (m *manual) checkFlags(t *testing.T, p *page, title, text string) {
	own := m.command(p)
	if name := regexp.MustCompile(`homerun ([a-z]+)`).FindStringSubmatch(text); name != nil {
		i := slices.IndexFunc(m.root.Commands, func(c command) bool { return c.Name == name[1] })
		if i < 0 {
			if name[1] != "checkpoint" && name[1] != "restore" {
				t.Errorf("%s: %s: no command %s", p.file, title, name[1])
			}
			return
		}
		own = &m.root.Commands[i]
	}
	text, _, _ = strings.Cut(text, " -- ")
	for _, name := range regexp.MustCompile(`(?:^| )--([a-z][a-z-]*)`).FindAllStringSubmatch(text, -1) {
		is := func(f flag) bool { return f.Name == name[1] }
		anywhere := slices.ContainsFunc(m.root.Commands, func(c command) bool { return slices.ContainsFunc(c.Flags, is) })
		switch {
		case slices.ContainsFunc(m.root.Flags, is):
		case title != "OPTIONS" && (own == nil || own == &m.root || !strings.Contains(text, "homerun")) && anywhere:
		case own == nil || !slices.ContainsFunc(own.Flags, is):
			t.Errorf("%s: %s: no flag --%s", p.file, title, name[1])
		}
	}
}

// An error of usage has a status that the page explains.
func TestExitStatusIsExplained(t *testing.T) {
	m := pages(t)
	for _, p := range m.pages {
		c := m.command(p)
		s := p.section("EXIT STATUS")
		if c == nil || s == nil {
			continue
		}
		args := []string{"--no-such-flag"}
		if c != &m.root {
			args = append([]string{c.Name}, args...)
		}
		status := 0
		if err := new(exec.ExitError); errors.As(exec.Command(built.homerun, args...).Run(), &err) {
			status = err.ExitCode()
		}
		wanted := []string{"0", strconv.Itoa(status)}
		if slices.Contains([]string{"run", "exec", "wait", "shell"}, c.Name) { // whose status is that of a program
			wanted = append(wanted, "128")
		}
		for _, want := range wanted {
			if !slices.ContainsFunc(s.blocks, func(b block) bool { return len(b.terms()) > 0 && slices.Contains(b.terms(), want) }) {
				t.Errorf("%s: EXIT STATUS has no %s", p.file, want)
			}
		}
	}
}

// Each member of config.json has a line, and each line is about one.
func TestEachMemberHasALine(t *testing.T) {
	linux, others := members()
	if len(linux) < 150 || !slices.Contains(others, "windows") || !slices.Contains(others, "process.commandLine") {
		t.Fatalf("%d members, others %q", len(linux), others)
	}
	have := terms(t, "homerun-config", "MEMBERS")
	for _, m := range linux {
		if !slices.ContainsFunc(have, func(term string) bool { return matches(term, m.name) }) {
			t.Errorf("homerun-config(5) has no line for %s", m.name)
		}
	}
	for _, term := range have {
		if !slices.ContainsFunc(linux, func(m member) bool { return matches(term, m.name) }) {
			t.Errorf("homerun-config(5): config.json has no member %s", term)
		}
	}
}

// terms are those of the items of a section.
func terms(t *testing.T, page, title string) (list []string) {
	t.Helper()
	for _, p := range pages(t).pages {
		if s := p.section(title); p.name == page && s != nil {
			for _, b := range s.blocks {
				if b.kind == tagged {
					list = append(list, b.terms()...)
				}
			}
		}
	}
	return list
}

func TestParse(t *testing.T) {
	p, err := parse("x/name.5.md", "# name(5): what\n\n## ONE\n\na\nb `c`\n\n- `x`, `y`,\n  `z`: text\n  more\n- plain\n\n```console\n$ a\n\n$ b\n```\n### Sub\n@list@\n- `only`\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []block{{paragraph, "", "a\nb `c`"}, {tagged, "`x`, `y`, `z`", "text\nmore"}, {bullet, "", "plain"},
		{commands, "", "$ a\n\n$ b\n"}, {heading, "Sub", ""}, {fromCode, "list", ""}, {tagged, "`only`", ""}}
	if got := p.sections[0].blocks; p.about != "what" || !slices.Equal(got, want) {
		t.Errorf("%q: %+v, want %+v", p.about, got, want)
	}
	for _, text := range []string{"# other(5): what\n", "# name(5)\ntext\n"} {
		if _, err := parse("x/name.5.md", text); err == nil {
			t.Errorf("%q is a page", text)
		}
	}
}

func TestRoff(t *testing.T) {
	for text, want := range map[string]string{
		"a `b-c` *d* e(1)":         `a \fBb\-c\fR \fId\fR \fBe\fR(1)`,
		".x `'\\`":                 `\&.x \fB\(aq\e\fR`,
		strings.Repeat("abc ", 30): strings.TrimSuffix(strings.Repeat("abc ", 20), " ") + "\n" + strings.TrimSuffix(strings.Repeat("abc ", 10), " "),
	} {
		if got := filled(text); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		term, name string
		want       bool
	}{
		{"hooks.*[].path", "hooks.prestart[].path", true}, {"hooks.*[].path", "hooks.prestart[].args", false},
		{"linux.*[].size", "linux.resources.x[].size", false}, {"a[].b", "a[].b", true}, {"a", "a.b", false},
	} {
		if got := matches(c.term, c.name); got != c.want {
			t.Errorf("%s and %s: %v", c.term, c.name, got)
		}
	}
}

func TestListed(t *testing.T) {
	c := &command{Name: "r", Groups: []string{"One:", "Two:", "None:"}, Commands: []command{{Name: "b", Group: "Two:", Short: "x"}, {Name: "a", Group: "One:", Short: "y"}, {Name: "c", Short: "z"}}}
	want := []block{{tagged, "`r-c`(1)", "Z."}, {heading, "One", ""}, {tagged, "`r-a`(1)", "Y."}, {heading, "Two", ""}, {tagged, "`r-b`(1)", "X."}}
	if got := listed(c); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// A flag has the words of its page, else of a page whose command has the same flag,
// else of its help.
func TestOptions(t *testing.T) {
	same, other := flag{Name: "same", Usage: "one"}, flag{Name: "other", Value: "string", Usage: "with --rootfs: two", Default: "x", Heading: "More"}
	m := &manual{root: command{Name: "r", Commands: []command{{Name: "a", Flags: []flag{same, {Name: "other"}}}, {Name: "b", Flags: []flag{same, other}}}}}
	for _, text := range []string{"# r-a(1)\n## OPTIONS\n- `--same`: words\n- `--other`: words\n", "# r-b(1)\n"} {
		p, err := parse(text[2:5]+".1.md", text)
		if err != nil {
			t.Fatal(err)
		}
		m.pages = append(m.pages, p)
	}
	got := m.options(m.pages[1], &m.root.Commands[1])[1:]
	want := []block{{tagged, "`--same`", "words"}, {heading, "More", ""}, {tagged, "`--other` *VALUE*", "Two. Only with `--rootfs`. The default is `x`."}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
