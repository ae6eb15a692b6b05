package probe

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFreeRange: who has no ids is told of a range that nobody has in the file,
// and of a line of the own that cannot be read, whatever else is read meanwhile.
func TestFreeRange(t *testing.T) {
	file, database := filepath.Join(t.TempDir(), "subuid"), filepath.Join(t.TempDir(), "passwd")
	// Longer than what is read of file, so that nothing of that would be left.
	users := strings.Repeat("me:x:7:7::/:/bin/sh\n", 20) + "far:x:300000000:7::/:/bin/sh\n"
	if err := os.WriteFile(database, []byte(users), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		text string
		free uint32
		line int
	}{
		{"", 300000001, 0},
		{"a:100000:65536\nb:300000000:65536\n", 300065536, 0},
		{"a:400000000:65536\nme:165536:65536\r\n", 400065536, 2},
		{"# me\n\na:200000000:65536\nme:1\nme:2\n", 300000001, 4},
		{strings.Repeat("a:100000:65536\n", 1000) + "b:400000000:65536\n", 400065536, 0},
	} {
		if err := os.WriteFile(file, []byte(test.text), 0o644); err != nil {
			t.Fatal(err)
		}
		list, free, line := new(prober).ranges(file, database, []string{"me"})
		if len(list) > 0 || free != test.free || line != test.line {
			t.Errorf("%.60q: %v, free %d, line %d, want %d and %d", test.text, list, free, line, test.free, test.line)
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	if list, free, _ := new(prober).ranges(none, none, []string{"me"}); len(list) > 0 || free != 100000 {
		t.Errorf("no file: %v, %d", list, free)
	}
}
