package container

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"github.com/homerun-oci/homerun/descriptor"
	"golang.org/x/sys/unix"
)

// Streams are the standard streams of a program. One that is nil is /dev/null.
type Streams struct{ In, Out, Err *os.File }

// OwnStreams are those of this process.
func OwnStreams() Streams { return Streams{os.Stdin, writing(os.Stdout), writing(os.Stderr)} }

// writing is the file, or nil for a /dev/null that is open for reading alone: containerd's
// shim gives that to a container whose output nobody wants (ctr run --null-io), and a
// program that is told EBADF as it writes believes that it failed.
func writing(f *os.File) *os.File {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_ACCMODE != unix.O_RDONLY {
		return f
	}
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3) {
		return nil
	}
	return f
}

// files are what a program is started with, as descriptors. Close them when it is.
type files struct {
	streams Streams
	more    []*os.File
	// null is /dev/null, or -1.
	null int
}

// openFiles opens /dev/null where that is a stream.
func openFiles(s Streams, more []*os.File) (f *files, err error) {
	f = &files{s, more, -1}
	if s.In == nil || s.Out == nil || s.Err == nil {
		if f.null, err = unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
			return nil, fmt.Errorf("open /dev/null: %w", err)
		}
	}
	return f, nil
}

// stdio are the standard streams.
func (f *files) stdio() [3]int {
	return [3]int{number(f.streams.In, f.null), number(f.streams.Out, f.null), number(f.streams.Err, f.null)}
}

// rest are the others, with -1 for a gap.
func (f *files) rest() []int {
	var fds []int
	for _, file := range f.more {
		fds = append(fds, number(file, -1))
	}
	return fds
}

// number is a file's descriptor, or another one without a file.
func number(f *os.File, without int) int {
	if f == nil {
		return without
	}
	return int(f.Fd())
}

// close comes when the descriptors are not needed any more.
func (f *files) close() {
	if f != nil {
		descriptor.Close(&f.null)
		runtime.KeepAlive(f)
	}
}

// InheritedFiles are n descriptors from 3 on that this process was started with,
// for Request.Files; nil where there was none. Whoever calls it has no other use
// for them, and keeps the files: they are closed when they are forgotten.
func InheritedFiles(n int) []*os.File {
	var files []*os.File
	for fd := 3; fd < 3+n; fd++ {
		// What was left open at execve is not close-on-exec; what is was opened in
		// a gap since, by us or by Go's runtime, and must not reach a container.
		var f *os.File
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			f = os.NewFile(uintptr(fd), "descriptor "+strconv.Itoa(fd))
		}
		files = append(files, f)
	}
	return files
}
