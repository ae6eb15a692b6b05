package container

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// pipe is a pipe whose ends are closed one by one; -1 is an end that is not
// open.
type pipe struct{ read, write int }

// open makes the pipe.
func (p *pipe) open() error {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	p.read, p.write = fds[0], fds[1]
	return nil
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
