package pidfile

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
func TestFile(t *testing.T) {
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
		p, err := New(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(p.Create(), p.Write(42), p.Write(43), p.Commit()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		p.Close()
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
func TestTemporaryName(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	seen := map[string]bool{}
	for range 100 {
		p, err := New(filepath.Join(dir, "web.pid"))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if seen[p.temporary] || len(p.temporary) < len(".web.pid.")+16 {
			t.Fatalf("%s", p.temporary)
		}
		seen[p.temporary] = true
	}
	for what, plant := range map[string]func(string) error{
		"a link": func(name string) error { return os.Symlink(target, name) },
		"a file": func(name string) error { return os.WriteFile(name, []byte("precious"), 0o600) },
	} {
		p, err := New(filepath.Join(dir, "web.pid"))
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if err := errors.Join(os.WriteFile(target, []byte("precious"), 0o600), plant(filepath.Join(dir, p.temporary))); err != nil {
			t.Fatal(err)
		}
		if err := p.Create(); !errors.Is(err, unix.EEXIST) {
			t.Errorf("%s: %v", what, err)
		}
		if text, err := os.ReadFile(target); err != nil || string(text) != "precious" {
			t.Errorf("%s: %q, %v", what, text, err)
		}
	}
}

// One that cannot be written is found before anything runs, and what is there is
// neither replaced nor taken back: a directory, a device, a FIFO, a socket.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(dir+"/d", 0o700), unix.Mkfifo(dir+"/fifo", 0o600), os.WriteFile(dir+"/file", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{dir + "/d": "not a regular file", dir + "/fifo": "not a regular file", "/dev/null": "not a regular file",
		dir + "/none/web.pid": "no such file or directory", dir + "/file/web.pid": "not a directory", dir + "/d/": "not a regular file",
		dir + "/" + strings.Repeat("x", 256): "file name too long"} {
		p, err := New(name)
		if err == nil || !strings.HasPrefix(err.Error(), "write the pid file "+name+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
		p.Close()
	}
	if _, err := os.Stat(dir + "/fifo"); err != nil {
		t.Error(err)
	}
	p, err := New("")
	if p != nil || errors.Join(err, p.Create(), p.Write(1), p.Commit()) != nil {
		t.Errorf("none: %v, %v", p, err)
	}
	p.Close()
}

// What is not written to its end leaves nothing, and what was there.
func TestAbandoned(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "web.pid")
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := New(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.Create(), p.Write(42)); err != nil {
		t.Fatal(err)
	}
	p.Close()
	list, err := os.ReadDir(dir)
	if text, e := os.ReadFile(name); errors.Join(err, e) != nil || len(list) != 1 || string(text) != "old" {
		t.Errorf("%q, %v, %v", text, list, err)
	}
}

// In a sticky directory of another user's, what is a third user's cannot be
// replaced, but by root; in any other it can.
func TestProtects(t *testing.T) {
	for _, test := range []struct{ mode, dir, file, user, want uint32 }{
		{0o1777, 0, 7, 1000, 1}, {0o1770, 7, 7, 1000, 1}, {0o1777, 0, 0, 1000, 1},
		{0o777, 0, 7, 1000, 0}, {0o1777, 1000, 7, 1000, 0}, {0o1777, 0, 1000, 1000, 0}, {0o1777, 7, 1000, 0, 0},
	} {
		dir, file := unix.Stat_t{Mode: unix.S_IFDIR | test.mode, Uid: test.dir}, unix.Stat_t{Uid: test.file}
		if got := protects(&dir, &file, test.user); got != (test.want == 1) {
			t.Errorf("mode %o of user %d, with a file of %d's, for %d: %v", test.mode, test.dir, test.file, test.user, got)
		}
	}
}

// In a sticky directory, as /tmp, a missing file and an own one are no problem; nor
// is another's for root.
func TestReplaceable(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.WriteFile(dir+"/own", nil, 0o600), os.Chmod(dir, 0o1777)); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{"/own": true, "/missing": true}
	if os.Geteuid() == 0 {
		if err := errors.Join(os.WriteFile(dir+"/other", nil, 0o600), os.Chown(dir+"/other", 7, 7), os.Chown(dir, 7, 7)); err != nil {
			t.Skip(err)
		}
		names["/other"] = true
	}
	for name, want := range names {
		p, err := New(dir + name)
		if (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
		p.Close()
	}
}

// What goes wrong on the way is said with the pid file's name, as the errno, and
// nothing is left beside it: the directory is gone, the disk is full, the
// temporary file is gone.
func TestFailures(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	name := filepath.Join(dir, "web.pid")
	for what, test := range map[string]struct {
		want  error
		spoil func(f *File) error
	}{
		"the directory is gone": {unix.ENOENT, func(f *File) error { return errors.Join(os.Remove(dir), f.Create()) }},
		"the disk is full": {unix.EFBIG, func(f *File) error {
			var old unix.Rlimit
			err := errors.Join(f.Create(), unix.Prlimit(0, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1, Max: unix.RLIM_INFINITY}, &old))
			if err != nil {
				t.Fatal(err)
			}
			err = f.Write(42)
			if err := unix.Prlimit(0, unix.RLIMIT_FSIZE, &old, nil); err != nil {
				t.Fatal(err)
			}
			return err
		}},
		"the temporary file is gone": {unix.ENOENT, func(f *File) error {
			return errors.Join(f.Create(), f.Write(42), os.Remove(filepath.Join(dir, f.temporary)), f.Commit())
		}},
	} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := New(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := test.spoil(f); !errors.Is(err, test.want) || !strings.HasPrefix(err.Error(), "write the pid file "+name+": ") {
			t.Errorf("%s: %v", what, err)
		}
		f.Close()
		if list, err := os.ReadDir(dir); len(list) != 0 {
			t.Errorf("%s: %v, %v", what, list, err)
		}
	}
}

