package container

import (
	"context"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/systemd"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestAddNotify(t *testing.T) {
	const want = "NOTIFY_SOCKET=/run/notify/notify.sock"
	for _, test := range []struct {
		name, socket string
		env          []string
		mounts       int
	}{
		{"none", "", []string{"A=b"}, 0},
		{"asked", "/run/systemd/notify", []string{"A=b"}, 1},
		{"engine's own", "/run/systemd/notify", []string{"NOTIFY_SOCKET=/run/x"}, 0},
	} {
		c := &Container{ID: "c", dir: t.TempDir(), runtime: &Runtime{NotifySocket: test.socket}}
		before := &specs.Spec{Process: &specs.Process{Env: test.env}}
		r := Request{Bundle: &bundle.Bundle{Config: before}}
		if err := c.addNotify(&r); err != nil {
			t.Fatal(err)
		}
		s := r.Bundle.Config
		if len(s.Mounts) != test.mounts || slices.Contains(s.Process.Env, want) != (test.mounts == 1) {
			t.Errorf("%s: %+v %q", test.name, s.Mounts, s.Process.Env)
		}
		if len(before.Mounts) != 0 || len(before.Process.Env) != 1 {
			t.Errorf("%s: the caller's config was changed", test.name)
		}
	}
}

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
		{"ends", []string{"STATUS=oh no"}, true, []string{"STATUS=oh no"}},
	} {
		dir := t.TempDir()
		manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "m"), Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer manager.Close()
		relay, err := systemd.NewRelay(dir, filepath.Join(dir, "m"), 0)
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
		r := &readiness{relay: relay, pid: program.Process.Pid, pidfd: pidfd}
		speak(t, dir, test.send)
		if test.end {
			time.AfterFunc(50*time.Millisecond, func() { _ = program.Process.Kill() })
		}
		begun := time.Now()
		if err := r.await(context.Background()); err != nil || time.Since(begun) > 5*time.Second {
			t.Errorf("%s: %v after %v", test.name, err, time.Since(begun))
		}
		r.close()
		_ = program.Process.Kill()
		_ = program.Wait()
		expect(t, test.name, manager, test.want)
	}
}

func speak(t *testing.T, dir string, messages []string) {
	t.Helper()
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: filepath.Join(dir, systemd.RelaySocket), Net: "unixgram"})
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

// expect reads messages that begin with want, and no more.
func expect(t *testing.T, name string, manager *net.UnixConn, want []string) {
	t.Helper()
	_ = manager.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	var got []string
	for {
		b := make([]byte, 4096)
		n, err := manager.Read(b)
		if err != nil {
			break
		}
		got = append(got, string(b[:n]))
	}
	match := len(got) == len(want)
	for i := 0; match && i < len(want); i++ {
		match = len(got[i]) >= len(want[i]) && got[i][:len(want[i])] == want[i]
	}
	if !match {
		t.Errorf("%s: the manager got %q, want %q", name, got, want)
	}
}
