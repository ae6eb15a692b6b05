package compile

import (
	"os"
	"strings"
	"testing"
)

// archive is a file in the txtar format of golang.org/x/tools: a comment, then
// sections that begin with "-- NAME --".
type archive struct {
	comment  string
	sections []section
}

type section struct{ name, text string }

// readArchive reads a txtar file. A section ends with a newline or is empty.
func readArchive(t testing.TB, file string) *archive {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	a := &archive{}
	into := &a.comment
	for line := range strings.Lines(string(text)) {
		if name, ok := sectionName(line); ok {
			a.sections = append(a.sections, section{name: name})
			into = &a.sections[len(a.sections)-1].text
			continue
		}
		*into += line
	}
	return a
}

func sectionName(line string) (string, bool) {
	line = strings.TrimSuffix(line, "\n")
	name, ok := strings.CutPrefix(line, "-- ")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(name, " --")
}

// write writes the file anew.
func (a *archive) write(t testing.TB, file string) {
	t.Helper()
	var b strings.Builder
	b.WriteString(a.comment)
	for _, s := range a.sections {
		b.WriteString("-- " + s.name + " --\n" + s.text)
	}
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
