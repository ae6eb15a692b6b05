package doctor

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sources are the texts of what messages are made of.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(name)
		all.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(all.String(), `\"`, `"`)
}

// TestTroubleshooting: the messages that the document is ordered by are there, and the
// rows that it sends people to.
func TestTroubleshooting(t *testing.T) {
	text, err := os.ReadFile("../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range checks() {
		names = append(names, c.name)
	}
	all, rows := sources(t), 0
	for line := range strings.Lines(string(text)) {
		columns := strings.Split(line, "|")
		if len(columns) != 5 || !strings.Contains(columns[1], `"`) {
			continue
		}
		rows++
		for _, quoted := range regexp.MustCompile(`"[^"]*"`).FindAllString(columns[1], -1) {
			for _, part := range strings.Split(strings.Trim(quoted, `"`), "...") {
				if part = strings.TrimSpace(part); !strings.Contains(all, part) {
					t.Errorf("no message has %q", part)
				}
			}
		}
		for _, name := range strings.Split(strings.TrimSuffix(strings.TrimSpace(columns[2]), " and the like"), ", ") {
			if name != "" && !slices.Contains(names, name) {
				t.Errorf("doctor has no row %q", name)
			}
		}
	}
	if rows < 10 {
		t.Errorf("%d rows", rows)
	}
}
