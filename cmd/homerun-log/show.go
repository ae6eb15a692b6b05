package main

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/homerun-oci/homerun/container/output"
	"github.com/homerun-oci/homerun/descriptor"
	"golang.org/x/sys/unix"
)

// show shows what is kept: args are those of output.Show.
func show(args []string) error {
	v := &view{out: os.Stdout, err: os.Stderr, last: int(number(args[2])), follow: strings.Contains(args[3], "f"), times: strings.Contains(args[3], "t"),
		callers: []int{output.ErrorFD, int(os.Stdout.Fd())}}
	if args[0] == output.Journal {
		return v.journal(args[1])
	}
	return v.files(output.DirectoryFD, output.KeeperFD)
}

// view is how output is shown.
type view struct {
	out, err      io.Writer
	last          int // lines, or -1 for all
	follow, times bool
	// within a line of standard output, and of standard error
	within [2]bool
	// callers are pipes whose other ends are gone with those for whom this is shown.
	callers []int
}

// line shows a line on the stream that it was written to.
func (v *view) line(l output.Line) error {
	to, i := v.out, 0
	if l.Stream == output.Stderr {
		to, i = v.err, 1
	}
	var text []byte
	if v.times && !v.within[i] {
		text = append(text, l.Stamp()+" "...)
	}
	text = append(text, l.Text...)
	if !l.Part {
		text = append(text, '\n')
	}
	v.within[i] = l.Part
	_, err := to.Write(text)
	return err
}

// files shows the files of a container's directory, and what comes until the keeper ends.
func (v *view) files(dir, keeper int) error {
	events := -1
	if v.follow {
		var err error
		if events, err = watch(dir); err != nil {
			return err
		}
	}
	t := &tail{dir: dir, fd: -1}
	lines := t.more()
	if !v.follow && t.fd < 0 { // turned over, and nothing is written yet
		lines = t.before()
	}
	for ended := !v.follow; ; {
		for _, l := range lastLines(lines, v.last) {
			if err := v.line(l); err != nil {
				return err
			}
		}
		if ended {
			return nil
		}
		v.last = -1
		var err error
		if ended, err = v.awaitMore(events, keeper); err != nil {
			return err
		}
		if ended && v.forNobody() {
			return nil
		}
		lines = t.more()
	}
}

// watch watches what happens to files of a directory: inotify(7).
func watch(dir int) (int, error) {
	events, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err == nil {
		_, err = unix.InotifyAddWatch(events, descriptor.Path(dir)+"/.", unix.IN_MODIFY|unix.IN_CREATE|unix.IN_MOVED_TO)
	}
	return events, err
}

// awaitMore waits until something happens to a file, or who keeps the output has ended,
// or nobody wants to see it any more: who asked was killed, or reads no further. What is
// not written to would not tell.
func (v *view) awaitMore(events, keeper int) (ended bool, err error) {
	fds := []unix.PollFd{{Fd: int32(events), Events: unix.POLLIN}, {Fd: int32(keeper), Events: unix.POLLIN}}
	for _, fd := range v.callers {
		fds = append(fds, unix.PollFd{Fd: int32(fd)}) // POLLERR alone
	}
	for {
		if _, err := unix.Poll(fds, -1); err == nil {
			break
		} else if err != unix.EINTR {
			return false, err
		}
	}
	if fds[0].Revents != 0 {
		_, _ = unix.Read(events, make([]byte, 4096))
	}
	return slices.ContainsFunc(fds[1:], func(p unix.PollFd) bool { return p.Revents != 0 }), nil
}

// forNobody reports whether a caller is gone.
func (v *view) forNobody() bool {
	for _, fd := range v.callers {
		fds := []unix.PollFd{{Fd: int32(fd)}}
		if n, err := unix.Poll(fds, 0); err == nil && n > 0 {
			return true
		}
	}
	return false
}

// lastLines are the last so many lines, each with all its parts; less than 0 are all.
func lastLines(lines []output.Line, last int) []output.Line {
	if last < 0 {
		return lines
	}
	i := len(lines)
	for ; i > 0; i-- {
		if begins := i == len(lines) || !lines[i-1].Part; begins {
			if last == 0 {
				break
			}
			last--
		}
	}
	return lines[i:]
}

// tail reads the file that is written now, and after it the next one.
type tail struct {
	dir, fd int
	rest    []byte
}

// open opens a file; -1 is for one that is not there.
func (t *tail) open(name string) int {
	fd, err := unix.Openat(t.dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

// before reads the file that was turned over last, unless it is one that was read.
func (t *tail) before(known ...uint64) []output.Line {
	older := &tail{dir: t.dir, fd: t.open(output.Before)}
	if older.fd < 0 {
		return nil
	}
	defer unix.Close(older.fd)
	if slices.Contains(known, inode(older.fd)) {
		return nil
	}
	return older.read()
}

// more reads what was added. What was turned over more than once since is gone. A file
// stays open until it is known which ones follow: its number could be another's.
func (t *tail) more() (lines []output.Line) {
	for {
		var now unix.Stat_t
		err := unix.Fstatat(t.dir, output.File, &now, unix.AT_SYMLINK_NOFOLLOW)
		if t.fd >= 0 {
			lines = append(lines, t.read()...) // after the look: nobody writes to one that was turned over
		}
		next := t.open(output.File)
		if err != nil || next < 0 || now.Ino == inode(t.fd) {
			closeFile(next)
			return lines
		}
		lines = append(lines, t.before(inode(t.fd), inode(next))...)
		closeFile(t.fd)
		t.fd, t.rest = next, nil
	}
}

func closeFile(fd int) {
	if fd >= 0 {
		unix.Close(fd)
	}
}

// read reads to the file's end for now.
func (t *tail) read() (lines []output.Line) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := unix.Read(t.fd, buffer)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			return lines
		}
		t.rest = append(t.rest, buffer[:n]...)
		for {
			text, rest, whole := bytes.Cut(t.rest, []byte{'\n'})
			if !whole {
				break
			}
			if l, ok := output.Parse(bytes.Clone(text)); ok {
				lines = append(lines, l)
			}
			t.rest = rest
		}
	}
}

func inode(fd int) uint64 {
	var st unix.Stat_t
	_ = unix.Fstat(fd, &st) // of an open file, or none
	return st.Ino
}
