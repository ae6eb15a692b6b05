package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"
)

// read is a file's text, by its path.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// filesOfAtMost runs something as on a disk that is full: files have at most so
// many bytes.
func filesOfAtMost(t *testing.T, size uint64, do func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Prlimit(0, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: unix.RLIM_INFINITY}, &old); err != nil {
		t.Fatal(err)
	}
	do()
	if err := unix.Prlimit(0, unix.RLIMIT_FSIZE, &old, nil); err != nil {
		t.Fatal(err)
	}
}

// Who puts another directory at the path of one that is open reaches nothing:
// what is read, written and removed is in the directory that was opened and
// checked.
func TestOpenedOnce(t *testing.T) {
	r, d := scratch(t)
	mine := &State{Version: 1, ID: "c", Pid: 7, StartTime: 8}
	if err := errors.Join(d.WriteState(mine), d.WriteInit(mine), d.WriteExit(9), d.WriteFile(ConfigFile, []byte(`{"ociVersion":"1.3.0","hostname":"mine"}`)),
		d.MakeShared("hosts"), d.WriteInPlace("hosts", []byte("mine"))); err != nil {
		t.Fatal(err)
	}
	real := string(r) + ".moved"
	theirs := map[string]string{StateFile: `{"version":1,"id":"c","pid":1}`, ConfigFile: `{"ociVersion":"1.3.0","hostname":"theirs"}`, ExitFile: "     ",
		"hosts": "theirs", InitLink: "theirs", "other": "theirs"}
	if err := errors.Join(os.Rename(string(r), real), os.MkdirAll(d.Path(), 0o700)); err != nil {
		t.Fatal(err)
	}
	for name, text := range theirs {
		if err := os.WriteFile(d.FilePath(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := d.ReadState(); err != nil || s.Pid != 7 {
		t.Errorf("state: %+v, %v", s, err)
	}
	if s, err := d.ReadInit(); err != nil || s.Pid != 7 {
		t.Errorf("init: %+v, %v", s, err)
	}
	if e, err := d.ReadExit(); err != nil || e == nil || e.Signal != "SIGKILL" {
		t.Errorf("exit: %+v, %v", e, err)
	}
	if b, err := d.Config("/bundle"); err != nil || b.Config.Hostname != "mine" || b.Dir != "/bundle" {
		t.Errorf("config: %+v, %v", b, err)
	}
	if text, err := d.ReadFile("hosts"); err != nil || string(text) != "mine" {
		t.Errorf("hosts: %q, %v", text, err)
	}
	if d.Has("other") {
		t.Error("a file of the other directory is found")
	}
	d.RemoveFile("other")
	fd, err := d.MakeFIFO(StartFIFO)
	if err := errors.Join(err, unix.Close(fd), d.WriteState(mine), d.WriteInPlace("hosts", nil), d.WriteFile(ConfigFile, nil),
		d.ReplaceFile("other", nil)); err != nil {
		t.Error(err)
	}
	if err := d.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(real + "/c"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the container's own directory is left: %v", err)
	}
	for name, want := range theirs {
		if got := read(t, d.FilePath(name)); got != want {
			t.Errorf("%s of the other directory: %q", name, got)
		}
	}
}

// What is given to calls that take paths leads to the directory that is open.
func TestDescriptorPath(t *testing.T) {
	r, d := scratch(t)
	if err := os.Rename(string(r), string(r)+".moved"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.DescriptorPath("x"), []byte("mine"), 0o600); err != nil {
		t.Error(err)
	}
	if got := read(t, string(r)+".moved/c/x"); got != "mine" {
		t.Errorf("%q", got)
	}
}

// Whatever is in a container's directory is removed with it, and what links in
// it lead to stays.
func TestRemove(t *testing.T) {
	r, d := scratch(t)
	outside := t.TempDir()
	fd, err := d.MakeFIFO(StartFIFO)
	if err := errors.Join(err, unix.Close(fd), os.WriteFile(outside+"/kept", nil, 0o600), os.MkdirAll(d.FilePath("notify/deep"), 0o755),
		os.WriteFile(d.FilePath("notify/deep/x"), nil, 0o600), os.Symlink(outside, d.FilePath("link")), os.Symlink(outside, d.FilePath("notify/link")),
		os.WriteFile(d.FilePath(".state.json.1"), nil, 0o600), os.Symlink(outside+"/kept", d.FilePath(ConfigFile)), os.Mkdir(d.FilePath(StateFile), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := d.Remove(); err != nil {
		t.Error(err)
	}
	if list, err := os.ReadDir(string(r)); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := os.Stat(outside + "/kept"); err != nil {
		t.Error(err)
	}
}

// What somebody makes meanwhile is removed too.
func TestRemoveWhileFilled(t *testing.T) {
	r, d := scratch(t)
	for range 10 {
		begun, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for i := range 1000 {
				_ = unix.Mknod(d.FilePath(strconv.Itoa(i)), unix.S_IFREG, 0) // none where the directory is gone
				if i == 10 {
					close(begun)
				}
			}
		}()
		<-begun
		if err := d.Remove(); err != nil {
			t.Fatal(err)
		}
		<-ended
		if list, err := os.ReadDir(string(r)); err != nil || len(list) != 0 {
			t.Errorf("%v, %v", list, err)
		}
		d = made(t, r, "c")
	}
}

// Of the files, those by which the container is found go last; and without a
// lock, so without the state root, there is nothing to be removed.
func TestRemoveFails(t *testing.T) {
	r, d := scratch(t)
	if err := os.WriteFile(d.FilePath("x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	peeked, err := r.Peek("c")
	if err != nil {
		t.Fatal(err)
	}
	defer peeked.Close()
	if err := peeked.Remove(); !errors.Is(err, unix.EBADF) || !strings.HasPrefix(err.Error(), "remove "+d.Path()) {
		t.Errorf("%v", err)
	}
	if _, err := os.Lstat(d.FilePath("x")); err != nil {
		t.Error(err)
	}
	// What cannot be removed is named, and what can is gone all the same.
	if os.Geteuid() == 0 {
		return // whom permissions do not keep out
	}
	if err := errors.Join(os.MkdirAll(d.FilePath("a/b"), 0o700), os.MkdirAll(d.FilePath("z/b"), 0o700), os.Chmod(d.FilePath("a"), 0o500)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Chmod(d.FilePath("a"), 0o700) }()
	if err := d.Remove(); !errors.Is(err, unix.EACCES) || !strings.Contains(err.Error(), "a: b: ") {
		t.Errorf("%v", err)
	}
	if list, err := os.ReadDir(d.Path()); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

// A file that cannot be written leaves the old one, and nothing beside it: the
// disk is full, or somebody has the temporary name.
func TestReplaceFile(t *testing.T) {
	_, d := scratch(t)
	if err := d.ReplaceFile("x", []byte("old")); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(d.FilePath("x"), &st); err != nil || st.Mode != unix.S_IFREG|0o600 {
		t.Errorf("mode %o, %v", st.Mode, err)
	}
	inode := st.Ino
	var err error
	filesOfAtMost(t, 10, func() { err = d.ReplaceFile("x", []byte("more than ten bytes")) })
	if !errors.Is(err, unix.EFBIG) {
		t.Errorf("%v", err)
	}
	if list, err := os.ReadDir(d.Path()); err != nil || len(list) != 1 || read(t, d.FilePath("x")) != "old" {
		t.Errorf("%v, %v", list, err)
	}
	big := bytes.Repeat([]byte("x"), 1<<20)
	if err := d.ReplaceFile("x", big); err != nil || read(t, d.FilePath("x")) != string(big) {
		t.Errorf("%v", err)
	}
	if err := unix.Lstat(d.FilePath("x"), &st); err != nil || st.Ino == inode {
		t.Errorf("it was written in place: %v", err)
	}
	if err := errors.Join(os.Mkdir(d.FilePath("d"), 0o700), d.WriteFile("d/x", nil)); err != nil {
		t.Fatal(err)
	}
	if err := d.ReplaceFile("d", nil); !errors.Is(err, unix.EISDIR) {
		t.Errorf("a directory: %v", err)
	}
	if list, err := os.ReadDir(d.Path()); err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
}

// A file that is mounted somewhere stays the same file, which everybody may read
// whatever the umask.
func TestWriteInPlace(t *testing.T) {
	_, d := scratch(t)
	if err := d.WriteInPlace("hosts", []byte("a")); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "open "+d.FilePath("hosts")) {
		t.Errorf("a missing one: %v", err)
	}
	old := unix.Umask(0o077)
	err := errors.Join(d.MakeShared("hosts"), d.WriteInPlace("hosts", []byte("long text")))
	unix.Umask(old)
	var before, after unix.Stat_t
	if err := errors.Join(err, unix.Lstat(d.FilePath("hosts"), &before)); err != nil || before.Mode != unix.S_IFREG|0o644 {
		t.Errorf("mode %o, %v", before.Mode, err)
	}
	if err := errors.Join(os.Chmod(d.FilePath("hosts"), 0o600), d.WriteInPlace("hosts", []byte("text"))); err != nil {
		t.Error(err)
	}
	if err := unix.Lstat(d.FilePath("hosts"), &after); err != nil || after.Ino != before.Ino || after.Mode != unix.S_IFREG|0o600 || read(t, d.FilePath("hosts")) != "text" {
		t.Errorf("%+v, %v", after, err)
	}
	filesOfAtMost(t, 1, func() { err = d.WriteInPlace("hosts", []byte("text")) })
	if !errors.Is(err, unix.EFBIG) || !strings.HasPrefix(err.Error(), "write "+d.FilePath("hosts")) {
		t.Errorf("a full disk: %v", err)
	}
}

// A link is not followed, and a FIFO is no reason to wait, whoever opens it.
func TestLinksAndFIFOs(t *testing.T) {
	_, d := scratch(t)
	target := filepath.Join(t.TempDir(), "target")
	if err := errors.Join(os.WriteFile(target, []byte("precious"), 0o600), os.Symlink(target, d.FilePath("link")), unix.Mkfifo(d.FilePath("fifo"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"write":          d.WriteFile("link", nil),
		"write in place": d.WriteInPlace("link", nil),
		"make":           d.MakeShared("link"),
		"read":           second(d.ReadFile("link")),
		"open":           second(d.OpenFile("link", unix.O_RDONLY)),
	} {
		if !errors.Is(err, unix.ELOOP) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := read(t, target); got != "precious" {
		t.Errorf("%q", got)
	}
	if err := d.WriteInPlace("fifo", nil); !errors.Is(err, unix.ENXIO) {
		t.Errorf("%v", err)
	}
	if _, err := d.ReadFile("fifo"); err == nil {
		t.Error("a FIFO is read")
	}
	if !d.Has("link") || !d.Has("fifo") || d.Has("none") {
		t.Error("Has")
	}
	d.RemoveFile("link")
	d.RemoveFile("none")
	if d.Has("link") {
		t.Error("it is not removed")
	}
}

func second[T any](_ T, err error) error { return err }

// Both ends of a FIFO are open, so that nobody waits at the other side; a name
// that is taken is an error.
func TestMakeFIFO(t *testing.T) {
	_, d := scratch(t)
	fd, err := d.MakeFIFO(OutcomeFIFO)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Lstat(d.FilePath(OutcomeFIFO), &st); err != nil || st.Mode != unix.S_IFIFO|0o600 {
		t.Errorf("mode %o, %v", st.Mode, err)
	}
	writer, err := d.OpenFile(OutcomeFIFO, unix.O_WRONLY|unix.O_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(writer)
	var b [2]byte
	if _, err := unix.Write(writer, []byte("x")); err != nil {
		t.Error(err)
	}
	if n, err := unix.Read(fd, b[:]); n != 1 || err != nil || b[0] != 'x' {
		t.Errorf("%q, %v", b[:n], err)
	}
	for _, each := range []int{fd, writer} {
		if flags, err := unix.FcntlInt(uintptr(each), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("it outlives execve: %x, %v", flags, err)
		}
	}
	if _, err := d.MakeFIFO(OutcomeFIFO); !errors.Is(err, unix.EEXIST) || !strings.Contains(err.Error(), "the FIFO outcome") {
		t.Errorf("%v", err)
	}
}

// A config that is missing or damaged says so.
func TestConfig(t *testing.T) {
	_, d := scratch(t)
	if _, err := d.Config("/"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing one: %v", err)
	}
	var known *fault.Error
	if err := d.WriteFile(ConfigFile, []byte("{")); err != nil {
		t.Error(err)
	}
	if _, err := d.Config("/"); !errors.As(err, &known) {
		t.Errorf("a damaged one: %v", err)
	}
}

// TestAwaitMade: who waits for the mark hears at once of it, and of the directory's end,
// and otherwise waits as long as it says.
func TestAwaitMade(t *testing.T) {
	const long = 10 * time.Second
	for name, c := range map[string]struct {
		limit time.Duration
		do    func(*Dir) error
		made  bool
		want  error
	}{
		"marked":  {long, (*Dir).MarkMade, true, nil},
		"removed": {long, (*Dir).Remove, false, ErrNotExist},
		"neither": {20 * time.Millisecond, func(*Dir) error { return nil }, false, nil},
	} {
		r, d := scratch(t)
		waits, err := r.Peek("c")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(waits.Close)
		done := make(chan error, 1)
		time.AfterFunc(20*time.Millisecond, func() { done <- c.do(d) })
		begun := time.Now()
		if made, err := waits.AwaitMade(t.Context(), c.limit); made != c.made || !errors.Is(err, c.want) || time.Since(begun) > long/2 {
			t.Errorf("%s: %t, %v after %v", name, made, err, time.Since(begun))
		}
		if err := <-done; err != nil {
			t.Error(name, err)
		}
	}
	_, d := scratch(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if made, err := d.AwaitMade(ended, long); made || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %t, %v", made, err)
	}
	if err := d.MarkMade(); err != nil {
		t.Fatal(err)
	}
	if made, err := d.AwaitMade(t.Context(), long); !made || err != nil {
		t.Errorf("made before: %t, %v", made, err)
	}
}
