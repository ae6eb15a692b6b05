package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"
)

// scratch makes a state root with the directory of one container, c, locked.
func scratch(t *testing.T) (Root, *Dir) {
	t.Helper()
	r := Root(filepath.Join(t.TempDir(), "root"))
	return r, made(t, r, "c")
}

// Make makes a container's directory.
func (r Root) Make(id string) (*Dir, error) {
	d, err := r.Unmade(id)
	if err == nil {
		err = d.Make(context.Background())
	}
	return d, err
}

// made makes a container's directory, which the test's end closes.
func made(t *testing.T, r Root, id string) *Dir {
	t.Helper()
	d, err := r.Make(id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// ids lists a state root, and what is wrong with single containers.
func ids(t *testing.T, r Root) (list []string, warned []error) {
	t.Helper()
	err := r.List(func(d *Dir) error { list = append(list, d.ID); return nil }, func(err error) { warned = append(warned, err) })
	if err != nil {
		t.Fatal(err)
	}
	return list, warned
}

// verbs are all that open the state root, each for the container c.
func verbs(r Root) map[string]func() error {
	opened := func(d *Dir, err error) error {
		if err == nil {
			d.Close()
		}
		return err
	}
	return map[string]func() error{
		"make": func() error { return opened(r.Make("new")) },
		"open": func() error { return opened(r.Open(context.Background(), "c")) },
		"peek": func() error { return opened(r.Peek("c")) },
		"list": func() error { return r.List(func(*Dir) error { return nil }, func(error) {}) },
	}
}

// A container is there from Make to Remove, under its id alone.
func TestLife(t *testing.T) {
	r := Root(filepath.Join(t.TempDir(), "a", "root"))
	if list, warned := ids(t, r); list != nil || warned != nil {
		t.Errorf("a root that is missing has %v, %v", list, warned)
	}
	locked := func(id string) (*Dir, error) { return r.Open(t.Context(), id) }
	for _, do := range []func(string) (*Dir, error){locked, r.Peek} {
		if _, err := do("c"); !errors.Is(err, ErrNotExist) || !strings.Contains(err.Error(), `container "c" does not exist`) {
			t.Errorf("%v", err)
		}
	}
	unmade, err := r.Unmade("c")
	if err != nil || unmade.IsOpen() || unmade.Path() != string(r)+"/c" {
		t.Errorf("%+v, %v", unmade, err)
	}
	if _, err := os.Lstat(string(r)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the root of one that is not made: %v", err)
	}
	unmade.Close()
	d := made(t, r, "c")
	if !d.IsOpen() {
		t.Error("it is not open when it is made")
	}
	var st unix.Stat_t
	if err := unix.Lstat(string(r)+"/c", &st); err != nil || st.Mode != unix.S_IFDIR|unix.S_ISVTX|0o700 {
		t.Errorf("mode %o, %v", st.Mode, err)
	}
	if err := unix.Lstat(string(r), &st); err != nil || st.Mode != unix.S_IFDIR|0o700 {
		t.Errorf("the root has mode %o, %v", st.Mode, err)
	}
	if d.ID != "c" || d.Path() != string(r)+"/c" || d.FilePath("x") != string(r)+"/c/x" {
		t.Errorf("%q, %q, %q", d.ID, d.Path(), d.FilePath("x"))
	}
	if _, err := r.Make("c"); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), `container "c" already exists`) {
		t.Errorf("made twice: %v", err)
	}
	if _, err := r.Peek("d"); !errors.Is(err, ErrNotExist) {
		t.Errorf("another id: %v", err)
	}
	if peeked, err := r.Peek("c"); err != nil { // though it is locked
		t.Error(err)
	} else {
		peeked.Close()
	}
	if err := d.Remove(); err != nil {
		t.Error(err)
	}
	if err := d.Remove(); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if list, warned := ids(t, r); list != nil || warned != nil {
		t.Errorf("%v, %v", list, warned)
	}
	made(t, r, "c")
}

