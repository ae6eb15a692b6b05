package container

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/cgroupv2/live"
	"github.com/homerun-oci/homerun/cgroupv2/oom"
	"golang.org/x/sys/unix"
)

// Event is what `events` prints, one JSON object a line: runc's types/events.go.
type Event struct {
	// Type is stats or oom.
	Type string `json:"type"`
	ID   string `json:"id"`
	// Data belongs to stats.
	Data *cgroupv2.Stats `json:"data,omitempty"`
}

// ErrNoCgroup is for what takes a cgroup: stats and events, limits, Pause; of a
// container that was made without one.
var ErrNoCgroup = errors.New("the container has no cgroup, so nothing counts what it uses")

// Stats says what a container that has not stopped uses.
func (r *Runtime) Stats(id string) (*cgroupv2.Stats, error) {
	_, dir, err := r.measured(id)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Stats()
}

// measured opens the cgroup of a container that has not stopped. The container is
// closed: only its state is for the caller.
func (r *Runtime) measured(id string) (*Container, *live.Dir, error) {
	c, err := r.Peek(id)
	if err != nil {
		return nil, nil, err
	}
	defer c.Close()
	status, err := c.Status()
	if err != nil {
		return nil, nil, err
	}
	if status == Stopped || status == Creating {
		return nil, nil, fmt.Errorf("the container is %s: %w", status, ErrNotRunning)
	}
	dir, err := c.openCgroup()
	if err == nil && dir == nil {
		err = ErrNoCgroup
	}
	return c, dir, err
}

// Events gives emit the container's stats once each interval, beginning at
// once, and an oom event when the kernel killed processes of it for memory. It
// ends without an error when init ends; and when ctx ends or emit fails, with
// their error.
func (r *Runtime) Events(ctx context.Context, id string, interval time.Duration, emit func(Event) error) error {
	c, dir, err := r.measured(id)
	if err != nil {
		return err
	}
	defer dir.Close()
	w, err := c.watch(dir)
	if err != nil {
		return err
	}
	defer func() {
		w.close()
		c.keepOOMKills(ctx, w.kernel.Kills)
	}()
	next := time.Now()
	for {
		if !time.Now().Before(next) {
			if err := w.stats(emit); err != nil {
				return err
			}
			next = time.Now().Add(interval)
		}
		ended, err := w.wait(ctx, time.Until(next))
		if err == nil {
			err = w.oom(emit)
		}
		if err != nil || ended {
			return err
		}
	}
}

// watch is what Events looks at.
type watch struct {
	c      *Container
	dir    *live.Dir
	init   int // its pidfd
	kernel *oom.Watch
	told   uint64 // the kills that emit knows
}

func (c *Container) watch(dir *live.Dir) (*watch, error) {
	init, err := c.openInit()
	if err != nil {
		return nil, err
	}
	w := &watch{c: c, dir: dir, init: init, kernel: c.watchOOM()}
	w.told = w.kernel.Kills
	return w, nil
}

func (w *watch) close() {
	unix.Close(w.init)
	w.kernel.Close()
}

// wait waits for a change, or the time given.
func (w *watch) wait(ctx context.Context, limit time.Duration) (ended bool, err error) {
	ended, err = w.kernel.Wait(ctx, w.init, max(limit, 0))
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("wait for events: %w", err)
	}
	return ended, err
}

func (w *watch) stats(emit func(Event) error) error {
	s, err := w.dir.Stats()
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) {
		return nil // it just ended
	}
	if err != nil {
		return err
	}
	return emit(Event{Type: "stats", ID: w.c.ID, Data: s})
}

func (w *watch) oom(emit func(Event) error) error {
	if w.kernel.Kills <= w.told {
		return nil
	}
	w.told = w.kernel.Kills
	return emit(Event{Type: "oom", ID: w.c.ID})
}
