package container

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/plain"
	"golang.org/x/sys/unix"
)

// Theory of operation
//
// A hook is fed and listened to by one loop over poll(2), in which its pidfd
// says when it has ended: a process that it leaves behind may have its standard
// error open for ever, and it may never read what it is told. What it wrote
// before its end is in the pipe by then.

// talk is what is said to a hook, and what it says.
type talk struct {
	// in leads to its standard input; out is its standard error, unless that is
	// a file.
	in, out pipe
	// stdout and stderr are the files that its output goes to; stderr is -1
	// when it goes to out.
	stdout, stderr int
	// unsaid is the part of the state that it was not told yet.
	unsaid []byte
	// words are the last that it wrote to out.
	words []byte
	// file is the name of stderr.
	file string
}

// Annotations that name a file, which counts from the bundle, to append hooks'
// output to, as crun has them.
const (
	hookStdout = "run.oci.hooks.stdout"
	hookStderr = "run.oci.hooks.stderr"
)

// newTalk makes a hook's standard streams.
func newTalk(state []byte, b *bundle.Bundle) (*talk, error) {
	none := pipe{-1, -1}
	t := &talk{in: none, out: none, stdout: -1, stderr: -1, unsaid: state}
	if err := t.open(b); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *talk) open(b *bundle.Bundle) (err error) {
	if t.stdout, _, err = hookOutput(b, hookStdout); err != nil {
		return err
	}
	if t.stderr, t.file, err = hookOutput(b, hookStderr); err != nil {
		return err
	}
	if t.stdout < 0 {
		if t.stdout, err = unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("open /dev/null: %w", err)
		}
	}
	if t.stderr < 0 {
		if err := t.out.open(); err != nil {
			return err
		}
		if err := unix.SetNonblock(t.out.read, true); err != nil {
			return err
		}
	}
	if err := t.in.open(); err != nil {
		return err
	}
	return unix.SetNonblock(t.in.write, true)
}

// hookOutput opens the file that an annotation names; -1 without one. A FIFO
// that nobody reads is an error, and not a reason to wait.
func hookOutput(b *bundle.Bundle, annotation string) (fd int, name string, err error) {
	name = b.Config.Annotations[annotation]
	if name == "" {
		return -1, "", nil
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(b.Dir, name)
	}
	fd, err = unix.Open(name, unix.O_WRONLY|unix.O_APPEND|unix.O_CREAT|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err == nil {
		err = unix.SetNonblock(fd, false)
	}
	if err != nil {
		return fd, name, fmt.Errorf("open its output %s (annotations[%s]): %w", plain.Text(name), annotation, err)
	}
	return fd, name, nil
}

// stdio are the standard streams for the hook.
func (t *talk) stdio() [3]int {
	return [3]int{t.in.read, t.stdout, max(t.stderr, t.out.write)}
}

func (t *talk) close() {
	t.in.close()
	t.out.close()
	closeOnce(&t.stdout)
	closeOnce(&t.stderr)
}

// attend talks with the process until it ends, and takes its exit status,
// which alone decides. It is killed when ctx ends.
func (t *talk) attend(ctx context.Context, pid int) error {
	t.in.closeRead()
	t.out.closeWrite()
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		unix.Kill(pid, unix.SIGKILL) // our child, and not waited for yet
		_, _ = waitFor(pid)
		return fmt.Errorf("open the process: %w", err)
	}
	defer unix.Close(pidfd)
	killed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(killed)
		_ = unix.PidfdSendSignal(pidfd, unix.SIGKILL, nil, 0)
	})
	t.untilEnd(pidfd)
	if !stop() {
		<-killed
	}
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
func (t *talk) untilEnd(pidfd int) {
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
	t.in.closeWrite()
}

// say tells the process as much as the pipe takes. Who does not read it is not
// wrong: the Go runtime turns SIGPIPE on other descriptors than 1 and 2 into
// EPIPE.
func (t *talk) say() {
	n, err := unix.Write(t.in.write, t.unsaid)
	if err == unix.EINTR || err == unix.EAGAIN {
		return
	}
	t.unsaid = t.unsaid[max(n, 0):]
	if err != nil || len(t.unsaid) == 0 {
		t.in.closeWrite()
	}
}

// Of what a hook says, the last is kept, and of that the last is shown: bytes.
const (
	keptWords  = 4 << 10
	shownWords = 500
)

// listen takes what the pipe holds, which is 64 KiB at most: pipe(7).
func (t *talk) listen() {
	b := make([]byte, 64<<10)
	n, err := unix.Read(t.out.read, b)
	if n <= 0 {
		if err != unix.EINTR && err != unix.EAGAIN {
			t.out.closeRead()
		}
		return
	}
	t.words = append(t.words, b[:n]...)
	t.words = t.words[max(len(t.words)-keptWords, 0):]
}

// withWords adds to a failure what the hook said of it.
func (t *talk) withWords(err error) error {
	if t.file != "" {
		return fmt.Errorf("%w (what it said is in %s)", err, plain.Text(t.file))
	}
	if text := lastWords(t.words); text != "" {
		return fmt.Errorf("%w: %s", err, text)
	}
	return err
}

// lastWords shows the end of what a hook said in one line of bounded length.
func lastWords(b []byte) string {
	s := strings.Join(strings.Fields(string(b)), " ")
	cut := max(len(s)-shownWords, 0)
	for cut > 0 && cut < len(s) && !utf8.RuneStart(s[cut]) {
		cut++
	}
	if cut > 0 {
		return "..." + plain.Text(s[cut:])
	}
	return plain.Text(s)
}
