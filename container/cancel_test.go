package container_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/container"
	"github.com/homerun-oci/homerun/netns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// cancelAfter is when the contexts of these tests end, and promptly how late that may be
// noticed on a busy machine: every limit of the library's own is longer.
const (
	cancelAfter = 50 * time.Millisecond
	promptly    = time.Second
)

// endsSoon calls something that would wait for long, and wants it to end with its
// context.
func endsSoon(t *testing.T, what string, do func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), cancelAfter)
	defer cancel()
	begun := time.Now()
	if err := do(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s: %v", what, err)
	}
	if took := time.Since(begun); took > cancelAfter+promptly {
		t.Errorf("%s: ended after %s", what, took)
	}
}

// gone wants nothing of a container to be left once it is deleted.
func gone(t *testing.T, r *container.Runtime) {
	t.Helper()
	if err := r.ForceDelete(t.Context(), "web"); err != nil {
		t.Error(err)
	}
	if ids, err := r.IDs(); len(ids) > 0 || err != nil {
		t.Errorf("left: %q, %v", ids, err)
	}
}

// sleeper makes the container web, whose program has not been started, and which
// the test's end deletes.
func sleeper(t *testing.T) (*container.Runtime, *container.Container) {
	t.Helper()
	runtime, bundle, remove := scratch("sleep", "60")
	t.Cleanup(remove)
	c, err := runtime.Create(t.Context(), container.Request{ID: "web", Bundle: bundle})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := runtime.ForceDelete(context.Background(), "web"); err != nil {
			t.Error(err)
		}
		_, _ = unix.Wait4(c.State.Pid, nil, 0, nil)
	})
	return runtime, c
}

