package probe

import (
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
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
		{"escape", "a:x:7:7::/a\x1b[2J:\n", 7, ""},
		{"carriage return", "a:x:7:7::/a\r\n", 7, ""},
		{"delete", "a:x:7:7::/a\x7f:\n", 7, ""},
		{"not ASCII", "a:x:7:7::/ä:\n", 7, "/ä"},
		{"as long as a path can be", "a:x:7:7::/" + strings.Repeat("a", 4094) + ":\n", 7, "/" + strings.Repeat("a", 4094)},
		{"longer", "a:x:7:7::/" + strings.Repeat("a", 4095) + ":\n", 7, ""},
		{"nis", "+a:x:7:7::/a:\n", 7, ""},
		{"no name", ":x:7:7::/a:\n", 7, ""},
		{"not a number", "a:x:07x:7::/a:\n", 7, ""},
		{"empty", "", 0, ""},
	} {
		if got := HomeOf([]byte(test.passwd), test.uid); got != test.want {
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
		{"socket", func(p string) error { return unix.Mknod(p, unix.S_IFSOCK|0o644, 0) }, ""},
		{"empty", func(p string) error { return os.WriteFile(p, nil, 0o644) }, ""},
		{"under a write lease", func(p string) error { return leased(t, p) }, ""},
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
		text, err := ReadInRoot(fd, "etc/passwd", 100)
		if got := string(text); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
		if (err != nil) != (test.want == "" && test.name != "empty") {
			t.Errorf("%s: %v", test.name, err)
		}
		unix.Close(fd)
	}
}

// leased makes a file and has a write lease on it until the test ends.
func leased(t *testing.T, path string) error {
	if err := os.WriteFile(path, []byte("text"), 0o644); err != nil {
		return err
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	t.Cleanup(func() { unix.Close(fd) })
	signal.Ignore(unix.SIGIO) // tells of the breach
	_, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_WRLCK)
	return err
}

// TestReadInRootProc: nothing of procfs is read, as its readers may be made to
// wait: kmsg's for a message, cmdline's for whoever has that memory.
func TestReadInRootProc(t *testing.T) {
	root, err := unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(root)
	for _, name := range []string{"version", "kmsg", strconv.Itoa(os.Getpid()) + "/cmdline"} {
		if text, err := ReadInRoot(root, name, 1<<20); len(text) > 0 || err != nil {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}

// TestReadUpTo: a file that grows is not read to wherever its end will be.
func TestReadUpTo(t *testing.T) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	if _, err := unix.Write(p[1], []byte("more than that")); err != nil {
		t.Fatal(err)
	}
	if text, err := readUpTo(p[0], 4); text != nil || err == nil {
		t.Errorf("got %q, %v", text, err)
	}
	if _, err := readUpTo(p[0], 100); err != unix.EAGAIN {
		t.Errorf("got %v", err)
	}
}

// FuzzHomeOf wants a home that can be one, and from a line of that user.
func FuzzHomeOf(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/sh\n", uint32(0))
	f.Add("+@admins::::::\na:x:7:7::/a\x1b:\na:x:7:7::/b:", uint32(7))
	f.Add(":::::\n\n\xff:x:4294967295:0:::", uint32(1<<32-1))
	f.Fuzz(func(t *testing.T, passwd string, uid uint32) {
		home := HomeOf([]byte(passwd), uid)
		if home == "" {
			return
		}
		if home[0] != '/' || len(home) > 4095 || strings.ContainsAny(home, "\x00\n\r\x1b\x7f:") {
			t.Errorf("home %q", home)
		}
		if !strings.Contains(passwd, ":"+home) || !strings.Contains(passwd, strconv.FormatUint(uint64(uid), 10)+":") {
			t.Errorf("home %q of %d is from nowhere", home, uid)
		}
	})
}