// An id is one name of a directory. Another one is nobody's, and cannot be made.
func TestIDs(t *testing.T) {
	r, _ := scratch(t)
	for _, id := range []string{"azAZ09", "web_1.x+y-z", "...", "-", strings.Repeat("x", 255)} {
		d, err := r.Make(id)
		if err != nil {
			t.Errorf("%q: %v", id, err)
			continue
		}
		d.Close()
	}
	for _, id := range []string{"", ".", "..", "a/b", "../c", "a b", "c\n", "é", "c\x00", "{", "[", "`", "@", ":", "/", "*", ",", strings.Repeat("x", 1025)} {
		if _, err := r.Make(id); err == nil || !strings.HasPrefix(err.Error(), "invalid container id") {
			t.Errorf("made %q: %v", id, err)
		}
		if _, err := r.Open(t.Context(), id); !errors.Is(err, ErrNotExist) {
			t.Errorf("opened %q: %v", id, err)
		}
		if _, err := r.Peek(id); !errors.Is(err, ErrNotExist) {
			t.Errorf("looked at %q: %v", id, err)
		}
	}
	// The longest that is an id, and no name of a file.
	if _, err := r.Make(strings.Repeat("x", 1024)); !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("%v", err)
	}
	if _, err := r.Open(t.Context(), strings.Repeat("x", 1024)); !errors.Is(err, unix.ENAMETOOLONG) {
		t.Errorf("%v", err)
	}
}

// Whoever opens a container waits for the lock, and finds out when it was removed
// meanwhile, also when another one has its id by then.
func TestLock(t *testing.T) {
	for _, again := range []bool{false, true} {
		r, d := scratch(t)
		result := make(chan error)
		go func() {
			late, err := r.Open(t.Context(), "c")
			if err == nil {
				late.Close()
			}
			result <- err
		}()
		select {
		case err := <-result:
			t.Fatalf("nobody waited for the lock: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
		if err := d.Remove(); err != nil {
			t.Fatal(err)
		}
		if again {
			made(t, r, "c")
		}
		d.Unlock()
		if err := <-result; !errors.Is(err, ErrNotExist) {
			t.Errorf("made again %v: %v", again, err)
		}
		if err := d.Lock(t.Context()); !errors.Is(err, ErrNotExist) {
			t.Errorf("locked again, made again %v: %v", again, err)
		}
		if _, err := d.ReadState(); !errors.Is(err, ErrNotExist) {
			t.Errorf("read, made again %v: %v", again, err)
		}
	}
}

// The lock can be given back and taken again; who closes it gives it back.
func TestUnlock(t *testing.T) {
	r, d := scratch(t)
	free := func() bool {
		other, err := r.Peek("c")
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		return unix.Flock(other.fd, unix.LOCK_EX|unix.LOCK_NB) == nil
	}
	if free() {
		t.Error("it is not locked when it is made")
	}
	d.Unlock()
	if !free() {
		t.Error("it is locked")
	}
	if err := d.Lock(t.Context()); err != nil || free() {
		t.Errorf("it is not locked again: %v", err)
	}
	d.Close()
	d.Close()
	if !free() || d.IsOpen() {
		t.Error("it is locked by nobody")
	}
	again, err := r.Open(t.Context(), "c")
	if err != nil || free() {
		t.Fatalf("it is not locked when it is opened: %v", err)
	}
	again.Close()
	if err := again.Lock(t.Context()); !errors.Is(err, unix.EBADF) || !strings.Contains(err.Error(), again.Path()) {
		t.Errorf("locked when closed: %v", err)
	}
	if err := again.Check(); !errors.Is(err, unix.EBADF) || !strings.Contains(err.Error(), again.Path()) {
		t.Errorf("looked at when closed: %v", err)
	}
}

// The directory of a container can be believed if it is only ours: others are
// told by who they are, and what helps. A directory that is somebody else's
// cannot be made without privileges, so here it is what fstat(2) says.
func TestPrivate(t *testing.T) {
	self := uint32(os.Geteuid())
	for _, test := range []struct {
		uid, mode  uint32
		says, hint string
	}{
		{self, 0o700, "", ""},
		{self, 0o1755, "", ""},
		{self, 0o2750, "", ""},
		{self + 1, 0o700, "belongs to user", "--root DIR"},
		{self + 1, 0o777, "belongs to user", "--root DIR"},
		{self, 0o777, "can be written by everybody (mode 0777)", "chmod go-w /there"},
		{self, 0o1703, "can be written by everybody (mode 1703)", "chmod go-w /there"},
		{self, 0o702, "can be written by everybody", "--root DIR"},
		{self, 0o775, "can be written by group 42 (mode 0775)", "chmod g-w /there"},
		{self, 0o720, "can be written by group 42", "chmod g-w /there"},
	} {
		err := private(&unix.Stat_t{Uid: test.uid, Gid: 42, Mode: unix.S_IFDIR | test.mode}, func() string { return "the thing" }, "/there")
		if test.says == "" {
			if err != nil {
				t.Errorf("%o of %d: %v", test.mode, test.uid, err)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), "the thing "+test.says) || !strings.Contains(fault.Hint(err), test.hint) {
			t.Errorf("%o of %d: %v", test.mode, test.uid, err)
		}
	}
}

// A state root that others can write is refused whoever asks, and so is a link
// to one, or what is no directory. The owner is for root to try: /usr is
// somebody else's for anybody else.
func TestForeignRoot(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(r string) error
		says  string
	}{
		"everybody": {func(r string) error { return unix.Chmod(r, 0o777) }, "can be written by everybody (mode 0777)"},
		"sticky":    {func(r string) error { return unix.Chmod(r, 0o1703) }, "can be written by everybody (mode 1703)"},
		"group":     {func(r string) error { return unix.Chmod(r, 0o770) }, "can be written by group"},
		"link":      {func(r string) error { return errors.Join(os.Rename(r, r+".real"), os.Symlink(r+".real", r)) }, "is a symbolic link"},
		"file":      {func(r string) error { return errors.Join(os.RemoveAll(r), os.WriteFile(r, nil, 0o600)) }, "is not a directory"},
		"below a file": {func(r string) error {
			return errors.Join(os.RemoveAll(filepath.Dir(r)), os.WriteFile(filepath.Dir(r), nil, 0o600))
		}, "not a directory"},
		"somebody else's": {func(r string) error { return errors.Join(os.RemoveAll(r), becomeForeign(r)) }, "belongs to user"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Root(filepath.Join(t.TempDir(), "above", "root"))
			made(t, r, "c")
			if name == "somebody else's" && os.Geteuid() != 0 {
				r = "/usr"
			} else if err := test.spoil(string(r)); err != nil {
				t.Fatal(err)
			}
			for verb, do := range verbs(r) {
				if err := do(); err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "the state root "+string(r)) {
					t.Errorf("%s: %v", verb, err)
				}
			}
		})
	}
}

