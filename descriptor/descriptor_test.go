package descriptor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// open counts this process's descriptors.
func open(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func pair(t *testing.T, kind int) (ours, theirs int) {
	t.Helper()
	ours, theirs, err := Pair("the test", kind)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(ours); unix.Close(theirs) })
	return ours, theirs
}

// A descriptor is closed once, 0 as any other.
func TestClose(t *testing.T) {
	before := open(t)
	a, b, err := Pair("the test", unix.SOCK_STREAM)
	if err != nil || open(t) != before+2 {
		t.Fatal(a, b, err)
	}
	for range 2 {
		Close(&a)
		Close(&b)
	}
	if a != -1 || b != -1 || open(t) != before {
		t.Errorf("%d, %d are left, and %d descriptors of %d", a, b, open(t), before)
	}
	saved, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Skip("there is no standard input")
	}
	zero := 0
	Close(&zero)
	if _, err := unix.FcntlInt(0, unix.F_GETFD, 0); err != unix.EBADF {
		t.Errorf("0 is open: %v", err)
	}
	if err := errors.Join(unix.Dup2(saved, 0), unix.Close(saved)); err != nil {
		t.Fatal(err)
	}
}

func TestPairRefused(t *testing.T) {
	if a, b, err := Pair("the moon", 99); a != -1 || b != -1 || err == nil || !strings.HasPrefix(err.Error(), "make a socket for the moon: ") {
		t.Error(a, b, err)
	}
}

// listening makes a socket that listens at a path of any length. Close may close it
// before the test ends.
func listening(t *testing.T, name string, backlog int) *int {
	t.Helper()
	t.Chdir(filepath.Dir(name))
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Close(&fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: filepath.Base(name)}), unix.Listen(fd, backlog)); err != nil {
		t.Fatal(err)
	}
	return &fd
}

// Paths that just fit into a socket address, those that do not, and those that lead
// nowhere.
func TestConnect(t *testing.T) {
	dir := t.TempDir()
	for _, length := range []int{len(dir) + 2, 107, 108, 300} {
		name := dir
		for length-len(name) > 60 {
			name += "/" + strings.Repeat("d", 40)
		}
		name += "/" + strings.Repeat("s", length-len(name)-1)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		there := listening(t, name, 5)
		fd, err := Connect(context.Background(), name)
		if err != nil {
			t.Errorf("%d bytes: %v", length, err)
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%d bytes: flags %x, %v", length, flags, err)
		}
		unix.Close(fd)
		Close(there)
		before := open(t)
		if fd, err := Connect(context.Background(), name); fd != -1 || !errors.Is(err, unix.ECONNREFUSED) || !strings.HasPrefix(err.Error(), "connect to "+name+": ") {
			t.Errorf("%d bytes, nobody listens: %d, %v", length, fd, err)
		}
		if now := open(t); now != before {
			t.Errorf("%d bytes: %d descriptors, %d before", length, now, before)
		}
	}
	for name, want := range map[string]error{
		dir + "/none":                           unix.ENOENT,
		dir + "/" + strings.Repeat("n", 150):    unix.EINVAL, // the name alone is too long
		dir + "/no/" + strings.Repeat("n", 150): unix.ENOENT,
		strings.Repeat("n", 108):                unix.ENAMETOOLONG,
		strings.Repeat("n", 107):                unix.ENOENT,
	} {
		if fd, err := Connect(context.Background(), name); fd != -1 || !errors.Is(err, want) {
			t.Errorf("%s: %d, %v, want %v", name, fd, err, want)
		}
	}
}

// Exactly one descriptor comes with a message; what else came is not kept.
func TestReceive(t *testing.T) {
	file, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	null := int(file.Fd())
	before := open(t)
	for name, test := range map[string]struct {
		send []int
		want error
	}{
		"one":  {[]int{null}, nil},
		"none": {nil, ErrNone},
		"two":  {[]int{null, null}, ErrNone},
	} {
		ours, theirs := pair(t, unix.SOCK_SEQPACKET)
		var control []byte
		if test.send != nil {
			control = unix.UnixRights(test.send...)
		}
		if err := unix.Sendmsg(theirs, []byte("x"), control, nil, 0); err != nil {
			t.Fatal(err)
		}
		fd, err := Receive(ours, "the moon")
		if (fd >= 0) != (test.want == nil) || !errors.Is(err, test.want) || err != nil && !strings.HasPrefix(err.Error(), "receive the moon: ") {
			t.Errorf("%s: %d, %v", name, fd, err)
		}
		if fd >= 0 {
			var a, b unix.Stat_t
			if err := errors.Join(unix.Fstat(fd, &a), unix.Fstat(null, &b)); err != nil || a.Rdev != b.Rdev || a.Ino != b.Ino {
				t.Errorf("%s: another file, %v", name, err)
			}
			if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
				t.Errorf("%s: flags %x, %v", name, flags, err)
			}
		}
		Close(&fd)
		Close(&ours)
		Close(&theirs)
		if now := open(t); now != before {
			t.Errorf("%s: %d descriptors, %d before", name, now, before)
		}
	}
	ours, theirs := pair(t, unix.SOCK_STREAM)
	Close(&theirs)
	if fd, err := Receive(ours, "it"); fd != -1 || !errors.Is(err, ErrNone) {
		t.Errorf("at the end: %d, %v", fd, err)
	}
	if fd, err := Receive(-1, "it"); fd != -1 || !errors.Is(err, unix.EBADF) {
		t.Errorf("no socket: %d, %v", fd, err)
	}
	credentials, peer := pair(t, unix.SOCK_STREAM)
	if err := unix.SetsockoptInt(credentials, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(peer, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if fd, err := Receive(credentials, "it"); fd != -1 || !errors.Is(err, ErrNone) {
		t.Errorf("credentials: %d, %v", fd, err)
	}
}

// A signal does not end the wait of a socket that has a time limit.
func TestConnectInterrupted(t *testing.T) {
	name := filepath.Join(t.TempDir(), "s")
	listening(t, name, 0)
	var sockets [2]int
	for i := range sockets {
		var err error
		if sockets[i], err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(sockets[i])
		if err := unix.SetsockoptTimeval(sockets[i], unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Usec: 200000}); err != nil {
			t.Fatal(err)
		}
	}
	if err := connectTo(sockets[0], name); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread := unix.Gettid()
	time.AfterFunc(50*time.Millisecond, func() { _ = unix.Tgkill(unix.Getpid(), thread, unix.SIGURG) }) // which Go itself uses
	if err := connectTo(sockets[1], name); err != unix.EAGAIN {
		t.Error(err)
	}
}

// TestReceiveOfNobody: who ends before it has accepted sends nothing.
func TestReceiveOfNobody(t *testing.T) {
	name := filepath.Join(t.TempDir(), "s")
	server := listening(t, name, 1)
	client, err := Connect(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(client)
	Close(server)
	if _, err := Receive(client, "it"); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
}
