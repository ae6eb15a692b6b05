// Package listener gives the listener of a seccomp filter to the agent that
// answers its calls: seccomp_unotify(2) and config-linux.md, listenerPath.
package listener

import "golang.org/x/sys/unix"

// send sends a message with a descriptor, which stays open, as SCM_RIGHTS (unix(7)).
// It must run in a process that does not have the filter. A receiver that does not
// read holds it up for as long as descriptor.Connect says at most.
func send(socket, fd int, message []byte) error {
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

func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}
