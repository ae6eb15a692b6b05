package container

import (
	"errors"
	"fmt"
	"path"
	"strconv"

	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/launch"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// checkTerminal refuses a terminal that nobody takes, and a console socket that
// gets none.
func checkTerminal(p *specs.Process, consoleSocket string, taken bool) error {
	terminal := p != nil && p.Terminal
	switch {
	case !terminal && consoleSocket != "":
		return errors.New("a console socket needs process.terminal")
	case terminal && consoleSocket == "" && !taken:
		return errors.New("process.terminal needs a console socket when detached")
	}
	return nil
}

// connectConsole prepares where the terminal goes: to the caller's console socket,
// or to this process. Callers check that the message holds exactly one descriptor;
// the stage sends it straight into the socket.
func (s *starting) connectConsole(socket string) error {
	if socket != "" {
		fd, err := connectUnix(socket)
		if err == nil {
			s.launch.SetInput(compile.InputTerminal, fd)
		}
		return err
	}
	ours, theirs, err := socketPair("the terminal", unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	s.receiver = ours
	s.launch.SetInput(compile.InputTerminal, theirs)
	return nil
}

// receiveTerminal takes the terminal, which the stage has sent by now, or it has
// died: our own end of its socket would hide that.
func (s *starting) receiveTerminal() (err error) {
	s.launch.CloseInput(compile.InputTerminal)
	s.terminal, err = receiveFD(s.receiver, "the terminal")
	closeOnce(&s.receiver)
	if errors.Is(err, errNoDescriptor) {
		return launch.ErrDied
	}
	return err
}

// connectUnix connects to a UNIX socket. A path longer than a socket address
// is reached through its directory.
func connectUnix(name string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("make a socket: %w", err)
	}
	err = withSocketName(name, func(short string) error { return unix.Connect(fd, &unix.SockaddrUnix{Name: short}) })
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect to %s: %w", name, err)
	}
	return fd, nil
}

// withSocketName gives do a short name for the socket of that name, which fits
// into a socket address: 107 bytes, unix(7).
func withSocketName(name string, do func(short string) error) error {
	if len(name) <= 107 {
		return do(name)
	}
	dir, base := path.Split(name)
	d, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(d)
	return do("/proc/self/fd/" + strconv.Itoa(d) + "/" + base)
}

// receiveFD reads one message with one descriptor, that of what.
func receiveFD(socket int, what string) (int, error) {
	data, control := make([]byte, 64), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, data, control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("receive %s: %w", what, err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return -1, fmt.Errorf("receive %s: %w", what, errNoDescriptor)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, fmt.Errorf("receive %s: %w", what, errNoDescriptor)
	}
	return fds[0], nil
}

var errNoDescriptor = errors.New("init sent none")

// connectPidfd connects to a socket that will receive the process's pidfd.
func (s *starting) connectPidfd(socket string) error {
	fd, err := connectUnix(socket)
	if err == nil {
		s.pidfds = append(s.pidfds, fd)
	}
	return err
}

// sendPidfd sends the process's pidfd to the socket that is next, as runc does.
func (s *starting) sendPidfd(socket string) error {
	pid, fd := s.processID(), s.pidfds[0]
	s.pidfds = s.pidfds[1:]
	defer unix.Close(fd)
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("open process %d: %w", pid, err)
	}
	defer unix.Close(pidfd)
	if err := unix.Sendmsg(fd, []byte("pidfd"), unix.UnixRights(pidfd), nil, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("send the pidfd to %s: %w", socket, err)
	}
	return nil
}