// TestCancelledLock: who waits for a container's lock stops with the context, and
// has done nothing. Tried: all that take the lock.
func TestCancelledLock(t *testing.T) {
	runtime, _ := sleeper(t)
	held, err := runtime.Open(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	for what, do := range map[string]func(context.Context) error{
		"open":          func(ctx context.Context) error { _, err := runtime.Open(ctx, "web"); return err },
		"start":         func(ctx context.Context) error { return runtime.Start(ctx, "web") },
		"pause":         func(ctx context.Context) error { return runtime.Pause(ctx, "web") },
		"resume":        func(ctx context.Context) error { return runtime.Resume(ctx, "web") },
		"update":        func(ctx context.Context) error { return runtime.Update(ctx, "web", &specs.LinuxResources{}) },
		"update class":  func(ctx context.Context) error { return runtime.UpdateClass(ctx, "web", &specs.LinuxIntelRdt{}) },
		"add mounts":    func(ctx context.Context) error { return runtime.AddMounts(ctx, "web", nil) },
		"remove mounts": func(ctx context.Context) error { return runtime.RemoveMounts(ctx, "web", nil) },
		"delete":        func(ctx context.Context) error { return runtime.Delete(ctx, "web") },
		"force delete":  func(ctx context.Context) error { return runtime.ForceDelete(ctx, "web") },
	} {
		endsSoon(t, what, do)
	}
	if status, err := held.Status(); status != container.Created || err != nil {
		t.Error(status, err)
	}
}

// TestCancelledBefore: a context that has ended is one that nothing is done for.
func TestCancelledBefore(t *testing.T) {
	runtime, c := sleeper(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	process := &specs.Process{Args: []string{"true"}, Cwd: "/"}
	for what, do := range map[string]func() error{
		"kill":         func() error { return runtime.Kill(ctx, "web", unix.SIGKILL) },
		"kill all":     func() error { return runtime.KillAll(ctx, "web", unix.SIGKILL) },
		"exec":         func() error { _, err := runtime.Exec(ctx, "web", container.ExecRequest{Process: process}); return err },
		"force delete": func() error { return runtime.ForceDelete(ctx, "web") },
		"processes":    func() error { _, err := c.Processes(ctx); return err },
		"wait":         func() error { _, err := runtime.Wait(ctx, "web"); return err },
	} {
		if err := do(); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if pids, err := c.Processes(t.Context()); len(pids) != 1 || err != nil {
		t.Errorf("%v, %v", pids, err)
	}
	if status, err := c.Status(); status != container.Created || err != nil {
		t.Error(status, err)
	}
}

// TestDeletedAgain: a run's own delete whose context ends, before and while it waits
// for the lock, can be called again.
func TestDeletedAgain(t *testing.T) {
	runtime, bundle, remove := scratch("true")
	defer remove()
	p, err := runtime.Run(t.Context(), container.Request{ID: "web", Bundle: bundle})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Delete(ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	held, err := runtime.Open(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	endsSoon(t, "delete", p.Delete)
	held.Close()
	if err := p.Delete(t.Context()); err != nil {
		t.Error(err)
	}
	gone(t, runtime)
}

// TestCancelledStart: start stops with the context where init does not go on, and
// leaves a container that can be deleted.
func TestCancelledStart(t *testing.T) {
	runtime, c := sleeper(t)
	if err := unix.Kill(c.State.Pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	endsSoon(t, "start", func(ctx context.Context) error { return runtime.Start(ctx, "web") })
	if _, err := unix.Wait4(c.State.Pid, nil, 0, nil); err != nil { // or it hangs
		t.Error(err)
	}
	gone(t, runtime)
}

// TestCancelledWait: who waits for a program stops with the context; the program
// goes on, and can be waited for again.
func TestCancelledWait(t *testing.T) {
	runtime, bundle, remove := scratch("sleep", "60")
	defer remove()
	p, err := runtime.Run(t.Context(), container.Request{ID: "web", Bundle: bundle})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		endsSoon(t, "wait for the process", func(ctx context.Context) error { _, err := p.Wait(ctx); return err })
		endsSoon(t, "wait for the container", func(ctx context.Context) error { _, err := runtime.Wait(ctx, "web"); return err })
	}
	if p.EndsWithin(context.Background(), cancelAfter) {
		t.Error("it has ended")
	}
	p.Signal(unix.SIGTERM)
	p.Signal(unix.SIGKILL)
	if !p.EndsWithin(context.Background(), promptly) {
		t.Error("it has not ended")
	}
	if status, err := p.Wait(t.Context()); status < 128 || err != nil {
		t.Error(status, err)
	}
	held, err := runtime.Open(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	endsSoon(t, "delete", p.Delete)
	held.Close()
	gone(t, runtime)
}

// TestCancelledHelpers: helpers that do not answer are ended with the context, and
// nothing of the container is left.
func TestCancelledHelpers(t *testing.T) {
	helper := filepath.Join(t.TempDir(), "helper")
	if err := os.WriteFile(helper, []byte("#!/bin/sh\nexec sleep 60\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	runtime, bundle, remove := scratchWith(container.Options{Helpers: container.Helpers{Net: helper, Seccomp: helper}}, "true")
	defer remove()
	network := &netns.Connection{Network: netns.Network{Mode: netns.Pasta}, Explicit: true}
	endsSoon(t, "network", func(ctx context.Context) error {
		_, err := runtime.Run(ctx, container.Request{ID: "web", Bundle: bundle, Network: network})
		return err
	})
	bundle.Config.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	endsSoon(t, "run with a filter", func(ctx context.Context) error {
		_, err := runtime.Run(ctx, container.Request{ID: "web", Bundle: bundle})
		return err
	})
	endsSoon(t, "a filter", func(ctx context.Context) error {
		_, err := container.Filter(ctx, bundle, container.Helpers{Seccomp: helper})
		return err
	})
	if ids, err := runtime.IDs(); len(ids) > 0 || err != nil {
		t.Errorf("left: %q, %v", ids, err)
	}
}

// TestCancelledReady: who waits for a program to be ready stops with the context.
func TestCancelledReady(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	listenOn(t, socket)
	runtime, bundle, remove := scratchWith(container.Options{NotifySocket: socket}, "sleep", "60")
	defer remove()
	p, err := runtime.Run(t.Context(), container.Request{ID: "web", Bundle: bundle, Detached: true})
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), cancelAfter)
	defer cancel()
	p.AwaitReady(ctx)
	if took := time.Since(begun); took < cancelAfter || took > cancelAfter+promptly {
		t.Errorf("ended after %s", took)
	}
	p.Close()
	gone(t, runtime)
}

// listenOn is a service manager that hears what programs report, and does nothing.
func listenOn(t *testing.T, socket string) {
	t.Helper()
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
}

// TestClosedUnwaited: a process that nobody waits for leaves no descriptor, and no
// socket that nobody reads, in the process that closes it.
func TestClosedUnwaited(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	listenOn(t, socket)
	runtime, bundle, remove := scratchWith(container.Options{NotifySocket: socket}, "sleep", "60")
	defer remove()
	sockets := func() (n int) {
		for _, name := range openDescriptors(t) {
			if strings.HasPrefix(name, "socket:") {
				n++
			}
		}
		return n
	}
	before := sockets()
	p, err := runtime.Run(t.Context(), container.Request{ID: "web", Bundle: bundle})
	if err != nil {
		t.Fatal(err)
	}
	p.EndsWithin(context.Background(), 0)
	p.Close()
	p.Close()
	q, err := runtime.Run(t.Context(), container.Request{ID: "other", Bundle: bundle})
	if err != nil {
		t.Fatal(err)
	}
	q.Close()
	if after := sockets(); after != before {
		t.Errorf("%d sockets before, %d after", before, after)
	}
	if err := runtime.ForceDelete(t.Context(), "other"); err != nil {
		t.Error(err)
	}
	gone(t, runtime)
	_, _ = unix.Wait4(p.Pid, nil, 0, nil)
	_, _ = unix.Wait4(q.Pid, nil, 0, nil)
}

// TestWaitAfterClose: a wait for a process that was given up ends with its context, and another one takes the process.
func TestWaitAfterClose(t *testing.T) {
	runtime, bundle, remove := scratch("sleep", "60")
	defer remove()
	p, err := runtime.Run(t.Context(), container.Request{ID: "web", Bundle: bundle})
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	endsSoon(t, "wait", func(ctx context.Context) error { _, err := p.Wait(ctx); return err })
	p.Close()
	gone(t, runtime)
	if status, err := p.Wait(t.Context()); status != 137 || err != nil {
		t.Errorf("%d, %v", status, err)
	}
}

// TestDetachedLeavesNoChild: who records how a detached program ended is a child of the caller, which cannot name it, and is
// taken by what waits for the container or deletes it.
func TestDetachedLeavesNoChild(t *testing.T) {
	ctx := t.Context()
	for what, end := range map[string]func(*container.Runtime, *container.Process) error{
		"wait":                   func(r *container.Runtime, _ *container.Process) error { _, err := r.Wait(ctx, "web"); return err },
		"forced, while it runs":  func(r *container.Runtime, _ *container.Process) error { return r.ForceDelete(ctx, "web") },
		"process, while it runs": func(_ *container.Runtime, p *container.Process) error { return p.Delete(ctx) },
	} {
		runtime, bundle, remove := scratch("sleep", "0.5")
		p, err := runtime.Run(ctx, container.Request{ID: "web", Bundle: bundle, Detached: true})
		if err != nil {
			t.Fatal(err)
		}
		c, err := runtime.Peek("web")
		if err != nil {
			t.Fatal(err)
		}
		waiter := c.State.Waiter.Pid
		c.Close()
		if err := end(runtime, p); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		p.Close()
		if err := unix.Kill(waiter, 0); err != unix.ESRCH {
			t.Errorf("%s: process %d is left: %v", what, waiter, err)
		}
		gone(t, runtime)
		remove()
	}
}

// TestStopNoSignal: a number that is no signal is an error, and ends nothing.
func TestStopNoSignal(t *testing.T) {
	runtime, c := sleeper(t)
	if err := runtime.Stop(t.Context(), "web", container.StopOptions{Signal: 999}); !errors.Is(err, unix.EINVAL) {
		t.Error(err)
	}
	if status, err := c.Status(); status != container.Created || err != nil {
		t.Error(status, err)
	}
}
