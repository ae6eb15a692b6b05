package container

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/descriptor"
	"github.com/homerun-oci/homerun/launch"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// checkTerminal refuses a terminal that nobody takes, and a console socket that
// gets none. Detached: no caller is there to take it.
func checkTerminal(p *specs.Process, consoleSocket string, detached bool) error {
	terminal := p != nil && p.Terminal
	switch {
	case !terminal && consoleSocket != "":
		return errors.New("a console socket needs process.terminal")
	case terminal && consoleSocket == "" && detached:
		return errors.New("process.terminal needs a console socket when detached")
	}
	return nil
}

// connectConsole prepares where the terminal goes: to the caller's console socket,
// or to this process. Callers check that the message holds exactly one descriptor;
// the stage sends it straight into the socket.
func (s *starting) connectConsole(ctx context.Context, socket string) error {
	if socket != "" {
		fd, err := descriptor.Connect(ctx, socket)
		if err == nil {
			s.launch.SetInput(compile.InputTerminal, fd)
		}
		return err
	}
	ours, theirs, err := descriptor.Pair("the terminal", unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	s.receiver = ours
	s.launch.SetInput(compile.InputTerminal, theirs)
	return nil
}

// openDevpts opens the container's /dev/pts, in which the stage makes the terminal of
// an exec. Any other file system there is refused: it could be the container's own.
func (s *starting) openDevpts() error {
	const what = "make the terminal in the container's /dev/pts (process.terminal): "
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", s.c.State.Pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf(what+"%w", err)
	}
	defer unix.Close(root)
	fd, err := unix.Openat2(root, "dev/pts", &unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
	if err == unix.ENOENT {
		return errors.New(what + "there is none")
	}
	if err != nil {
		return fmt.Errorf(what+"%w", err)
	}
	s.launch.SetInput(compile.InputDevpts, fd)
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return fmt.Errorf(what+"%w", err)
	}
	if st.Type != unix.DEVPTS_SUPER_MAGIC {
		return errors.New(what + "it is no devpts")
	}
	return nil
}

// receiveTerminal takes the terminal, which the stage has sent by now, or it has
// died: our own end of its socket would hide that.
func (s *starting) receiveTerminal() (err error) {
	s.launch.CloseInput(compile.InputTerminal)
	s.terminal, err = descriptor.Receive(s.receiver, "the terminal")
	descriptor.Close(&s.receiver)
	if errors.Is(err, descriptor.ErrNone) {
		return launch.ErrDied
	}
	return err
}

// takeTerminal gives the terminal away, if this process has it.
func (s *starting) takeTerminal() *os.File {
	if s.terminal < 0 {
		return nil
	}
	f := os.NewFile(uintptr(s.terminal), "terminal")
	s.terminal = -1
	return f
}

// connectPidfd connects to a socket that will receive the process's pidfd.
func (s *starting) connectPidfd(ctx context.Context, socket string) error {
	fd, err := descriptor.Connect(ctx, socket)
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
