package copytree

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"
)

func open(t *testing.T, dir string) int {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// TestCopy copies each kind of file that an ordinary person can make. A link to
// a directory and one to nothing stay links, a directory that nobody may write
// to gets its files first, and holes stay holes.
func TestCopy(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	in := func(p string) string { return filepath.Join(from, p) }
	must(t, os.MkdirAll(in("dir/deep"), 0o755), os.WriteFile(in("dir/deep/file"), []byte("deep"), 0o640),
		os.Symlink("/etc", in("link")), os.Symlink("nowhere", in("dangling")), unix.Mkfifo(in("pipe"), 0o604),
		os.WriteFile(in("suid"), nil, 0o755), os.Truncate(in("suid"), 1<<40), // which takes the bit from others than root
		os.Chmod(in("suid"), os.ModeSetuid|0o755), os.WriteFile(in("big"), []byte(strings.Repeat("0123456789", 1<<20)), 0o600))
	must(t, os.Mkdir(in("many"), 0o700))
	for i := range 1000 {
		must(t, os.Mkdir(in("many/"+strings.Repeat("n", 1+i%200)+string(rune('a'+i/200))), 0o700))
	}
	must(t, os.Chmod(in("dir"), 0o555))
	defer os.Chmod(in("dir"), 0o755)
	must(t, os.Chmod(from, os.ModeSticky|0o777))
	if err := Copy(context.Background(), open(t, from), open(t, to), Options{Mode: true}); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(filepath.Join(to, "dir"), 0o755)
	for p, want := range map[string]os.FileMode{".": os.ModeDir | os.ModeSticky | 0o777, "dir": os.ModeDir | 0o555, "dir/deep/file": 0o640,
		"link": os.ModeSymlink | 0o777, "dangling": os.ModeSymlink | 0o777, "pipe": os.ModeNamedPipe | 0o604, "suid": os.ModeSetuid | 0o755, "big": 0o600} {
		st, err := os.Lstat(filepath.Join(to, p))
		if err != nil || st.Mode() != want {
			t.Errorf("%s: %v %v, want %v", p, st.Mode(), err, want)
		}
	}
	text, err := os.ReadFile(filepath.Join(to, "big"))
	if err != nil || string(text) != strings.Repeat("0123456789", 1<<20) {
		t.Errorf("the big file has %d other bytes, %v", len(text), err)
	}
	if list, err := os.ReadDir(filepath.Join(to, "many")); err != nil || len(list) != 1000 {
		t.Errorf("%d entries, %v, want 1000", len(list), err)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(to, "suid"), &st); err != nil || st.Size != 1<<40 || st.Blocks != 0 {
		t.Errorf("a file of holes: size %d, %d blocks, %v", st.Size, st.Blocks, err)
	}
}

// TestErrors: what is wrong is said with the path in the tree.
func TestErrors(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	must(t, os.Mkdir(filepath.Join(from, "d"), 0o755), os.WriteFile(filepath.Join(from, "d/f"), nil, 0o644),
		os.Mkdir(filepath.Join(to, "d"), 0o755))
	err := Copy(context.Background(), open(t, from), open(t, to), Options{})
	var e *fault.Error
	if !errors.As(err, &e) || e.What != `copy "d"` || !errors.Is(err, unix.EEXIST) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Copy(ctx, open(t, from), open(t, t.TempDir()), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestChangedMeanwhile: what became something else between the look at it and its
// opening is an error at once, and leads nowhere: a link, to a file or a directory
// outside; a FIFO that nobody writes to; a directory; a file whose lease is held.
func TestChangedMeanwhile(t *testing.T) {
	outside, from, to := t.TempDir(), t.TempDir(), t.TempDir()
	in := func(p string) string { return filepath.Join(from, p) }
	must(t, os.Mkdir(filepath.Join(outside, "d"), 0o755), os.WriteFile(filepath.Join(outside, "d/secret"), []byte("secret"), 0o644),
		os.Symlink(filepath.Join(outside, "d"), in("dir")), os.Mkdir(filepath.Join(to, "dir"), 0o755), os.Symlink(filepath.Join(outside, "d/secret"), in("file")),
		unix.Mkfifo(in("fifo"), 0o644), os.Mkdir(in("tree"), 0o755), os.WriteFile(in("leased"), []byte("x"), 0o644), os.WriteFile(in("plain"), []byte("x"), 0o644))
	holder, err := os.OpenFile(in("leased"), os.O_WRONLY, 0)
	must(t, err)
	defer holder.Close()
	if _, err := unix.FcntlInt(holder.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Fatalf("take a lease: %v", err)
	}
	a, b, c := open(t, from), open(t, to), &copier{ctx: t.Context()}
	for name, test := range map[string]struct {
		copy func(name string) error
		want []unix.Errno
	}{
		"dir":    {func(name string) error { return c.directory(a, b, name, &unix.Stat_t{}, false) }, []unix.Errno{unix.ENOTDIR, unix.ELOOP}},
		"file":   {func(name string) error { return c.file(a, b, name) }, []unix.Errno{unix.ELOOP}},
		"fifo":   {func(name string) error { return c.file(a, b, name) }, []unix.Errno{unix.ESTALE}},
		"tree":   {func(name string) error { return c.file(a, b, name) }, []unix.Errno{unix.ESTALE}},
		"leased": {func(name string) error { return c.file(a, b, name) }, []unix.Errno{unix.EWOULDBLOCK}},
		"plain":  {func(name string) error { return c.link(a, b, name, &unix.Stat_t{}) }, []unix.Errno{unix.EINVAL}},
	} {
		done := make(chan error, 1)
		go func() { done <- test.copy(name) }()
		select {
		case err := <-done:
			if !slices.ContainsFunc(test.want, func(e unix.Errno) bool { return errors.Is(err, e) }) {
				t.Errorf("%s: %v, want %v", name, err, test.want)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%s keeps the copier waiting", name)
		}
	}
	list, err := os.ReadDir(to)
	if inside, e := os.ReadDir(filepath.Join(to, "dir")); errors.Join(err, e) != nil || len(list) != 1 || len(inside) != 0 {
		t.Errorf("copied %v and %v, %v %v", list, inside, err, e)
	}
}

// TestRace: somebody changes each entry between a link out of the tree, a FIFO,
// a directory and a file while it is copied. Nothing of outside is ever in the
// copy, and nothing hangs.
func TestRace(t *testing.T) {
	outside, from := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "f"), []byte("secret"), 0o644), os.Mkdir(filepath.Join(outside, "d"), 0o755),
		os.WriteFile(filepath.Join(outside, "d/secret"), []byte("secret"), 0o644))
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		f, d := filepath.Join(from, "f"), filepath.Join(from, "d")
		for {
			for _, change := range []func() error{
				func() error { return os.WriteFile(f, []byte("mine"), 0o644) }, func() error { return os.Remove(f) },
				func() error { return os.Symlink(filepath.Join(outside, "f"), f) }, func() error { return os.Remove(f) },
				func() error { return unix.Mkfifo(f, 0o644) }, func() error { return os.Remove(f) },
				func() error { return os.Mkdir(d, 0o755) }, func() error { return os.Remove(d) },
				func() error { return os.Symlink(filepath.Join(outside, "d"), d) }, func() error { return os.Remove(d) },
			} {
				_ = change()
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	for range 100 {
		to, err := os.MkdirTemp("", "homerun-copytree-")
		must(t, err)
		_ = Copy(context.Background(), open(t, from), open(t, to), Options{}) // may fail, and may not lie
		if text, err := os.ReadFile(filepath.Join(to, "d/secret")); err == nil && !isLink(filepath.Join(to, "d")) {
			t.Fatalf("a directory of outside was copied: %q", text)
		}
		if st, err := os.Lstat(filepath.Join(to, "f")); err == nil && st.Mode().IsRegular() {
			if text, _ := os.ReadFile(filepath.Join(to, "f")); string(text) == "secret" {
				t.Fatal("a file of outside was copied")
			}
		}
		must(t, os.RemoveAll(to))
	}
	close(stop)
	<-done
}

func isLink(p string) bool {
	st, err := os.Lstat(p)
	return err == nil && st.Mode()&os.ModeSymlink != 0
}

// TestArgs: the program reads the options that it was told.
func TestArgs(t *testing.T) {
	o := Options{Mode: true, Devices: true}
	if args := o.Args(); !slices.Equal(args, []string{ProgramName, "mode", "devices"}) {
		t.Errorf("%q", args)
	}
}

// TestMain is also the program.
func TestMain(m *testing.M) {
	if os.Args[0] == ProgramName {
		os.Exit(Program(os.Args))
	}
	os.Exit(m.Run())
}

// TestForsaken: the program does not copy on when who started it has ended, as at a
// kill -9.
func TestForsaken(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	for n := range 3000 {
		must(t, os.WriteFile(filepath.Join(from, strconv.Itoa(n)), nil, 0o600))
	}
	in, err := os.Open(from)
	must(t, err)
	out, err := os.Open(to)
	must(t, err)
	hears, says, err := os.Pipe()
	must(t, err, hears.Close())
	c := exec.Cmd{Path: "/proc/self/exe", Args: Options{}.Args(), Stdin: in, Stdout: out, Stderr: says}
	if err := c.Run(); err == nil {
		t.Error("it copied everything, for nobody")
	}
	must(t, in.Close(), out.Close(), says.Close())
}
