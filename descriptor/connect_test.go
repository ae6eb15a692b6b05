package descriptor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestCancelledConnect: who connects to a socket whose owner accepts nobody stops with
// the context; and is connected once there is room, by a socket that waits.
func TestCancelledConnect(t *testing.T) {
	name := filepath.Join(t.TempDir(), "s")
	owner := listening(t, name, 0)
	first, err := Connect(t.Context(), name) // the one that there is room for
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(first)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if _, err := Connect(ctx, name); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > time.Second {
		t.Errorf("%v after %s", err, time.Since(begun))
	}
	accepted := make(chan struct{})
	time.AfterFunc(20*time.Millisecond, func() {
		defer close(accepted)
		if fd, _, err := unix.Accept(*owner); err == nil {
			unix.Close(fd)
		}
	})
	second, err := Connect(t.Context(), name)
	<-accepted // before the test's end closes the socket
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(second)
	if flags, err := unix.FcntlInt(uintptr(second), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("flags %#x, %v", flags, err)
	}
}

// TestConnectInVain: who listens and accepts nobody, with the queue full, does not make
// others wait for ever, neither to connect nor to send.
func TestConnectInVain(t *testing.T) {
	name := filepath.Join(t.TempDir(), "s")
	listening(t, name, 0)
	first, err := Connect(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(first)
	if limit, err := unix.GetsockoptTimeval(first, unix.SOL_SOCKET, unix.SO_SNDTIMEO); err != nil || limit.Sec != 10 {
		t.Errorf("the limit is %+v, %v", limit, err)
	}
	begun := time.Now()
	second, err := connect(context.Background(), name, 50*time.Millisecond)
	if !errors.Is(err, unix.EAGAIN) || !strings.Contains(err.Error(), name+": who listens there accepts nobody") || second != -1 {
		t.Errorf("%d, %v", second, err)
	}
	if took := time.Since(begun); took < 40*time.Millisecond || took > 10*time.Second {
		t.Errorf("after %v", took)
	}
}

// TestConnectSleeps: who finds no room waits in the kernel, and does not ask again and
// again.
func TestConnectSleeps(t *testing.T) {
	name := filepath.Join(t.TempDir(), "s")
	owner := listening(t, name, 0)
	first, err := Connect(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(first)
	done := make(chan error, 1)
	go func() {
		second, err := Connect(context.Background(), name)
		unix.Close(second)
		done <- err
	}()
	for begun := time.Now(); !threadIn(t, unix.SYS_CONNECT); time.Sleep(time.Millisecond) {
		if time.Since(begun) > 10*time.Second {
			t.Fatal("no thread waits in connect(2)")
		}
	}
	accepted, _, err := unix.Accept(*owner)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(accepted)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// threadIn reports whether a thread of this process sleeps in a system call.
func threadIn(t *testing.T, number int) bool {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/syscall")
	if err != nil || len(files) == 0 {
		t.Fatal("which system calls threads are in: ", err)
	}
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.HasPrefix(string(text), strconv.Itoa(number)+" ") {
			return true
		}
	}
	return false
}
