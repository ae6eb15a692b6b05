// Package descriptor has how descriptors come from one process to another, and go:
// UNIX sockets, by paths of any length, the messages that carry a descriptor, and
// the closing of one that may be closed already.
//
// # Theory of operation
//
// A descriptor is a number here, and -1 is one that is not open. A message carries
// exactly one descriptor, with some bytes that nobody reads; who sends none, or ends
// without a message, is told from a call that fails: ErrNone. A socket address holds
// 107 bytes (unix(7)), and a state root or an engine's directory may be deeper: a
// longer path is reached through the descriptor of its directory.
package descriptor

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNone says that a message, or the end of a connection, brought no descriptor.
var ErrNone = errors.New("none was sent")

// Close closes a descriptor that is open, and makes it -1.
func Close(fd *int) {
	if *fd >= 0 {
		unix.Close(*fd)
		*fd = -1
	}
}

// Pair makes two sockets that are connected; what is what they are for.
func Pair(what string, kind int) (ours, theirs int, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, fmt.Errorf("make a socket for %s: %w", what, err)
	}
	return pair[0], pair[1], nil
}

// acceptLimit is how long the owner of a socket may take to accept, or to make room
// for what is sent.
const acceptLimit = 10 * time.Second

// Connect connects to the UNIX stream socket of a path. While there are too many whom
// its owner has not accepted, it waits, for 10 seconds at most, and until ctx ends,
// whose error is wrapped then. What is sent on the socket may wait for as long.
func Connect(ctx context.Context, name string) (socket int, err error) {
	return connect(ctx, name, acceptLimit)
}

func connect(ctx context.Context, name string, limit time.Duration) (socket int, err error) {
	socket, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make a socket: %w", err)
	}
	if err = untilAccepted(ctx, socket, name, limit); err == nil {
		err = setLimit(socket, limit)
	}
	if err != nil {
		unix.Close(socket)
		return -1, fmt.Errorf("connect to %s: %w", name, err)
	}
	return socket, nil
}

// untilAccepted connects a socket. The kernel wakes who waits in connect(2) as soon as
// there is room; poll(2) tells nobody.
func untilAccepted(ctx context.Context, socket int, name string, limit time.Duration) error {
	for deadline := time.Now().Add(limit); ; limit = time.Until(deadline) {
		if limit <= 0 {
			return fmt.Errorf("who listens there accepts nobody: %w", unix.EAGAIN)
		}
		if err := setLimit(socket, min(limit, cancelInterval)); err != nil {
			return err
		}
		if err := connectTo(socket, name); err != unix.EAGAIN {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// cancelInterval is how long a context's end may be noticed late: nothing but a signal
// of the waiting thread ends a connect(2) before its time.
const cancelInterval = 100 * time.Millisecond

// setLimit says how long connect(2) and send(2) may wait: SO_SNDTIMEO in socket(7).
// It is more than nothing, which would be for ever.
func setLimit(socket int, limit time.Duration) error {
	wait := unix.NsecToTimeval(max(limit, time.Millisecond).Nanoseconds())
	return unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &wait)
}

// Path leads to what a descriptor of this process means: proc_pid_fd(5).
func Path(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// maxAddress is what a socket address holds beside the last NUL, in bytes: unix(7).
const maxAddress = 107

// connectTo connects a socket to that of a path. The error is the errno alone.
func connectTo(socket int, name string) error {
	if len(name) > maxAddress {
		dir, base := path.Split(name)
		if dir == "" {
			return unix.ENAMETOOLONG
		}
		d, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(d)
		name = Path(d) + "/" + base
	}
	for {
		// A signal interrupts what waits, with a limit as a seccomp agent's socket has: signal(7).
		if err := unix.Connect(socket, &unix.SockaddrUnix{Name: name}); err != unix.EINTR {
			return err
		}
	}
}

// Receive reads one message with one descriptor, that of what. It waits for the
// message. Errors are ErrNone, or what the kernel says.
func Receive(socket int, what string) (fd int, err error) {
	data, control := make([]byte, 64), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, data, control, unix.MSG_CMSG_CLOEXEC)
	if err == unix.ECONNRESET { // it ended before it accepted
		err = ErrNone
	}
	if err != nil {
		return -1, fmt.Errorf("receive %s: %w", what, err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return -1, fmt.Errorf("receive %s: %w", what, ErrNone)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		for _, fd := range fds {
			unix.Close(fd)
		}
		return -1, fmt.Errorf("receive %s: %w", what, ErrNone)
	}
	return fds[0], nil
}
