// Package docs runs what README.md and docs/ tell people to type. A block of commands
// that no case runs, or names the reason for which none can, is a failed test.
package docs

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// limit is for one block.
const limit = 60 * time.Second

// block is one that begins with ```console.
type block struct {
	file, heading string
	line          int
	// commands begin with the prompt, $ of a user or # of root. Output that is shown is
	// not among them.
	commands []string
	// files are the other texts below the heading, by what stands at their beginning:
	// ini, toml.
	files map[string]string
}

// name is what cases call a block: its file and the heading above it.
func (b *block) name() string { return b.file + ": " + b.heading }

// blocks reads a file. Several of one heading are one.
func blocks(file, text string) (list []*block) {
	heading, fence := "", ""
	b := &block{}
	for i, line := range strings.Split(text, "\n") {
		kind, isFence := strings.CutPrefix(line, "```")
		switch {
		case fence == "" && strings.HasPrefix(line, "#"):
			heading = strings.TrimLeft(line, "# ")
			b = &block{file: file, heading: heading, files: map[string]string{}}
		case isFence && fence == "":
			fence = "```" + kind
			if kind == "console" && b.line == 0 {
				b.line = i + 1
				list = append(list, b)
			}
		case isFence:
			fence = ""
		case fence == "```console":
			b.shown(line)
		case fence != "" && b.files != nil:
			b.files[strings.TrimPrefix(fence, "```")] += line + "\n"
		}
	}
	return list
}

// shown takes a line of what a terminal shows.
func (b *block) shown(line string) {
	switch more, ok := strings.CutPrefix(line, "> "); {
	case strings.HasPrefix(line, "$ "), strings.HasPrefix(line, "# "):
		b.commands = append(b.commands, line)
	case ok && len(b.commands) > 0:
		b.commands[len(b.commands)-1] += "\n" + more
	}
}

// all are the blocks of all documents.
func all(t *testing.T) (list []*block) {
	t.Helper()
	files, err := filepath.Glob("../../docs/*.md")
	pages, _ := filepath.Glob("../../docs/man/*.md") // what hack/man makes manual pages of
	if err != nil || len(files) == 0 || len(pages) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	for _, name := range append(append(files, pages...), "../../README.md", "../../CONTRIBUTING.md", "../../SECURITY.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, blocks(strings.TrimPrefix(name, "../../"), string(text))...)
	}
	return list
}

func TestBlocks(t *testing.T) {
	got := blocks("x.md", "# A\n```console\n$ one  # why\n> two\nshown\n# three\n```\n$ no\n## B\n```ini\n# no\n```\n```console\n$ four\n```\nand\n```console\n$ five\n```\n")
	want := []*block{{"x.md", "A", 2, []string{"$ one  # why\ntwo", "# three"}, nil}, {"x.md", "B", 13, []string{"$ four", "$ five"}, nil}}
	if len(got) != len(want) {
		t.Fatalf("%d blocks", len(got))
	}
	for i, b := range got {
		if b.name() != want[i].name() || b.line != want[i].line || !slices.Equal(b.commands, want[i].commands) {
			t.Errorf("%+v, want %+v", b, want[i])
		}
	}
	if text := got[1].files["ini"]; text != "# no\n" {
		t.Errorf("%q", text)
	}
}

// Each block has a case, and each case a block.
func TestEachBlockIsRun(t *testing.T) {
	list := allCases()
	var names []string
	for _, b := range all(t) {
		names = append(names, b.name())
		if _, ok := list[b.name()]; !ok {
			t.Errorf("%s:%d: nothing runs the commands below %q: see cases", b.file, b.line, b.heading)
		}
	}
	for name, c := range list {
		if !slices.Contains(names, name) {
			t.Errorf("%s: no such block", name)
		}
		if (c.place == elsewhere) != (c.why != "") {
			t.Errorf("%s: what is not run has a reason, and nothing else", name)
		}
	}
}

