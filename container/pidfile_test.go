package container

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A pid file is written as a whole, whatever file or link was there, and nothing
// stays beside it.
func TestPidFile(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	name := filepath.Join(dir, "web.pid")
	for what, prepare := range map[string]func() error{
		"nothing":       func() error { return nil },
		"a file":        func() error { return os.WriteFile(name, []byte("123456789"), 0o600) },
		"a link":        func() error { return os.Symlink(target, name) },
		"a broken link": func() error { return os.Symlink(target+"x", name) },
	} {
		if err := errors.Join(os.WriteFile(target, []byte("precious"), 0o600), prepare()); err != nil {
			t.Fatal(err)
		}
		p, err := newPidFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(p.create(), p.write(42), p.commit()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		p.close()
		st, err := os.Lstat(name)
		if text, e := os.ReadFile(name); errors.Join(err, e) != nil || !st.Mode().IsRegular() || string(text) != "42" {
			t.Errorf("%s: %q, %v, %v", what, text, st, err)
		}
		if text, err := os.ReadFile(target); err != nil || string(text) != "precious" {
			t.Errorf("%s: what the link leads to: %q, %v", what, text, err)
		}
		if list, err := os.ReadDir(dir); err != nil || len(list) != 2 {
			t.Errorf("%s: %v, %v", what, list, err)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

// The temporary name is another one each time, and one that is taken, by a link
// too, is an error: what it leads to stays.
func TestPidFileTemporaryName(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	seen := map[string]bool{}
	for range 100 {
		p, err := newPidFile(filepath.Join(dir, "web.pid"))
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		if seen[p.temporary] || len(p.temporary) < len(".web.pid.")+16 {
			t.Fatalf("%s", p.temporary)
		}
		seen[p.temporary] = true
	}
	for what, plant := range map[string]func(string) error{
		"a link": func(name string) error { return os.Symlink(target, name) },
		"a file": func(name string) error { return os.WriteFile(name, []byte("precious"), 0o600) },
	} {
		p, err := newPidFile(filepath.Join(dir, "web.pid"))
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		if err := errors.Join(os.WriteFile(target, []byte("precious"), 0o600), plant(filepath.Join(dir, p.temporary))); err != nil {
			t.Fatal(err)
		}
		if err := p.create(); !errors.Is(err, unix.EEXIST) {
			t.Errorf("%s: %v", what, err)
		}
		if text, err := os.ReadFile(target); err != nil || string(text) != "precious" {
			t.Errorf("%s: %q, %v", what, text, err)
		}
	}
}

// One that cannot be written is found before anything runs, and what is there is
// neither replaced nor taken back: a directory, a device, a FIFO, a socket.
func TestPidFileRefused(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(dir+"/d", 0o700), unix.Mkfifo(dir+"/fifo", 0o600), os.WriteFile(dir+"/file", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{dir + "/d": "not a regular file", dir + "/fifo": "not a regular file", "/dev/null": "not a regular file",
		dir + "/none/web.pid": "no such file or directory", dir + "/file/web.pid": "not a directory", dir + "/d/": "not a regular file"} {
		p, err := newPidFile(name)
		if err == nil || !strings.HasPrefix(err.Error(), "write the pid file "+name+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
		p.close()
	}
	if _, err := os.Stat(dir + "/fifo"); err != nil {
		t.Error(err)
	}
	p, err := newPidFile("")
	if p != nil || errors.Join(err, p.create(), p.write(1), p.commit()) != nil {
		t.Errorf("none: %v, %v", p, err)
	}
	p.close()
}

// What is not written to its end leaves nothing, and what was there.
func TestPidFileAbandoned(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "web.pid")
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := newPidFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.create(), p.write(42)); err != nil {
		t.Fatal(err)
	}
	p.close()
	list, err := os.ReadDir(dir)
	if text, e := os.ReadFile(name); errors.Join(err, e) != nil || len(list) != 1 || string(text) != "old" {
		t.Errorf("%q, %v, %v", text, list, err)
	}
}
