package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// console is a socket that receives a terminal, and the terminal.
type console struct {
	socket   int
	terminal *terminal
}

// consoles are those of a script, by the sockets' names.
type consoles map[string]*console

// command plays a caller that gives its console socket: conmon and go-runc want
// one message of 1 to 4095 bytes with exactly one descriptor.
//
//	console listen FILE            make the socket
//	console receive FILE           take the terminal, which must have been sent
//	console expect FILE TEXT       wait until the terminal shows it
//	console send FILE TEXT         type
func (c consoles) command(ts *script, neg bool, args []string) {
	usage(ts, neg || len(args) < 2, "console VERB FILE [TEXT]")
	name := ts.MkAbs(args[1])
	if args[0] == "listen" && len(args) == 2 {
		c[name] = listen(ts, name)
		return
	}
	it := c[name]
	if it == nil {
		ts.Fatalf("nobody listens on %s", name)
	}
	switch verb := args[0]; {
	case verb == "receive" && len(args) == 2:
		it.receive(ts, name)
	case verb == "expect" && len(args) == 3:
		it.terminal.expect(ts, args[2])
	case verb == "send" && len(args) == 3:
		text, err := strconv.Unquote(`"` + args[2] + `"`)
		ts.Check(err)
		_, err = it.terminal.master.WriteString(text)
		ts.Check(err)
	default:
		ts.Fatalf("console: unknown %q", args)
	}
}

// listen makes the socket. A script's directory may lie deeper than a socket's
// address is long.
func listen(ts *script, name string) *console {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	ts.Check(err)
	ts.Defer(func() { unix.Close(fd) })
	dir, err := os.Open(filepath.Dir(name))
	ts.Check(err)
	defer dir.Close()
	ts.Check(unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(name))}))
	ts.Check(unix.Listen(fd, 1))
	return &console{socket: fd}
}

// receive takes the terminal without waiting: create and exec return only
// when they have sent it.
func (c *console) receive(ts *script, name string) {
	fds := []unix.PollFd{{Fd: int32(c.socket), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 0); n != 1 {
		ts.Fatalf("nobody has connected to %s (%v)", name, err)
	}
	connection, _, err := unix.Accept4(c.socket, unix.SOCK_CLOEXEC)
	ts.Check(err)
	defer unix.Close(connection)
	data, control := make([]byte, 4096), make([]byte, unix.CmsgSpace(64))
	n, oobn, _, _, err := unix.Recvmsg(connection, data, control, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	ts.Check(err)
	if n < 1 || n > 4095 || oobn != unix.CmsgSpace(4) {
		ts.Fatalf("a message of %d bytes and %d of control; want 1 to 4095, and one descriptor", n, oobn)
	}
	messages, err := unix.ParseSocketControlMessage(control[:oobn])
	ts.Check(err)
	got, err := unix.ParseUnixRights(&messages[0])
	ts.Check(err)
	c.terminal = &terminal{master: os.NewFile(uintptr(got[0]), name), done: make(chan struct{})}
	go c.terminal.read()
	ts.Defer(func() { c.terminal.master.Close() })
}