// A target of make that a document names is there.
func TestTargetsOfMake(t *testing.T) {
	makefile, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	word := regexp.MustCompile(`\bmake ([a-z][a-z-]*)`)
	for _, b := range all(t) {
		for _, m := range word.FindAllStringSubmatch(withoutComments(strings.Join(b.commands, "\n")), -1) {
			if !bytes.Contains(makefile, []byte("\n"+m[1]+":")) {
				t.Errorf("%s: no target %s", b.name(), m[1])
			}
		}
	}
}

// withoutComments takes away what a shell does not read.
func withoutComments(script string) string {
	return regexp.MustCompile(`(?m)\s#\s.*$`).ReplaceAllString(script, "")
}

// TestOnHost runs what needs the source.
func TestOnHost(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: builds")
	}
	if os.Getenv("HOMERUN_TEST_MACHINE") == "1" {
		t.Skip("needs the Go toolchain")
	}
	// A home of its own, but not without all that is built and fetched already.
	caches, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	cache, modules, _ := strings.Cut(strings.TrimSpace(string(caches)), "\n")
	if err != nil {
		t.Fatal(err)
	}
	run(t, host, func(ctx context.Context, _ string, script string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, "bash", "-c", script)
		cmd.Dir = "../.."
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "WORK="+t.TempDir(), "GOCACHE="+cache, "GOMODCACHE="+modules)
		return cmd
	})
}

// TestInMachine runs the rest, in the test machine: in the session of its user dev, but
// what has root's prompt. It is a machine of its own, which nobody needs afterwards.
func TestInMachine(t *testing.T) {
	if os.Getenv("HOMERUN_TEST_MACHINE") != "1" || os.Getuid() != 0 {
		t.Skip("needs the test machine, and its root")
	}
	install(t)
	run(t, machine, func(ctx context.Context, user, script string) *exec.Cmd {
		if user == "root" {
			return exec.CommandContext(ctx, "bash", "-c", "cd /root\n"+script)
		}
		return asDev(ctx, script)
	})
}

// run runs all blocks of a place.
func run(t *testing.T, where place, command func(ctx context.Context, user, script string) *exec.Cmd) {
	list := allCases()
	for _, b := range all(t) {
		c := list[b.name()]
		if c.place != where {
			continue
		}
		t.Run(b.name(), func(t *testing.T) {
			for _, part := range parts(c, b) {
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				cmd := command(ctx, part.user, "set -eExo pipefail\n"+part.script)
				cmd.WaitDelay = 10 * time.Second // what ends with the container ends a moment later
				out, err := cmd.CombinedOutput()
				cancel()
				if err != nil {
					t.Fatalf("%s:%d: as %s: %v\n%s", b.file, b.line, part.user, err, out)
				}
				t.Logf("%s", out)
			}
		})
	}
}

type part struct{ user, script string }

// parts are the scripts of a block, each of one user, who changes with the prompt. What
// the case does before and after is the first's and the last's; its functions are all's.
func parts(c docCase, b *block) (list []part) {
	for _, command := range b.commands {
		user := "dev"
		if command[0] == '#' {
			user = "root"
		}
		line := command[2:] + "\n"
		if n := len(list); n > 0 && list[n-1].user == user {
			list[n-1].script += line
		} else {
			list = append(list, part{user, c.functions + line})
		}
	}
	if n := len(list); n > 0 {
		list[0].script = c.before + c.write(b) + list[0].script
		list[n-1].script += c.after
	}
	return list
}

// write makes the files that the document shows.
func (c docCase) write(b *block) (script string) {
	for kind, name := range c.files {
		script += "mkdir -p \"$(dirname " + name + ")\"\ncat >" + name + " <<'END OF FILE'\n" + b.files[kind] + "END OF FILE\n"
	}
	return script
}

func TestParts(t *testing.T) {
	got := parts(docCase{before: "b\n", after: "a\n", functions: "f\n"}, &block{commands: []string{"$ one", "$ two", "# three"}})
	if want := []part{{"dev", "b\nf\none\ntwo\n"}, {"root", "f\nthree\na\n"}}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := withoutComments("make # make it\necho a#b"); got != "make\necho a#b" {
		t.Errorf("%q", got)
	}
}
