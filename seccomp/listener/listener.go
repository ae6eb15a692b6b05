// Package listener gives the listener of a seccomp filter to the agent that
// answers its calls: seccomp_unotify(2) and config-linux.md, listenerPath.
package listener

import (
	"errors"
	"fmt"

	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/seccomp"
	"golang.org/x/sys/unix"
)

// sendTimeout bounds, in seconds, how long a receiver that does not read may
// hold up the container's start.
const sendTimeout = 10

// Dial connects to the AF_UNIX stream socket at path, linux.seccomp's
// listenerPath, for Send. The caller closes the socket.
func Dial(path string) (socket int, err error) {
	socket, err = dial(path)
	if err != nil {
		return -1, fmt.Errorf("seccomp: connect to %q (linux.seccomp.listenerPath): %w", path, err)
	}
	return socket, nil
}

func dial(path string) (int, error) {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	err = unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: sendTimeout})
	if err == nil {
		err = connect(socket, path)
	}
	if err != nil {
		unix.Close(socket)
		return -1, err
	}
	return socket, nil
}

// Send sends the container process state with the listener, whose descriptor
// is fd, as SCM_RIGHTS (unix(7)) to the socket that Dial(path) gave. Both stay
// open. It must run in a process that does not have the filter. A receiver that
// does not read holds it up for 10 seconds at most.
func Send(socket int, path string, fd int, s seccomp.State) error {
	if err := sendMessage(socket, fd, s.Message()); err != nil {
		return fmt.Errorf("seccomp: send the listener to %q (linux.seccomp.listenerPath): %w", path, err)
	}
	return nil
}

func sendMessage(socket, fd int, message []byte) error {
	// The descriptor goes with the first byte; the rest is a plain stream.
	n, err := retry(func() (int, error) {
		return unix.SendmsgN(socket, message, unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL)
	})
	for err == nil && n < len(message) {
		message = message[n:]
		n, err = retry(func() (int, error) { return unix.SendmsgN(socket, message, nil, nil, unix.MSG_NOSIGNAL) })
	}
	return err
}

// connect takes paths of any length.
func connect(socket int, path string) error {
	if path == "" || path[0] == '@' {
		return errors.New("not a path") // '@' would mean the abstract name space
	}
	return descriptor.ConnectTo(socket, path)
}

func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}
