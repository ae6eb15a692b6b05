package main

import (
	"bytes"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/container/output"
	"github.com/homerun-oci/homerun/descriptor"
	"golang.org/x/sys/unix"
)

// sink is where lines go.
type sink interface {
	write(line output.Line) error
	// close returns when all that was written is safe.
	close()
}

// keep keeps what comes through the pipes.
func keep(driver, id, more string) error {
	_ = descriptor.CloseInherited(max(output.StdoutFD, output.StderrFD) + 1) // where there is no /proc they stay
	var to sink = &file{dir: output.DirectoryFD, max: number(more) / 2}
	if driver == output.Journal {
		to = &journal{id: id, instance: more, path: journalSocket, socket: -1}
	}
	return copyAll([]*stream{{fd: output.StdoutFD, name: output.Stdout}, {fd: output.StderrFD, name: output.Stderr}}, to)
}

// copyAll copies streams to their ends.
func copyAll(streams []*stream, to sink) error {
	for len(streams) > 0 {
		var fds []unix.PollFd
		for _, s := range streams {
			fds = append(fds, unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN})
		}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return err
		}
		var left []*stream
		for i, s := range streams {
			if fds[i].Revents == 0 || s.read(to) {
				left = append(left, s)
			}
		}
		streams = left
	}
	to.close()
	return nil
}

// stream is one of the program's streams, with what of a line has come.
type stream struct {
	fd           int
	name         string
	rest, buffer []byte
}

// read reads once, and reports whether there may be more. What cannot be kept, for a
// full disk say, is lost: the program must not wait for that.
func (s *stream) read(to sink) bool {
	if s.buffer == nil {
		s.buffer = make([]byte, output.MaxLine)
	}
	n, err := unix.Read(s.fd, s.buffer)
	if err == unix.EINTR || err == unix.EAGAIN {
		return true
	}
	now := time.Now()
	if n <= 0 {
		if len(s.rest) > 0 {
			_ = to.write(output.Line{Time: now, Stream: s.name, Text: s.rest, Part: true})
		}
		return false
	}
	text := append(s.rest, s.buffer[:n]...)
	for {
		end := bytes.IndexByte(text, '\n')
		part := end < 0 && len(text) >= output.MaxLine || end > output.MaxLine
		switch {
		case part:
			_ = to.write(output.Line{Time: now, Stream: s.name, Text: text[:output.MaxLine], Part: true})
			text = text[output.MaxLine:]
		case end >= 0:
			_ = to.write(output.Line{Time: now, Stream: s.name, Text: text[:end]})
			text = text[end+1:]
		default:
			s.rest = bytes.Clone(text)
			return true
		}
	}
}

// file is a file of the container's directory. When it has half of what may be kept it
// is turned over: the one before goes.
type file struct {
	dir     int
	max     int64
	fd      int
	size    int64
	current bool
}

func (f *file) write(l output.Line) error {
	text := l.Append(nil)
	if f.current && f.size+int64(len(text)) > f.max {
		unix.Close(f.fd)
		f.current = false
		if err := unix.Renameat(f.dir, output.File, f.dir, output.Before); err != nil {
			return err
		}
	}
	if !f.current {
		fd, err := unix.Openat(f.dir, output.File, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil { // homerun rm
			return err
		}
		f.fd, f.size, f.current = fd, 0, true
	}
	n, err := unix.Write(f.fd, text)
	f.size += int64(max(n, 0))
	if err == nil && n < len(text) {
		_, err = unix.Write(f.fd, text[n:]) // says why
	}
	return err
}

func (f *file) close() {}

// journal is that of systemd: its native protocol,
// https://systemd.io/JOURNAL_NATIVE_PROTOCOL.
type journal struct {
	id, instance, path string
	socket             int
}

const (
	journalSocket = "/run/systemd/journal/socket"
	// patience is how long a journal that is started anew, or is slow, is waited for.
	patience = 10 * time.Second
	interval = 20 * time.Millisecond
)

func (j *journal) write(l output.Line) error {
	entry := j.entry(l)
	var err error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(interval) {
		if err = j.send(entry); err == nil {
			return nil
		}
	}
	return err
}

// entry is an entry as podman and docker write it: a text of fields.
func (j *journal) entry(l output.Line) []byte {
	fields := []string{"SYSLOG_IDENTIFIER=" + j.id, "CONTAINER_NAME=" + j.id, "CONTAINER_ID=" + j.instance[:12], output.InstanceField + "=" + j.instance}
	if l.Stream == output.Stderr {
		fields = append(fields, "PRIORITY=3")
	} else {
		fields = append(fields, "PRIORITY=6")
	}
	if l.Part {
		fields = append(fields, output.PartField+"=true")
	}
	text := []byte(strings.Join(fields, "\n") + "\n")
	return output.AppendField(text, "MESSAGE", l.Text)
}

// send sends one datagram; it waits while the journal has much to do.
func (j *journal) send(entry []byte) error {
	var err error
	if j.socket < 0 {
		if j.socket, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err == nil {
			if err = unix.Connect(j.socket, &unix.SockaddrUnix{Name: j.path}); err != nil {
				unix.Close(j.socket)
			}
		}
	}
	if err == nil {
		if _, err = unix.Write(j.socket, entry); err == nil {
			return nil
		}
		unix.Close(j.socket)
	}
	j.socket = -1
	return err
}

// close waits until the journal has taken what was sent: SIOCOUTQ counts what it has not,
// and nothing tells when that changes. Who has seen this process end finds all in the
// journal.
func (j *journal) close() {
	for deadline := time.Now().Add(patience); j.socket >= 0 && time.Now().Before(deadline); time.Sleep(interval) {
		if n, err := unix.IoctlGetInt(j.socket, unix.SIOCOUTQ); n == 0 || err != nil {
			return
		}
	}
}