// becomeForeign makes a directory of another user's.
func becomeForeign(r string) error { return errors.Join(os.Mkdir(r, 0o700), os.Chown(r, 1, -1)) }

// A container's directory that others can write is refused as well, though not
// by List, which warns and goes on with the others.
func TestForeignDirectory(t *testing.T) {
	r, d := scratch(t)
	made(t, r, "b")
	made(t, r, "d")
	d.Unlock()
	if err := unix.Chmod(d.Path(), 0o1707); err != nil {
		t.Fatal(err)
	}
	for verb, do := range verbs(r) {
		err := do()
		if verb == "open" || verb == "peek" {
			if err == nil || !strings.Contains(err.Error(), `the directory of container "c", `+d.Path()+`, can be written by everybody`) {
				t.Errorf("%s: %v", verb, err)
			}
		} else if err != nil {
			t.Errorf("%s: %v", verb, err)
		}
	}
	list, warned := ids(t, r)
	if strings.Join(list, " ") != "b d new" || len(warned) != 1 || !strings.Contains(warned[0].Error(), "written by everybody") {
		t.Errorf("%v, warned %v", list, warned)
	}
	if err := d.Lock(t.Context()); err == nil || !strings.Contains(err.Error(), "written by everybody") {
		t.Errorf("%v", err)
	}
}

// What no homerun made is no container: the sticky bit says so. It is neither listed
// nor opened, and its name cannot be had.
func TestNoContainer(t *testing.T) {
	r, _ := scratch(t)
	in := func(name string) string { return filepath.Join(string(r), name) }
	if err := errors.Join(os.Mkdir(in("empty"), 0o700), os.MkdirAll(in(".cache/x"), 0o700), os.Symlink("c", in("link")), os.Symlink("none", in("broken")),
		os.WriteFile(in("file"), nil, 0o600), unix.Mkfifo(in("fifo"), 0o600), os.Mkdir(in("an id, not"), 0o700), unix.Chmod(in("an id, not"), 0o1700)); err != nil {
		t.Fatal(err)
	}
	if list, warned := ids(t, r); strings.Join(list, " ") != "c" || warned != nil {
		t.Errorf("%v, %v", list, warned)
	}
	for _, id := range []string{"empty", ".cache", "link", "broken", "file", "fifo", "an id, not"} {
		locked := func(id string) (*Dir, error) { return r.Open(t.Context(), id) }
		for _, do := range []func(string) (*Dir, error){locked, r.Peek} {
			if _, err := do(id); !errors.Is(err, ErrNotExist) {
				t.Errorf("%s: %v", id, err)
			}
		}
		if _, err := r.Make(id); err == nil || errors.Is(err, ErrExists) || id != "an id, not" && !strings.Contains(err.Error(), "is not a container of homerun's") {
			t.Errorf("%s: %v", id, err)
		}
		if _, err := os.Lstat(in(id)); err != nil {
			t.Error(err)
		}
	}
}

