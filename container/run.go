package container

import (
	"context"
	"fmt"

	"github.com/homerun-oci/homerun/compile"
	"golang.org/x/sys/unix"
)

// Process is a running init.
type Process struct {
	// Pid is its id as the caller sees it. It is the caller's child.
	Pid int
	// Terminal is the runtime's end of the container's terminal, or -1.
	Terminal int
	pidfd    int
	// Notes and Warnings tell what was decided without being asked, and what
	// is ignored.
	Notes, Warnings []string
}

// Start makes a container and starts its program.
func Start(ctx context.Context, r Request) (*Process, error) {
	p, err := prepare(r, compile.Options{})
	if err != nil {
		return nil, err
	}
	l := &launch{result: p.result, facts: p.facts, name: "homerun", stdio: r.Stdio, inputs: map[string]int{}}
	process := &Process{Terminal: -1, pidfd: -1, Notes: p.result.Notes, Warnings: p.result.Warnings}
	if r.Bundle.Config.Process.Terminal {
		err = p.withTerminal(ctx, l, process)
	} else {
		process.Pid, err = l.start(ctx)
	}
	if err == nil {
		// Init is our child and not waited for, so the id is its own.
		process.pidfd, err = unix.PidfdOpen(process.Pid, 0)
	}
	return process, err
}

// withTerminal starts the container and receives its terminal.
func (p *prepared) withTerminal(ctx context.Context, l *launch, process *Process) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a socket for the terminal: %w", err)
	}
	defer unix.Close(pair[0])
	l.inputs[compile.InputTerminal] = pair[1]
	process.Pid, err = l.start(ctx)
	unix.Close(pair[1])
	if err != nil {
		return err
	}
	process.Terminal, err = receiveFD(pair[0])
	return err
}

// receiveFD reads one message with one descriptor.
func receiveFD(socket int) (int, error) {
	data, control := make([]byte, 64), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, data, control, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("receive the terminal: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		return -1, fmt.Errorf("receive the terminal: init sent none")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, fmt.Errorf("receive the terminal: init sent none")
	}
	return fds[0], nil
}

// Wait waits for the process to end, and returns its exit status: 128 and the
// signal's number when a signal ended it.
func (p *Process) Wait() (int, error) {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(p.Pid, &status, 0, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return -1, fmt.Errorf("wait for init: %w", err)
		}
		if status.Signaled() {
			return 128 + int(status.Signal()), nil
		}
		return status.ExitStatus(), nil
	}
}

// Signal sends a signal to init. It does nothing when init has ended and was
// waited for.
func (p *Process) Signal(s unix.Signal) {
	if p.pidfd >= 0 {
		_ = unix.PidfdSendSignal(p.pidfd, s, nil, 0)
	}
}
