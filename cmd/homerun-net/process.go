package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/netns"
)

// startLimit bounds the wait for a driver to connect the container. It takes
// 10 to 40 ms; a loaded machine gets its time.
const startLimit = 10 * time.Second

// process is a child.
type process struct {
	command *exec.Cmd
	// gone is closed when the process has ended and was waited for.
	gone chan struct{}
	log  *os.File
	// from is where the process's output starts in the log.
	from int64
}

// launch starts a child whose output goes to the log file.
func launch(command *exec.Cmd) (*process, error) {
	log, err := os.OpenFile(netns.LogFile, os.O_CREATE|os.O_RDWR|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	p := &process{command: command, gone: make(chan struct{}), log: log}
	p.from, err = log.Seek(0, io.SeekEnd)
	if err == nil {
		// A driver's standard output has no errors, and slirp4netns's has words
		// that would be taken for one.
		command.Stderr = log
		err = startApart(command)
	}
	if err != nil {
		log.Close()
		return nil, fmt.Errorf("network: start %s: %w", command.Path, err)
	}
	go func() {
		command.Wait()
		close(p.gone)
	}()
	return p, nil
}

// startApart starts a child in a mount namespace of its own, none of whose mounts
// reach another: slirp4netns's sandbox covers /tmp, and makes no mount private
// but "/". Go makes all of them so, by MS_REC and MS_PRIVATE, when it unshares.
// Who may not unshare may not mount either.
func startApart(command *exec.Cmd) error {
	if command.SysProcAttr == nil {
		command.SysProcAttr = &unix.SysProcAttr{}
	}
	if mayMount() {
		command.SysProcAttr.Unshareflags = unix.CLONE_NEWNS
	}
	return command.Start()
}

// mayMount reports whether this process has CAP_SYS_ADMIN.
func mayMount() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}

func (p *process) pid() int { return p.command.Process.Pid }

// output is what the process has printed so far, at most 64 KiB of it.
func (p *process) output() string {
	data, _ := io.ReadAll(io.NewSectionReader(p.log, p.from, 64<<10))
	return string(data)
}

// kill ends the process and waits for it. It may be repeated.
func (p *process) kill() {
	p.command.Process.Kill()
	<-p.gone
	p.log.Close()
}

var (
	errGone    = errors.New("the process ended")
	errTimeout = errors.New("no answer in time")
)

// await waits until a byte can be read from f, the child's way to say that it
// is ready, and not longer than ctx lasts.
func (p *process) await(ctx context.Context, f *os.File) error {
	if err := f.SetReadDeadline(time.Now().Add(startLimit)); err != nil {
		return err
	}
	said := make(chan error, 1)
	go func() {
		_, err := f.Read(make([]byte, 32))
		said <- err
	}()
	select {
	case err := <-said:
		if os.IsTimeout(err) {
			return errTimeout
		}
		if err != nil {
			return errGone
		}
		return nil
	case <-p.gone:
		// Releases the reader above.
		f.SetReadDeadline(time.Now())
		return errGone
	case <-ctx.Done():
		f.SetReadDeadline(time.Now())
		return errors.New("the container has ended or is being deleted")
	}
}

// explain is the error for a driver that did not get ready. It ends it.
func (p *process) explain(driver netns.Mode, err error) error {
	if errors.Is(err, errTimeout) {
		p.kill()
		return &fault.Error{What: string(driver), Why: fmt.Sprintf("not ready after %v", startLimit)}
	}
	if errors.Is(err, errGone) {
		// It may have closed its end before its last words.
		select {
		case <-p.gone:
		case <-time.After(time.Second):
		}
		text := p.output()
		p.kill()
		return netns.ExplainOutput(driver, text, appArmorRestricts())
	}
	p.kill()
	return fmt.Errorf("%s: %w", driver, err)
}
