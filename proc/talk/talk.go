// Package talk starts no process, and talks with one that somebody has started: it
// feeds its standard input, hears its standard error, and takes its exit status.
//
// # Theory of operation
//
// One loop over poll(2) feeds and listens, in which the process's pidfd says when it
// has ended: a process that it leaves behind may have its standard error open for
// ever, and it may never read what it is told. What it wrote before its end is in the
// pipe by then. The exit status alone decides; the words explain.
package talk

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/plain"
	"github.com/homerun-oci/homerun/proc"
	"golang.org/x/sys/unix"
)

// Talk is what is said to a process, and what it says. It is a value of one caller:
// not safe for concurrent use.
type Talk struct {
	// in leads to its standard input; out is its standard error, unless that is
	// a file.
	in, out pipe
	// stdout and stderr are the files that its output goes to; stderr is -1
	// when it goes to out.
	stdout, stderr int
	// unsaid is the part of the input that it was not told yet.
	unsaid []byte
	// words are the last that it wrote to out.
	words []byte
}

// New makes the standard streams of a process that is told something. stdout and
// stderr are descriptors that become the Talk's, also on an error; -1 is /dev/null
// for the one, and for the other what is heard. Close it.
func New(tell []byte, stdout, stderr int) (*Talk, error) {
	none := pipe{-1, -1}
	t := &Talk{in: none, out: none, stdout: stdout, stderr: stderr, unsaid: tell}
	if err := t.open(); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// Hearing makes the standard error of a process whose other streams are somebody
// else's. Close it.
func Hearing() (*Talk, error) {
	none := pipe{-1, -1}
	t := &Talk{in: none, out: none, stdout: -1, stderr: -1}
	if err := t.hear(); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func (t *Talk) open() (err error) {
	if t.stdout < 0 {
		if t.stdout, err = unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("open /dev/null: %w", err)
		}
	}
	if t.stderr < 0 {
		if err := t.hear(); err != nil {
			return err
		}
	}
	if err := t.in.open(); err != nil {
		return err
	}
	return unix.SetNonblock(t.in.write, true)
}

func (t *Talk) hear() error {
	if err := t.out.open(); err != nil {
		return err
	}
	return unix.SetNonblock(t.out.read, true)
}

// Stdio are the standard streams for the process; -1 where they are somebody else's.
func (t *Talk) Stdio() [3]int {
	return [3]int{t.in.read, t.stdout, max(t.stderr, t.out.write)}
}

// Close closes the streams.
func (t *Talk) Close() {
	t.in.close()
	t.out.close()
	descriptor.Close(&t.stdout)
	descriptor.Close(&t.stderr)
}

// Attend talks with the process, a child of this one, until it ends, and takes its
// exit status. It is killed when ctx ends. An error says how it ended, unless that
// was well.
func (t *Talk) Attend(ctx context.Context, pid int) error {
	descriptor.Close(&t.in.read)
	descriptor.Close(&t.out.write)
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		unix.Kill(pid, unix.SIGKILL) // our child, and not waited for yet
		_, _ = waitFor(pid)
		return fmt.Errorf("open the process: %w", err)
	}
	defer unix.Close(pidfd)
	stop := proc.WhenDone(ctx, func() { _ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0) })
	t.untilEnd(pidfd)
	stop()
	status, err := waitFor(pid)
	switch {
	case err != nil:
		return fmt.Errorf("wait for process %d: %w", pid, err)
	case status.Signaled():
		return fmt.Errorf("killed by %s", unix.SignalName(status.Signal()))
	case status.ExitStatus() != 0:
		return fmt.Errorf("exit status %d", status.ExitStatus())
	}
	return nil
}

// waitFor takes the exit status of a child.
func waitFor(pid int) (status unix.WaitStatus, err error) {
	for {
		if _, err = unix.Wait4(pid, &status, 0, nil); err != unix.EINTR {
			return status, err
		}
	}
}

// untilEnd feeds the process and listens to it, until it ends.
func (t *Talk) untilEnd(pidfd int) {
	for ended := false; !ended; {
		fds := [...]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}, {Fd: int32(t.in.write), Events: unix.POLLOUT},
			{Fd: int32(t.out.read), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds[:], -1); err == unix.EINTR {
			continue
		} else if err != nil {
			break // the wait for its status will do
		}
		ended = fds[0].Revents != 0
		if fds[1].Revents != 0 {
			t.say()
		}
		if fds[2].Revents != 0 || ended {
			t.listen()
		}
	}
	descriptor.Close(&t.in.write)
}

// say tells the process as much as the pipe takes. Who does not read it is not
// wrong: the Go runtime turns SIGPIPE on other descriptors than 1 and 2 into
// EPIPE.
func (t *Talk) say() {
	n, err := unix.Write(t.in.write, t.unsaid)
	if err == unix.EINTR || err == unix.EAGAIN {
		return
	}
	t.unsaid = t.unsaid[max(n, 0):]
	if err != nil || len(t.unsaid) == 0 {
		descriptor.Close(&t.in.write)
	}
}

// Of what a process says, the last is kept, and of that the last is shown: bytes.
const (
	keptWords  = 4 << 10
	shownWords = 500
)

// listen takes what the pipe holds, which is 64 KiB at most: pipe(7).
func (t *Talk) listen() {
	b := make([]byte, 64<<10)
	n, err := unix.Read(t.out.read, b)
	if n <= 0 {
		if err != unix.EINTR && err != unix.EAGAIN {
			descriptor.Close(&t.out.read)
		}
		return
	}
	t.words = append(t.words, b[:n]...)
	t.words = t.words[max(len(t.words)-keptWords, 0):]
}

// Words are the last that was heard, in one line of bounded length.
func (t *Talk) Words() string {
	s := strings.Join(strings.Fields(string(t.words)), " ")
	cut := max(len(s)-shownWords, 0)
	for cut > 0 && cut < len(s) && !utf8.RuneStart(s[cut]) {
		cut++
	}
	if cut > 0 {
		return "..." + plain.Text(s[cut:])
	}
	return plain.Text(s)
}

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

func (p *pipe) close() {
	descriptor.Close(&p.read)
	descriptor.Close(&p.write)
}
