// Package notify passes on what a container's program says to the service manager
// by sd_notify(3), and only what a container may say.
package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/systemd"
	"golang.org/x/sys/unix"
)

// socketName is that of a relay's socket in its directory, which is bind mounted into
// the container.
const socketName = systemd.NotifySocketName

// maxMessage is what systemd takes of a datagram (NOTIFY_BUFFER_MAX, PIPE_BUF);
// it ignores a longer one, as the relay does.
const maxMessage = 4096

// barrierWord asks for an answer when all that came before is worked off.
const barrierWord = "BARRIER=1"

// isOwn reports whether a key is a program's word about itself (sd_notify(3)).
// All others are left out: MAINPID and MAINPIDFD, whose numbers mean something
// else outside; NOTIFYACCESS, which would let others speak; FDSTORE and its
// like, with which a container would have the manager hold its files; and
// whatever a later systemd adds.
func isOwn(key string) bool {
	switch key {
	case "READY", "RELOADING", "STOPPING", "MONOTONIC_USEC", "STATUS", "ERRNO", "BUSERROR", "VARLINKERROR", "EXIT_STATUS",
		"WATCHDOG", "WATCHDOG_USEC", "EXTEND_TIMEOUT_USEC", "RESTART_RESET":
		return true
	}
	return false
}

// Relay passes the notifications of a container on to the service manager,
// one datagram for one, so that they come from our own process as
// NotifyAccess=main wants it. Only a program's words about itself get through
// (isOwn). File descriptors never do, nor into this process: the kernel closes
// them. So a barrier (sd_notify_barrier(3)) ends when its datagram is taken,
// which is after the manager has worked off what came before.
//
// A manager that is gone, or does not listen, is no reason for the container
// to stop: what cannot be passed on is dropped, and what ends the relaying says why.
// It is not safe for concurrent use, but for Close.
type Relay struct {
	socket   *net.UnixConn
	upstream *net.UnixConn
	name     string
	// mainPID, if not 0, is sent as MAINPID along with READY=1: a service manager takes
	// it only for a process inside of the unit's own cgroup.
	mainPID int
	data    [maxMessage]byte
	// unsettled: something was passed on after the last barrier.
	unsettled bool
	trouble   error
}

// CheckSocket reports why nobody can be told anything at $NOTIFY_SOCKET.
func CheckSocket(upstream string) error {
	up, err := dial(upstream)
	if err != nil {
		return err
	}
	return up.Close()
}

// dial connects to $NOTIFY_SOCKET: a path, or @name in the abstract namespace.
func dial(upstream string) (*net.UnixConn, error) {
	if !strings.HasPrefix(upstream, "/") && !strings.HasPrefix(upstream, "@") {
		return nil, fmt.Errorf("systemd: notify: NOTIFY_SOCKET %q is neither a path nor an abstract name", upstream)
	}
	up, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: upstream, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("systemd: notify: NOTIFY_SOCKET %q: %s", upstream, cause(err))
	}
	return up, nil
}

// NewRelay binds the socket in a directory, for any user to write to, and
// connects to the service manager's ($NOTIFY_SOCKET). Close it in the end.
func NewRelay(directory, upstream string) (*Relay, error) {
	up, err := dial(upstream)
	if err != nil {
		return nil, err
	}
	name := filepath.Join(directory, socketName)
	socket, err := listen(directory)
	if err == nil {
		err = os.Chmod(name, 0o777)
	}
	if err != nil {
		up.Close()
		return nil, fmt.Errorf("systemd: notify: %s: %w", name, err)
	}
	return &Relay{socket: socket, upstream: up, name: name}, nil
}

// listen binds through the directory's descriptor: a socket's path may have
// 107 bytes, and state directories are deeper.
func listen(directory string) (*net.UnixConn, error) {
	dir, err := os.Open(directory)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	name := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketName)
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
}

// Close removes the socket, and ends what relays.
func (r *Relay) Close() error {
	_ = os.Remove(r.name)
	return errors.Join(r.socket.Close(), r.upstream.Close())
}

// serve relays until ctx ends (its error is returned) or until, called with
// each datagram that was passed on, says that it is enough (nil is returned).
// until may be nil. `run` serves as long as the container lives; `start` until
// isReady. What ctx interrupts is left in the socket for drain.
func (r *Relay) serve(ctx context.Context, until func(message string) bool) error {
	return r.bounded(ctx, func() error {
		for {
			message, err := r.next(ctx, true)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				return fmt.Errorf("systemd: notify: %w", err)
			}
			if until != nil && until(message) {
				return nil
			}
		}
	})
}

// drainLimit is how long a manager may keep what is left waiting, and
// barrierLimit how long it may take for what it got.
const (
	drainLimit   = 2 * time.Second
	barrierLimit = 2 * time.Second
)

// drain passes on what is in the socket now, does not wait for more, and
// returns when the manager has worked it off, so that it still finds the sender.
func (r *Relay) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	_ = r.bounded(ctx, func() error {
		for {
			if _, err := r.next(ctx, false); err != nil {
				r.settle()
				return nil
			}
		}
	})
}

// bounded calls f and, when ctx ends, ends what f waits for. Once it returns
// both sockets have no deadline any more.
func (r *Relay) bounded(ctx context.Context, f func() error) error {
	stop := proc.WhenDone(ctx, func() {
		past := time.Unix(1, 0)
		_, _ = r.socket.SetReadDeadline(past), r.upstream.SetWriteDeadline(past)
	})
	err := f()
	stop()
	_, _ = r.socket.SetReadDeadline(time.Time{}), r.upstream.SetWriteDeadline(time.Time{})
	return err
}

