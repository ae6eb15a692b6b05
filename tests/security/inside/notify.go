package main

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// notify sends the messages, written as Go has strings, to the service manager,
// each with an open file, and ends at once.
func notify(messages []string) {
	if err := sendAll(messages); err != nil {
		fmt.Fprintln(os.Stderr, "notify:", err)
		os.Exit(1)
	}
}

func sendAll(messages []string) error {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	root, err := os.Open("/")
	if err != nil {
		return err
	}
	defer root.Close()
	to := &unix.SockaddrUnix{Name: os.Getenv("NOTIFY_SOCKET")}
	for _, m := range messages {
		text, err := strconv.Unquote(m)
		if err != nil {
			return err
		}
		if err := unix.Sendmsg(socket, []byte(text), unix.UnixRights(int(root.Fd())), to, 0); err != nil {
			return err
		}
	}
	return nil
}
