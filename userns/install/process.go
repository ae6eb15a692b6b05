package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/proc"
	"github.com/homerun-oci/homerun/spawn"
	"github.com/homerun-oci/homerun/userns"
)

// maxComplaint bounds what is kept of a helper's standard error.
const maxComplaint = 4096

// process is a running helper.
type process struct {
	m *userns.Map
	// args is the helper's argument vector.
	args []string
	spawn.Process
	pidfd  int
	stderr int
	said   []byte // of one that has failed
}

// start starts the helper for one map of process pid.
func start(m *userns.Map, pid int) (*process, error) {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("userns: open /dev/null: %w", err)
	}
	defer unix.Close(null)
	var pipe [2]int
	// It does not block: nobody reads before the end.
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, fmt.Errorf("userns: pipe for %s: %w", m.Program, err)
	}
	defer unix.Close(pipe[1])
	p := &process{m: m, args: m.Args(pid), pidfd: -1, stderr: pipe[0]}
	if err := p.begin(null, pipe[1]); err != nil {
		unix.Close(pipe[0])
		return nil, err
	}
	return p, nil
}

// begin makes the process. Its limit on open files is this process's own: the helpers do
// not care, and so their execve need not be waited for.
func (p *process) begin(null, stderr int) error {
	var own unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own)
	if err == nil {
		p.Process, err = spawn.Start(spawn.Program{Path: p.m.Program, Args: p.args, Directory: "/",
			Files: []uintptr{uintptr(null), uintptr(stderr), uintptr(stderr)}, OpenFiles: &own})
	}
	if err != nil {
		return p.notStarted(err)
	}
	p.pidfd, err = unix.PidfdOpen(p.PID, 0) // of a child, which is not reaped yet
	if err != nil {
		unix.Kill(p.PID, unix.SIGKILL)
		p.reap()
		return p.notStarted(err)
	}
	return nil
}

// notStarted words why nothing of the helper has run.
func (p *process) notStarted(err error) error {
	return &fault.Error{
		Code:  userns.CodeHelper,
		What:  "start " + p.m.Program,
		Why:   err.Error(),
		Cause: err,
	}
}

// waitAll waits until all helpers have ended or ctx has; then it kills those that are
// left. A child that one might leave behind, with the pipe open, does not hold this up. If
// the pipe were polled too, each end would wake this process twice.
func waitAll(ctx context.Context, started []*process) {
	if len(started) == 0 {
		return
	}
	stop := proc.WhenDone(ctx, func() {
		for _, p := range started {
			unix.PidfdSendSignal(p.pidfd, unix.SIGKILL, nil, 0)
		}
	})
	for _, p := range started {
		_, _ = proc.AwaitEnd(context.Background(), p.pidfd, -1) // nothing ends this wait but that
	}
	stop() // result closes the descriptors
}

// read reads the beginning of what the helper has said, which lies in the pipe.
func (p *process) read() {
	p.said = make([]byte, maxComplaint)
	n, _ := unix.Read(p.stderr, p.said) // EAGAIN: nothing, and somebody has it open
	p.said = p.said[:max(n, 0)]
}

// result reaps the helper, which has ended, and says how.
func (p *process) result(ctx context.Context) error {
	defer unix.Close(p.stderr)
	defer unix.Close(p.pidfd)
	status, err := p.reap()
	if err != nil {
		return err
	}
	if err := p.Failed(); err != nil {
		return p.notStarted(err)
	}
	if err = verdict(status, ctx); err != nil {
		p.read()
	}
	return err
}

// reap waits for the end. p is kept meanwhile, as spawn.Process wants it.
func (p *process) reap() (status unix.WaitStatus, err error) {
	for {
		_, err := unix.Wait4(p.PID, &status, 0, nil)
		if err == nil {
			return status, nil
		}
		if !errors.Is(err, unix.EINTR) {
			return status, fmt.Errorf("wait for %s: %w", p.m.Program, err)
		}
	}
}

// verdict puts an exit status into words; a kill by us is ctx's doing.
func verdict(status unix.WaitStatus, ctx context.Context) error {
	switch {
	case status.Exited() && status.ExitStatus() == 0:
		return nil
	case status.Signaled() && status.Signal() == unix.SIGKILL && ctx.Err() != nil:
		return ctx.Err()
	case status.Signaled():
		return fmt.Errorf("killed by %s", unix.SignalName(status.Signal()))
	}
	return fmt.Errorf("exit status %d", status.ExitStatus())
}

// complaint is what the helper said, in one line.
func (p *process) complaint() string {
	lines := bytes.Split(bytes.TrimSpace(p.said), []byte{'\n'})
	words := make([]string, 0, len(lines))
	for _, l := range lines {
		words = append(words, string(bytes.TrimSpace(l)))
	}
	return strings.Join(words, "; ")
}
