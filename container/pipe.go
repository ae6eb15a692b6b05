package container

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"
)

// pipe is a pipe whose ends are closed one by one.
type pipe struct{ read, write int }

// pipes makes one pipe to a process and one from it.
func pipes() (in, out *pipe, err error) {
	if in, err = newPipe(); err != nil {
		return nil, nil, err
	}
	if out, err = newPipe(); err != nil {
		in.close()
	}
	return in, out, err
}

func newPipe() (*pipe, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	return &pipe{fds[0], fds[1]}, nil
}

func (p *pipe) closeRead()  { closeOnce(&p.read) }
func (p *pipe) closeWrite() { closeOnce(&p.write) }

func (p *pipe) close() {
	p.closeRead()
	p.closeWrite()
}

func closeOnce(fd *int) {
	if *fd >= 0 {
		unix.Close(*fd)
		*fd = -1
	}
}

// feed writes all of b and closes the end. Who does not read it is not wrong:
// the Go runtime turns SIGPIPE on other descriptors than 1 and 2 into EPIPE.
func (p *pipe) feed(b []byte) {
	defer p.closeWrite()
	_ = writeAll(p.write, b)
}

// writeAll writes all of b. An error is an errno.
func writeAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(fd, b)
		if err != nil && err != unix.EINTR {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}

// drain reads until the other side is closed, and keeps a bounded part.
func (p *pipe) drain(to *bytes.Buffer) {
	b := make([]byte, 4096)
	for {
		n, err := unix.Read(p.read, b)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			return
		}
		if to.Len() < 64<<10 {
			to.Write(b[:n])
		}
	}
}
