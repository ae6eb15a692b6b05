package container

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestOrphansAtOnce: who waits for a process takes each orphan when it ends, also after
// its own context has, and tells the process's status all the same. The orphans come
// one after the other, so that waiting for a moment before each would be seen.
func TestOrphansAtOnce(t *testing.T) {
	program := exec.Command("sh", "-c", "read x; exit 7")
	input, err := program.StdinPipe()
	if err := errors.Join(err, program.Start()); err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(program.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{Pid: program.Process.Pid, pidfd: pidfd, reap: true}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	statuses, errs := make(chan int, 1), make(chan error, 2)
	go func() {
		_, err := p.Wait(ctx)
		errs <- err
		status, err := p.Wait(context.Background())
		errs <- err
		statuses <- status
	}()
	begun := time.Now()
	for range 20 {
		orphan := exec.Command("true")
		if err := orphan.Start(); err != nil {
			t.Fatal(err)
		}
		for unix.Kill(orphan.Process.Pid, 0) != unix.ESRCH {
			if time.Since(begun) > 3*time.Second {
				t.Fatal("orphans are taken late, or not at all")
			}
			time.Sleep(time.Millisecond)
		}
		cancel()
	}
	if err := <-errs; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	input.Close()
	if err := <-errs; err != nil {
		t.Error(err)
	}
	if status := <-statuses; status != 7 {
		t.Errorf("status %d, want 7", status)
	}
	again := make(chan int, 1)
	go func() {
		status, _ := p.reapEnded()
		again <- status
	}()
	select {
	case status := <-again:
		if status != 7 {
			t.Errorf("asked again: status %d, want 7", status)
		}
	case <-time.After(10 * time.Second):
		t.Error("who asks again waits for ever")
	}
}
