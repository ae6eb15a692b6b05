package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/netns"
)

// How delete gets rid of a network
//
// Normally nothing is left: the helper ended with the container's init. If it
// still runs (delete --force, a failed create) it is asked to with SIGTERM, and
// takes its driver along. If it was killed, the driver may have outlived it:
// slirp4netns sees its exit pipe close and pasta gets a parent-death signal,
// but the latter is lost where pasta changes its user. So every process in the
// record is looked for, by PID and start time, which together are never reused,
// and held by a pidfd between the look and the signal.

const stopTimeout = 2 * time.Second

// Stop ends what the record in stateDir names and removes the record. Without a
// record there is nothing to do. It may be repeated.
func Stop(stateDir string) error {
	path := filepath.Join(stateDir, netns.RecordFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var record netns.Record
	if err == nil {
		err = json.Unmarshal(data, &record)
	}
	if err != nil {
		return fmt.Errorf("network: %s: %w", path, err)
	}
	for i, p := range record.Processes {
		// The helper comes first and ends its driver itself, when asked nicely.
		if err := end(p, i == 0); err != nil {
			return fmt.Errorf("network: end %s (process %d): %w", p.Name, p.PID, err)
		}
	}
	// A helper that ended by itself has taken the record along.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("network: %w", err)
	}
	return nil
}

// end signals a process and waits until it is gone; one that is gone is fine.
func end(p netns.Process, nicely bool) error {
	fd, err := hold(p)
	if fd < 0 || err != nil {
		return err
	}
	defer unix.Close(fd)
	if nicely {
		if err := signal(fd, unix.SIGTERM); err != nil || gone(fd, stopTimeout) {
			return err
		}
	}
	if err := signal(fd, unix.SIGKILL); err != nil || gone(fd, stopTimeout) {
		return err
	}
	return unix.ETIMEDOUT
}

// hold opens a pidfd of p, or answers -1 when p is gone. The start time is read
// after the pidfd was opened: if it is p's now, then the pidfd is p's.
func hold(p netns.Process) (int, error) {
	fd, err := unix.PidfdOpen(p.PID, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	if start, err := StartTime(p.PID); err != nil || start != p.Start {
		unix.Close(fd)
		return -1, nil
	}
	return fd, nil
}

func signal(pidfd int, s unix.Signal) error {
	err := unix.PidfdSendSignal(pidfd, s, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// gone waits for a process to end; a zombie has ended.
func gone(pidfd int, timeout time.Duration) bool {
	deadline := time.Now().Add(timeout)
	for {
		left := max(time.Until(deadline), 0)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(left.Milliseconds()))
		if !errors.Is(err, unix.EINTR) {
			return n == 1
		}
	}
}

// StartTime is field 22 of /proc/PID/stat: the process's start in clock ticks
// since boot (proc(5)).
func StartTime(pid int) (uint64, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	// The name in field 2 may hold anything, also blanks and parentheses.
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return 0, fmt.Errorf("process %d: stat has %d fields", pid, len(fields))
	}
	return strconv.ParseUint(fields[19], 10, 64)
}