// The longest name of a file has a temporary one, too.
func TestLongName(t *testing.T) {
	name := filepath.Join(t.TempDir(), strings.Repeat("x", 255))
	f, err := New(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(f.Create(), f.Write(1), f.Commit()); err != nil {
		t.Fatal(err)
	}
}

// The temporary file's path does not depend on the directory that delete runs in.
func TestTemporary(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	f, err := New("web.pid")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	path, err := f.Temporary()
	if err := errors.Join(err, f.Create()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); err != nil || !filepath.IsAbs(path) {
		t.Errorf("%s: %v", path, err)
	}
	if path, err := (*File)(nil).Temporary(); path != "" || err != nil {
		t.Errorf("of none: %q, %v", path, err)
	}
}

// Close gives up what New and Create opened, once: a descriptor that somebody has
// opened since, under a number that was ours, stays open, and so do the standard
// streams.
func TestClose(t *testing.T) {
	isOpen := func(fd int) bool { _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); return err == nil }
	for what, steps := range map[string]func(f *File) error{
		"new":       func(*File) error { return nil },
		"created":   (*File).Create,
		"committed": func(f *File) error { return errors.Join(f.Create(), f.Commit()) },
	} {
		f, err := New(filepath.Join(t.TempDir(), "web.pid"))
		if err != nil {
			t.Fatal(err)
		}
		dir := f.dir
		if err := steps(f); err != nil {
			t.Fatal(err)
		}
		file := f.fd
		f.Close()
		if isOpen(dir) || file >= 0 && isOpen(file) {
			t.Errorf("%s: %d or %d is open", what, dir, file)
		}
		var taken [2]int
		if err := unix.Pipe2(taken[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		f.Close()
		for _, fd := range []int{0, 1, 2, taken[0], taken[1]} {
			if !isOpen(fd) {
				t.Errorf("%s: %d was closed", what, fd)
			}
			if fd > 2 {
				unix.Close(fd)
			}
		}
	}
}
