// Package client starts the homerun-net helper and talks to it.
//
// It is linked into the main program, so it stays away from packages net and
// os/exec: the control socket is used through plain system calls.
package client

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/fault"
	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/netns"
)

// Name is the helper's file name.
const Name = "homerun-net"

// NotInstalled is the error for a helper that is at none of the places where it
// was looked for.
func NotInstalled(places []string) error {
	where := "not at "
	if len(places) == 2 {
		where = "neither at "
	}
	return &fault.Error{
		What: "network",
		Why:  Name + " is " + where + strings.Join(places, " nor at "),
		Hint: "install all of homerun's programs together, or use --net none or --net host",
		Code: netns.NotInstalled,
	}
}

// Helper is a helper that was started and has not answered yet. It may be used
// by one goroutine at a time.
type Helper struct {
	process *os.Process
	ready   *os.File
	log     string
}

// Start starts the helper at path. Neither the caller's standard streams nor
// any other of its descriptors are handed on. pidfd holds the container's
// init; -1 when the caller has none. Start returns at once: overlap the
// helper's 10 to 50 ms with other work and call Wait before the program starts.
func Start(path string, request netns.Request, pidfd int) (*Helper, error) {
	if pidfd >= 0 {
		request.PIDFD = 5
	}
	if err := request.Check(); err != nil {
		return nil, err
	}
	body, err := requestFile(request)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	readyRead, readyWrite, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("network: pipe: %w", err)
	}
	defer readyWrite.Close()
	process, err := spawn(path, request.StateDir, pidfd, body, readyWrite)
	if err != nil {
		readyRead.Close()
		return nil, err
	}
	return &Helper{process: process, ready: readyRead, log: filepath.Join(request.StateDir, netns.LogFile)}, nil
}

// requestFile puts the request into a memfd: unlike a pipe it takes any number
// of ports without a second thread that writes.
func requestFile(request netns.Request) (*os.File, error) {
	data, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	fd, err := unix.MemfdCreate("homerun-net", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("network: memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "request")
	if _, err = f.Write(data); err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("network: request: %w", err)
	}
	return f, nil
}

// spawn starts the helper in a session of its own with the log as its standard
// output and error.
func spawn(path, stateDir string, pidfd int, body, ready *os.File) (*os.Process, error) {
	null, err := os.Open("/dev/null")
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	defer null.Close()
	log, err := os.OpenFile(filepath.Join(stateDir, netns.LogFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	defer log.Close()
	files := []*os.File{null, log, log, body, ready}
	if pidfd >= 0 {
		// A duplicate, so that this package never closes the caller's.
		own, err := unix.FcntlInt(uintptr(pidfd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("network: pidfd %d: %w", pidfd, err)
		}
		f := os.NewFile(uintptr(own), "pidfd")
		defer f.Close()
		files = append(files, f)
	}
	process, err := os.StartProcess(path, []string{Name}, &os.ProcAttr{Dir: "/", Env: []string{}, Files: files, Sys: &unix.SysProcAttr{Setsid: true}})
	if err != nil {
		return nil, fmt.Errorf("network: start %s: %w", Name, err)
	}
	return process, nil
}

// Wait waits for the helper's answer, until ctx ends. After an error nothing is
// left of it; the error is ctx's when that ended.
// The helper remains this process's child, or its subreaper's: it ends within a
// second of the container's init, and then somebody must wait for it as for any
// orphan.
func (h *Helper) Wait(ctx context.Context, timeout time.Duration) (netns.Result, error) {
	var result netns.Result
	stop := context.AfterFunc(ctx, func() { _ = h.ready.SetReadDeadline(time.Unix(1, 0)) })
	err := h.read(&result, timeout)
	if !stop() && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err == nil {
		err = result.Err()
	}
	if err != nil {
		h.Abandon()
		return netns.Result{}, err
	}
	h.ready.Close()
	return result, nil
}

func (h *Helper) read(result *netns.Result, timeout time.Duration) error {
	if err := h.ready.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if err := json.NewDecoder(h.ready).Decode(result); err != nil {
		why := "ended before it answered"
		if os.IsTimeout(err) {
			why = fmt.Sprintf("no answer within %v", timeout)
		}
		return &fault.Error{What: "network: " + Name, Why: why, Hint: "see " + h.log}
	}
	return nil
}

// Abandon ends the helper, which takes its driver along, and waits for it.
func (h *Helper) Abandon() {
	h.ready.Close()
	h.process.Signal(unix.SIGTERM)
	timer := time.AfterFunc(stopTimeout, func() { h.process.Kill() })
	defer timer.Stop()
	h.process.Wait()
}