// List goes by ids, closes what it opened, leaves out what vanishes and what is no
// directory, and passes on what is wrong with one.
func TestList(t *testing.T) {
	r := Root(filepath.Join(t.TempDir(), "root"))
	dirs := map[string]*Dir{}
	for _, id := range []string{"b", "a", "d", "c", "B"} {
		dirs[id] = made(t, r, id)
	}
	if err := errors.Join(os.Symlink("a", string(r)+"/link"), os.WriteFile(string(r)+"/file", nil, 0o600),
		os.Chmod(string(r)+"/file", 0o600|os.ModeSticky)); err != nil {
		t.Fatal(err)
	}
	var seen []string
	var kept []*Dir
	wrong := errors.New("wrong")
	var warned []error
	err := r.List(func(d *Dir) error {
		seen, kept = append(seen, d.ID), append(kept, d)
		switch d.ID {
		case "a":
			return wrong
		case "b":
			return dirs["c"].Remove()
		case "d":
			return missing("d")
		}
		return nil
	}, func(err error) { warned = append(warned, err) })
	if err != nil || !slices.Equal(seen, []string{"B", "a", "b", "d"}) || len(warned) != 1 || warned[0] != wrong {
		t.Errorf("%v, %v, warned %v", seen, err, warned)
	}
	for _, d := range kept {
		if d.fd != -1 || d.root != -1 || d.among != -1 {
			t.Errorf("%s is open: %d, %d, %d", d.ID, d.fd, d.root, d.among)
		}
	}
}

// No call leaves a descriptor open, whether it works or fails.
func TestDescriptors(t *testing.T) {
	r, d := scratch(t)
	d.Unlock()
	open := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if err := os.Mkdir(string(r)+"/stray", 0o700); err != nil {
		t.Fatal(err)
	}
	_ = open()
	before := open()
	for range 20 {
		for verb, do := range verbs(r) {
			if err := do(); err != nil && verb != "make" {
				t.Fatal(err)
			}
		}
		for _, id := range []string{"none", "stray"} {
			_, _ = r.Open(t.Context(), id)
			_, _ = r.Peek(id)
		}
		_, _ = r.Make("stray")
		_, _ = r.Make("c")
		_, _ = d.ReadState()
		_, _ = d.ReadExit()
		_ = d.MakeShared("hosts")
	}
	if after := open(); after != before {
		t.Errorf("%d open before, %d after", before, after)
	}
}

// Where nothing can be made, the error says where and what helps.
func TestNotWritable(t *testing.T) {
	full := "the file system at /proc is full: "
	for errno, want := range map[unix.Errno]string{unix.EROFS: "naming", unix.EACCES: "naming", unix.ENOSPC: "df /proc;", unix.EDQUOT: "df /proc;", unix.EIO: ""} {
		err := notWritable(errno, "/proc/homerun-test/root")
		hint := fault.Hint(err)
		if strings.Contains(hint, "--root DIR") != (want != "") || !strings.Contains(hint, want) || !errors.Is(err, errno) {
			t.Errorf("%v: %v", errno, err)
		}
		if text, isFull := strings.CutPrefix(err.Error(), full); text != errno.Error() || isFull != strings.HasPrefix(want, "df") {
			t.Errorf("%v: %v", errno, err)
		}
	}
	r := Root("/proc/homerun-test/root")
	if _, err := r.Make("c"); !errors.Is(err, unix.ENOENT) || !strings.HasPrefix(err.Error(), "make the state root "+string(r)+": ") || strings.Contains(err.Error(), "mkdir") {
		t.Errorf("%v", err)
	}
	if os.Geteuid() == 0 {
		return // whom permissions do not keep out
	}
	r, _ = scratch(t)
	if err := unix.Chmod(string(r), 0o500); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Chmod(string(r), 0o700) }()
	if _, err := r.Make("new"); !errors.Is(err, unix.EACCES) || fault.Hint(err) == "" || !strings.Contains(err.Error(), "make "+string(r)+"/new") {
		t.Errorf("%v", err)
	}
}

// TestCancelledLock: who waits for the lock stops with the context, and gets it
// soon after it is free.
func TestCancelledLock(t *testing.T) {
	r, held := scratch(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Open(ctx, "c"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := held.Lock(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a context that has ended: %v", err)
	}
	released := make(chan struct{})
	time.AfterFunc(20*time.Millisecond, func() {
		defer close(released)
		held.Unlock()
	})
	long, cancelLong := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancelLong()
	begun := time.Now()
	d, err := r.Open(long, "c")
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	<-released
	if took := time.Since(begun); took > time.Second {
		t.Errorf("after %s", took)
	}
}
