package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/proc"
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
// record there is nothing to do. It may be repeated, also after ctx has ended.
func Stop(ctx context.Context, stateDir string) error {
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
		signals := []unix.Signal{unix.SIGKILL}
		if i == 0 { // the helper, which ends its driver itself when asked nicely
			signals = []unix.Signal{unix.SIGTERM, unix.SIGKILL}
		}
		if err := end(ctx, p, signals); err != nil {
			return fmt.Errorf("network: end %s (process %d): %w", p.Name, p.PID, err)
		}
	}
	// A helper that ended by itself has taken the record along.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("network: %w", err)
	}
	return nil
}

// end sends a process one signal after the other, until it is gone; one that is
// gone is fine.
func end(ctx context.Context, p netns.Process, signals []unix.Signal) error {
	fd, err := proc.ID{Pid: p.PID, StartTime: p.Start}.Open()
	if errors.Is(err, proc.ErrEnded) {
		return nil
	} else if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, s := range signals {
		if err := signal(fd, s); err != nil {
			return err
		}
		ended, err := proc.AwaitEnd(ctx, fd, stopTimeout) // a zombie has ended
		if ended && err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return unix.ETIMEDOUT
}

func signal(pidfd int, s unix.Signal) error {
	err := unix.PidfdSendSignal(pidfd, s, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}
