package notify

import (
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestReadiness plays the program and the manager: the program is ready, or it
// ends before.
func TestReadiness(t *testing.T) {
	for _, test := range []struct {
		name string
		send []string
		end  bool
		want []string
	}{
		{"ready", []string{"STATUS=soon", "READY=1", "BARRIER=1"}, false, []string{"STATUS=soon", "READY=1\nMAINPID=", "BARRIER=1"}},
		{"ends", []string{"STATUS=oh no"}, true, []string{"STATUS=oh no", "BARRIER=1"}},
		{"ready and over", []string{"READY=1", "STOPPING=1"}, true, []string{"READY=1\nMAINPID=", "STOPPING=1", "BARRIER=1"}},
	} {
		dir := t.TempDir()
		manager, name := listenFake(t)
		relay, err := NewRelay(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		program := exec.Command("sleep", "30")
		if err := program.Start(); err != nil {
			t.Fatal(err)
		}
		pidfd, err := unix.PidfdOpen(program.Process.Pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		speak(t, dir, test.send)
		if test.end {
			time.AfterFunc(50*time.Millisecond, func() { _ = program.Process.Kill() })
		}
		begun := time.Now()
		managed := make(chan []string)
		go func() { managed <- hear(manager) }()
		if err := relay.UntilReady(t.Context(), program.Process.Pid, pidfd); err != nil || time.Since(begun) > 5*time.Second {
			t.Errorf("%s: after %v: %v", test.name, time.Since(begun), err)
		}
		relay.Close()
		unix.Close(pidfd)
		_ = program.Process.Kill()
		_ = program.Wait()
		expect(t, test.name, <-managed, test.want)
	}
}

func speak(t *testing.T, dir string, messages []string) {
	t.Helper()
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: filepath.Join(dir, socketName), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, m := range messages {
		if _, err := c.Write([]byte(m)); err != nil {
			t.Fatal(err)
		}
	}
}

// hear plays a manager that reads, until nothing comes any more.
func hear(manager *net.UnixConn) (got []string) {
	for {
		_ = manager.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		b := make([]byte, 4096)
		n, err := manager.Read(b)
		if err != nil {
			return got
		}
		got = append(got, string(b[:n]))
	}
}

// expect compares what the manager got with beginnings.
func expect(t *testing.T, name string, got, want []string) {
	t.Helper()
	match := len(got) == len(want)
	for i := 0; match && i < len(want); i++ {
		match = strings.HasPrefix(got[i], want[i])
	}
	if !match {
		t.Errorf("%s: the manager got %q, want %q", name, got, want)
	}
}
