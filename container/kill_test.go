package container

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/store"
	"golang.org/x/sys/unix"
)

// TestMeant: who waits for start is killed, and nobody lets it go between the look and the
// signal; the program that was let go before gets the signal itself.
func TestMeant(t *testing.T) {
	r := &Runtime{Options{Root: filepath.Join(t.TempDir(), "root")}}
	c, err := made(r, "web")
	if err != nil {
		t.Fatal(err)
	}
	c.State.Version, c.State.ID, c.State.Pid = store.StateVersion, "web", os.Getpid()
	fifo := c.dir.Path() + "/" + store.StartFIFO
	err = errors.Join(c.save(), unix.Mkfifo(fifo, 0o600))
	c.Close()
	if err != nil {
		t.Fatal(err)
	}
	c, err = r.Peek("web")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	reader, err := unix.Open(fifo, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	locks := func() error {
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		d, err := r.root().Open(short, "web")
		if err == nil {
			d.Close()
		}
		return err
	}
	s, done := c.meant(t.Context(), unix.SIGTERM)
	if err := locks(); s != unix.SIGKILL || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, and a start has the lock: %v", s, err)
	}
	other, alsoDone := c.meant(t.Context(), unix.SIGINT) // as beside a start whose hook does not end
	if other != unix.SIGKILL {
		t.Errorf("beside a start: %v", other)
	}
	alsoDone()
	done()
	if s, _ := c.meant(t.Context(), unix.SIGUSR1); s != unix.SIGUSR1 {
		t.Errorf("SIGUSR1 is %v", s)
	}
	unix.Close(reader)
	if s, _ := c.meant(t.Context(), unix.SIGTERM); s != unix.SIGTERM {
		t.Errorf("after start SIGTERM is %v", s)
	}
	if err := locks(); err != nil {
		t.Error(err)
	}
}

// TestEndedBy: SIGKILL in the place of a signal is that signal; what ended the process before
// is what it was.
func TestEndedBy(t *testing.T) {
	for status, want := range map[unix.WaitStatus]unix.WaitStatus{unix.WaitStatus(unix.SIGKILL): unix.WaitStatus(unix.SIGTERM), unix.WaitStatus(unix.SIGSEGV): unix.WaitStatus(unix.SIGSEGV), 9 << 8: 9 << 8} {
		p := &Process{pidfd: -1}
		p.EndBy(unix.SIGTERM)
		if p.setStatus(status); p.status != want {
			t.Errorf("%#x: %#x, want %#x", status, p.status, want)
		}
	}
	p := &Process{pidfd: -1}
	if p.setStatus(unix.WaitStatus(unix.SIGKILL)); p.status != unix.WaitStatus(unix.SIGKILL) {
		t.Errorf("%#x", p.status)
	}
}
