package bundle

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "config.json"), `{"hostname":"a"}`)
	write(t, filepath.Join(dir, "other.json"), `{"hostname":"b"}`)
	t.Chdir(dir)
	for _, test := range []struct{ dir, name, want string }{
		{dir, "", "a"}, {dir, "other.json", "b"}, {".", "", "a"}, {"/nonexistent", filepath.Join(dir, "other.json"), "b"},
	} {
		b, err := Load(test.dir, test.name)
		if err != nil || b.Config.Hostname != test.want || !filepath.IsAbs(b.Dir) {
			t.Errorf("Load(%q, %q) = %+v, %v", test.dir, test.name, b, err)
		}
	}
}

func TestLoadErrors(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "bad.json"), "{\n\"mounts\":1}")
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	sparse(t, filepath.Join(dir, "large"), maxSize+1)
	sparse(t, filepath.Join(dir, "zeros"), maxSize)
	for _, test := range []struct{ name, want string }{
		{"", "config.json of bundle DIR: no such file or directory"},
		{"bad.json/x", "bad.json/x of bundle DIR: not a directory"},
		{".", ". of bundle DIR: is a directory"},
		{"fifo", "fifo of bundle DIR: not a regular file"},
		{"large", "large of bundle DIR: larger than 64 MiB"},
		{"zeros", "zeros:1:1: expected an object, found '\\x00'"},
		{dir + "/x", "DIR/x: no such file or directory"},
		{"bad.json", "bad.json:2:10: mounts: expected an array, found a number"},
	} {
		_, err := Load(dir, test.name)
		if got := strings.ReplaceAll(err.Error(), dir, "DIR"); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
	if _, err := Load(dir, ""); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v is not ErrNotExist", err)
	}
}

func TestLoadFileWithoutSize(t *testing.T) {
	if _, err := ReadRegular("/proc/self/mountinfo"); err != nil {
		t.Error(err)
	}
	if raw, err := ReadRegular("/proc/kallsyms"); err == nil && len(raw) < 10000 {
		t.Errorf("%d bytes", len(raw))
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func sparse(t *testing.T, path string, size int64) {
	t.Helper()
	write(t, path, "")
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

// A file below a descriptor is read from that directory, wherever its path leads
// by now, and not through a link.
func TestLoadAt(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"hostname":"mine"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("config.json", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := os.Rename(dir, dir+".moved"); err != nil {
		t.Fatal(err)
	}
	b, err := LoadAt(fd, "config.json", "/bundle")
	if err != nil || b.Config.Hostname != "mine" || b.Dir != "/bundle" {
		t.Errorf("%+v, %v", b, err)
	}
	for name, want := range map[string]error{"link": unix.ELOOP, "none": unix.ENOENT, ".": unix.EISDIR} {
		if _, err := LoadAt(fd, name, "/bundle"); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