// next passes the socket's first datagram on, and takes it out only then; what
// was passed on is returned, or BARRIER=1 for a barrier that has ended. Without
// wait it does not wait for one: EAGAIN.
func (r *Relay) next(ctx context.Context, wait bool) (string, error) {
	n, err := r.receive(unix.MSG_PEEK, wait)
	if err != nil {
		return "", err
	}
	message, barrier := "", false
	if n <= len(r.data) {
		message, barrier = translate(string(r.data[:n]), r.mainPID)
	}
	if err := r.pass(message); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if r.trouble == nil {
			r.trouble = err
		}
	}
	if barrier {
		r.settle()
		if message == "" {
			message = barrierWord
		}
	}
	_, err = r.receive(0, false)
	return message, err
}

// receive reads the first datagram into data and returns its true length. There
// is no room for control messages: the kernel closes the descriptors in them,
// and a file of the container's whose close(2) takes for ever is not ours.
func (r *Relay) receive(flags int, wait bool) (n int, err error) {
	raw, err := r.socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	var callErr error
	read := func(fd uintptr) {
		n, _, callErr = unix.Recvfrom(int(fd), r.data[:], flags|unix.MSG_TRUNC|unix.MSG_DONTWAIT)
	}
	if wait {
		err = raw.Read(func(fd uintptr) bool { read(fd); return callErr != unix.EAGAIN })
	} else {
		err = raw.Control(read) // whatever the deadline
	}
	if err != nil {
		return 0, err
	}
	return n, callErr
}

// lines splits a message as systemd does: at \n and \r, whatever the number of
// them (strv_split_newlines in core/manager.c), without the one NUL that may end
// it.
func lines(message string) []string {
	return strings.FieldsFunc(strings.TrimSuffix(message, "\x00"), func(c rune) bool { return c == '\n' || c == '\r' })
}

// isPlain reports whether a line is the same line for every reader: no control
// characters, and no backslash at its end, with which systemd would make one
// line of it and the next.
func isPlain(line string) bool {
	return utf8.ValidString(line) && !strings.ContainsFunc(line, unicode.IsControl) && !strings.HasSuffix(line, `\`)
}

// translate leaves the lines that a container may say, and adds our MAINPID to
// READY=1. barrier reports a line that asks for one.
func translate(message string, mainPID int) (passed string, barrier bool) {
	room := maxMessage - len("\nMAINPID=4194304")
	var kept []string
	for _, line := range lines(message) {
		barrier = barrier || line == barrierWord
		key, _, assigned := strings.Cut(line, "=")
		if !assigned || !isOwn(key) || !isPlain(line) || len(line)+1 > room {
			continue
		}
		room -= len(line) + 1
		kept = append(kept, line)
	}
	if mainPID != 0 && slices.Contains(kept, "READY=1") {
		kept = append(kept, fmt.Sprintf("MAINPID=%d", mainPID))
	}
	return strings.Join(kept, "\n"), barrier
}

// isBarrier reports that the program waits for all that it said to have arrived,
// and that it has: an until of serve.
func isBarrier(message string) bool { return message == barrierWord }

// isReady reports whether a message that was passed on has READY=1: the until of
// `start`.
func isReady(message string) bool { return slices.Contains(lines(message), "READY=1") }

// pass sends a datagram on. A manager whose queue is full makes us wait, and the
// container after us, but not beyond what bounded allows.
func (r *Relay) pass(message string) error {
	if message == "" {
		return nil
	}
	if err := send(r.upstream, []byte(message), nil); err != nil {
		return fmt.Errorf("systemd: notify: pass on: %s", cause(err))
	}
	r.unsettled = true
	return nil
}

// settle waits until the manager has worked off what it got: BARRIER=1 with a
// pipe's end, which it closes (sd_notify_barrier(3)). One that knows no barriers
// closes it as well, by reading the datagram.
func (r *Relay) settle() {
	var p [2]int
	if !r.unsettled || unix.Pipe2(p[:], unix.O_CLOEXEC) != nil {
		return
	}
	r.unsettled = false
	defer unix.Close(p[0])
	err := send(r.upstream, []byte(barrierWord), unix.UnixRights(p[1]))
	unix.Close(p[1])
	deadline := time.Now().Add(barrierLimit)
	for n := 0; err == nil && n == 0; {
		left := time.Until(deadline).Milliseconds()
		if left <= 0 {
			return
		}
		if n, err = unix.Poll([]unix.PollFd{{Fd: int32(p[0])}}, int(left)); err == unix.EINTR {
			n, err = 0, nil
		}
	}
}

// send is sendmsg(2) on a connected datagram socket, which WriteMsgUnix refuses.
func send(socket *net.UnixConn, message, control []byte) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Write(func(fd uintptr) bool {
		sendErr = unix.Sendmsg(int(fd), message, control, nil, unix.MSG_NOSIGNAL)
		return sendErr != unix.EAGAIN
	})
	if err != nil {
		return err
	}
	return sendErr
}

// cause is an error's errno by its name, or its own words: podman and docker
// read "no such file or directory" anywhere in a message as a missing program.
func cause(err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return unix.ErrnoName(errno)
	}
	return err.Error()
}
