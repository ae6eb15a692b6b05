package probe

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestStreams: only what ends with its descriptors is given away. Neighbours
// tried: files written, read and without a name, directories, FIFOs,
// /dev/null, other devices, terminals, sockets, closed descriptors.
func TestStreams(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	must(os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	open := func(p string, flags int) int {
		t.Helper()
		fd, err := unix.Open(p, flags|unix.O_CLOEXEC|unix.O_NOCTTY, 0o600)
		must(err)
		t.Cleanup(func() { unix.Close(fd) })
		return fd
	}
	var pipe [2]int
	must(unix.Pipe2(pipe[:], unix.O_CLOEXEC))
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(err)
	memory, err := unix.MemfdCreate("log", unix.MFD_CLOEXEC)
	must(err)
	for name, test := range map[string]struct {
		fd   int
		give bool
	}{
		"pipe read": {pipe[0], true}, "pipe written": {pipe[1], true}, "socket": {pair[0], true},
		"file read": {open(dir+"/file", unix.O_RDONLY), false}, "file written": {open(dir+"/file", unix.O_WRONLY), false},
		"memfd":     {memory, false},
		"directory": {open(dir, unix.O_RDONLY), false}, "fifo": {open(dir+"/fifo", unix.O_RDWR), false},
		"null": {open("/dev/null", unix.O_RDWR), false}, "zero": {open("/dev/zero", unix.O_RDWR), false},
		"terminal": {open("/dev/ptmx", unix.O_RDWR), false}, "closed": {-1, false},
	} {
		if got := Streams([3]int{test.fd, pipe[0], -1}); got[0].Give != test.give || !got[1].Give || got[2].Give {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}
