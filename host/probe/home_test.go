package probe

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHomeOf(t *testing.T) {
	for _, test := range []struct {
		name, passwd string
		uid          uint32
		want         string
	}{
		{"root", "root:x:0:0:root:/root:/bin/sh\n", 0, "/root"},
		{"first line counts", "a:x:7:7::/a:\nb:x:7:7::/b:\n", 7, "/a"},
		{"no final newline", "a:x:7:7::/a", 7, "/a"},
		{"other uid", "a:x:7:7::/a:\n", 8, ""},
		{"too few fields", "a:x:7:7:\n", 7, ""},
		{"relative", "a:x:7:7::home:\n", 7, ""},
		{"nul", "a:x:7:7::/a\x00b:\n", 7, ""},
		{"nis", "+a:x:7:7::/a:\n", 7, ""},
		{"no name", ":x:7:7::/a:\n", 7, ""},
		{"not a number", "a:x:07x:7::/a:\n", 7, ""},
		{"empty", "", 0, ""},
	} {
		if got := homeOf([]byte(test.passwd), test.uid); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// TestReadInRoot puts something else where a file is expected. Each would
// block, lead outside, or be too much.
func TestReadInRoot(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		make func(path string) error
		want string
	}{
		{"file", func(p string) error { return os.WriteFile(p, []byte("text"), 0o644) }, "text"},
		{"at the limit", func(p string) error { return os.WriteFile(p, make([]byte, 100), 0o644) }, string(make([]byte, 100))},
		{"too large", func(p string) error { return os.WriteFile(p, make([]byte, 101), 0o644) }, ""},
		{"missing", func(string) error { return nil }, ""},
		{"FIFO", func(p string) error { return unix.Mkfifo(p, 0o644) }, ""},
		{"directory", func(p string) error { return os.Mkdir(p, 0o755) }, ""},
		{"link out", func(p string) error { return os.Symlink(outside, p) }, ""},
		{"link up", func(p string) error { return os.Symlink("../../../../../../../.."+outside, p) }, ""},
		{"link in a circle", func(p string) error { return os.Symlink("passwd", p) }, ""},
		{"link inside", func(p string) error {
			if err := os.WriteFile(filepath.Join(filepath.Dir(p), "real"), []byte("real"), 0o644); err != nil {
				return err
			}
			return os.Symlink("/etc/real", p)
		}, "real"},
	} {
		root := t.TempDir()
		if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := test.make(filepath.Join(root, "etc/passwd")); err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(readInRoot(fd, "etc/passwd", 100)); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
		unix.Close(fd)
	}
}
