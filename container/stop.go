package container

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/proc"
	"golang.org/x/sys/unix"
)

// The annotations of config.json that say how a container is stopped. Stop signals of
// images come as the annotation of the OCI image specification, conversion.md.
const (
	AnnotationStopSignal  = "run.homerun.stop-signal"
	AnnotationStopTimeout = "run.homerun.stop-timeout"
	annotationImageSignal = "org.opencontainers.image.stopSignal"
)

// stopTimeout is how long a program may take to end where nobody says: podman's and
// docker's.
const stopTimeout = 10 * time.Second

// StopOptions say how Stop ends a container. What is not said is the container's own to
// say, by its annotations, or SIGTERM and 10 seconds.
type StopOptions struct {
	// Signal is sent first; 0 leaves it to the container.
	Signal unix.Signal
	// Timeout is how long the program may take to end by it; nil leaves it to the
	// container, and less than 0 is for ever.
	Timeout *time.Duration
}

// Stop ends a container's init: by the signal, and if it has not ended in time, by
// SIGKILL. The kernel would drop a signal for which an init has no use
// (pid_namespaces(7)); such an init is killed at once. A container that is paused is
// resumed by it. One that has stopped already is no error. Stop returns when init has
// ended and, if somebody records it, how is recorded.
func (r *Runtime) Stop(ctx context.Context, id string, o StopOptions) error {
	c, err := r.Peek(id)
	if err != nil {
		return err
	}
	defer c.Close()
	status, err := c.Status()
	switch {
	case err != nil:
		return err
	case status == Creating:
		return &fault.Error{What: fmt.Sprintf("cannot stop container %q that is %s", c.ID, status), Cause: ErrStatus}
	case status == Stopped:
		return nil
	}
	s, limit, err := o.choose(c.State.Annotations)
	if err != nil {
		return err
	}
	err = c.stop(ctx, s, limit)
	if waiter := c.State.Waiter; err == nil && waiter != nil {
		awaitWaiter(ctx, *waiter, reapLimit)
	}
	return err
}

// stop ends init.
func (c *Container) stop(ctx context.Context, s unix.Signal, limit time.Duration) error {
	pidfd, err := c.openInit()
	if errors.Is(err, ErrNotRunning) {
		return nil
	} else if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	c.ensureMembers(ctx, c.State.Pid, c.State.Init().Lives)
	if s != unix.SIGKILL && !proc.Drops(c.State.Pid, s) {
		if err := unix.PidfdSendSignal(pidfd, s, nil, 0); err != nil && err != unix.ESRCH {
			return fmt.Errorf("send %s to init: %w", unix.SignalName(s), err)
		}
		c.cgroup().Thaw()
		if ended, err := proc.AwaitEnd(ctx, pidfd, limit); ended || err != nil {
			return err
		}
	}
	killed := time.Now()
	if err := c.kill(ctx, unix.SIGKILL); err != nil && !errors.Is(err, ErrNotRunning) {
		return err
	}
	return c.awaitEnd(ctx, killed)
}

// choose is what the options say, or else the annotations.
func (o StopOptions) choose(annotations map[string]string) (s unix.Signal, limit time.Duration, err error) {
	s, limit = unix.SIGTERM, stopTimeout
	for _, key := range [...]string{annotationImageSignal, AnnotationStopSignal} {
		if text := annotations[key]; text != "" && o.Signal == 0 {
			if s, err = ParseStopSignal(text); err != nil {
				return 0, 0, fmt.Errorf("annotations: %s: %w", key, err)
			}
		}
	}
	if text := annotations[AnnotationStopTimeout]; text != "" && o.Timeout == nil {
		if limit, err = ParseStopTimeout(text); err != nil {
			return 0, 0, fmt.Errorf("annotations: %s: %w", AnnotationStopTimeout, err)
		}
	}
	if o.Signal != 0 {
		s = o.Signal
	}
	if o.Timeout != nil {
		limit = *o.Timeout
	}
	return s, limit, nil
}

// Seconds is a limit of so many seconds. Where no duration is that long it is the
// longest, not what is left of it: a program that was given ages would be killed at once.
func Seconds(n int) time.Duration {
	const most = int64(math.MaxInt64 / time.Second)
	return time.Duration(max(min(int64(n), most), -1)) * time.Second
}

// ParseStopTimeout reads the value of AnnotationStopTimeout.
func ParseStopTimeout(text string) (time.Duration, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("want whole seconds, not %q", text)
	}
	return Seconds(n), nil
}

// ParseStopSignal is ParseSignal for one that is to end something: 0 is none.
func ParseStopSignal(text string) (unix.Signal, error) {
	s, err := ParseSignal(text)
	if err == nil && s == 0 {
		err = errors.New("signal 0 ends nothing")
	}
	return s, err
}

// ParseSignal reads a signal as people write it: a number, a name with or without SIG, or
// RTMIN+N and RTMAX-N, counted as the C library does: signal(7).
func ParseSignal(s string) (unix.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil && n >= 0 && n <= 64 {
		return unix.Signal(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if n := unix.SignalNum("SIG" + name); n != 0 {
		return n, nil
	}
	if n, ok := realtime(name); ok {
		return n, nil
	}
	return 0, fmt.Errorf("unknown signal %q", s)
}

func realtime(name string) (unix.Signal, bool) {
	base, rest := 0, ""
	switch {
	case strings.HasPrefix(name, "RTMIN"):
		base, rest = 34, name[len("RTMIN"):]
	case strings.HasPrefix(name, "RTMAX"):
		base, rest = 64, name[len("RTMAX"):]
	default:
		return 0, false
	}
	n, err := strconv.Atoi(rest)
	if rest != "" && err != nil || base+n < 34 || base+n > 64 {
		return 0, false
	}
	return unix.Signal(base + n), true
}
