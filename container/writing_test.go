package container

import (
	"os"
	"path/filepath"
	"testing"
)

// TestWriting: a /dev/null that can only be read is none for output; anything else is what
// the caller has, be it as useless.
func TestWriting(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		flags int
		kept  bool
	}{
		{"/dev/null", os.O_RDONLY, false}, {"/dev/null", os.O_WRONLY, true}, {"/dev/null", os.O_RDWR, true},
		{"/dev/zero", os.O_RDONLY, true}, {file, os.O_RDONLY, true},
	} {
		f, err := os.OpenFile(test.name, test.flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := writing(f); got != nil != test.kept || got != nil && got != f {
			t.Errorf("%s, %#x: %v", test.name, test.flags, got)
		}
		f.Close()
	}
}
