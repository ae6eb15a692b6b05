package container

import (
	"context"
	"github.com/homerun-oci/homerun/systemd/notify"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/host"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func listenManager(t *testing.T) (*net.UnixConn, string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "m")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { manager.Close() })
	return manager, name
}

// TestNotifySocket: a NOTIFY_SOCKET that leads nowhere is as good as none, and said.
func TestNotifySocket(t *testing.T) {
	const want = "NOTIFY_SOCKET=/run/notify/notify.sock"
	gone, stale := listenManager(t)
	gone.Close()
	_, live := listenManager(t)
	for _, test := range []struct {
		name, socket string
		env          []string
		mounts       int
		warning      string
	}{
		{"none", "", []string{"A=b"}, 0, ""},
		{"asked", live, []string{"A=b"}, 1, ""},
		{"engine's own", live, []string{"NOTIFY_SOCKET=/run/x"}, 0, ""},
		{"engine's own, dead", stale, []string{"NOTIFY_SOCKET=/run/x"}, 0, ""},
		{"nobody listens", stale, []string{"A=b"}, 0, "ECONNREFUSED"},
		{"not there", "/nonexistent/notify", []string{"A=b"}, 0, "ENOENT"},
		{"relative", "run/notify", []string{"A=b"}, 0, "neither a path nor an abstract name"},
		{"abstract and gone", "@homerun-test-gone", []string{"A=b"}, 0, "ECONNREFUSED"},
		{"no socket", "/dev/null", []string{"A=b"}, 0, "NOTIFY_SOCKET"},
		{"too long", "/" + strings.Repeat("x", 120), []string{"A=b"}, 0, "NOTIFY_SOCKET"},
		{"vsock", "vsock:2:1", []string{"A=b"}, 0, "neither a path nor an abstract name"},
	} {
		r := &Runtime{Root: t.TempDir(), NotifySocket: test.socket, Manager: cgroupv2.None}
		c, err := r.unmade("c")
		if err != nil {
			t.Fatal(err)
		}
		before := &specs.Spec{Process: &specs.Process{Cwd: "/", Env: test.env},
			Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}}}}
		everyone := []host.Mapping{{Size: 1 << 31}}
		facts := &host.Facts{UserNamespace: host.UserNamespace{Initial: true, UIDMap: everyone, GIDMap: everyone}}
		r.surroundings(t.Context(), &Request{Bundle: &bundle.Bundle{Config: before}, Facts: facts}, &host.Needs{})
		b, err := compile.Begin(before, facts, compile.Wishes{ID: "c", StateDir: c.Directory(), Manager: cgroupv2.None})
		if err != nil {
			t.Fatal(err)
		}
		s, warnings := b.Spec(), b.Result().Warnings
		if len(s.Mounts) != test.mounts || slices.Contains(s.Process.Env, want) != (test.mounts == 1) {
			t.Errorf("%s: %+v %q", test.name, s.Mounts, s.Process.Env)
		}
		if len(before.Mounts) != 0 || len(before.Process.Env) != 1 {
			t.Errorf("%s: the caller's config was changed", test.name)
		}
		if got := strings.Join(warnings, "|"); (test.warning == "") != (got == "") || !strings.Contains(got, test.warning) || len(warnings) > 1 {
			t.Errorf("%s: warned %q", test.name, warnings)
		}
		// start looks again: the manager may have gone meanwhile.
		if err := os.MkdirAll(c.dir.FilePath(compile.NotifyDirectory), 0o755); err != nil {
			t.Fatal(err)
		}
		relay := c.relay()
		if (relay != nil) != (test.socket == live) {
			t.Errorf("%s: relay %v", test.name, relay)
		}
		if relay != nil {
			relay.Close()
		}
	}
}

// TestNotifyWithoutPlace: nobody asked for a NOTIFY_SOCKET, so a root that is
// read-only and has no place for it is run without. The host's own root stands
// for one here, as it is made read-only before anything is mounted.
func TestNotifyWithoutPlace(t *testing.T) {
	if _, err := os.Stat(compile.NotifyMount); err == nil {
		t.Skip(compile.NotifyMount + " is there")
	}
	_, live := listenManager(t)
	for name, test := range map[string]struct {
		root   specs.Root
		mounts []string
		given  bool
	}{
		"read-only":          {specs.Root{Path: "/", Readonly: true}, []string{"/runner", "/tmp"}, false},
		"with a mount there": {specs.Root{Path: "/", Readonly: true}, []string{"/run/"}, true},
		"writable":           {specs.Root{Path: "/"}, nil, true},
		"of an image":        {specs.Root{Path: t.TempDir(), Readonly: true}, nil, true},
		"not there":          {specs.Root{Path: "/nonexistent", Readonly: true}, nil, true},
	} {
		s := &specs.Spec{Process: &specs.Process{}, Root: &test.root}
		for _, m := range test.mounts {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: m, Type: "tmpfs"})
		}
		facts := &host.Facts{}
		r := &Runtime{NotifySocket: live, Manager: cgroupv2.None}
		r.surroundings(t.Context(), &Request{Bundle: &bundle.Bundle{Dir: "/", Config: s}, Facts: facts}, &host.Needs{})
		if given := facts.Notify.Trouble == ""; given != test.given {
			t.Errorf("%s: %q", name, facts.Notify.Trouble)
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
		{"ends", []string{"STATUS=oh no"}, true, []string{"STATUS=oh no", "BARRIER=1"}},
		{"ready and over", []string{"READY=1", "STOPPING=1"}, true, []string{"READY=1\nMAINPID=", "STOPPING=1", "BARRIER=1"}},
	} {
		dir := t.TempDir()
		manager, name := listenManager(t)
		relay, err := notify.NewRelay(dir, name, 0)
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
		r := &readiness{relay: relay, runtime: &Runtime{}, pid: program.Process.Pid, pidfd: pidfd}
		speak(t, dir, test.send)
		if test.end {
			time.AfterFunc(50*time.Millisecond, func() { _ = program.Process.Kill() })
		}
		begun := time.Now()
		managed := make(chan []string)
		go func() { managed <- hear(manager) }()
		if r.await(context.Background()); time.Since(begun) > 5*time.Second {
			t.Errorf("%s: after %v", test.name, time.Since(begun))
		}
		r.close()
		_ = program.Process.Kill()
		_ = program.Wait()
		expect(t, test.name, <-managed, test.want)
	}
}

func speak(t *testing.T, dir string, messages []string) {
	t.Helper()
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: filepath.Join(dir, notify.SocketName), Net: "unixgram"})
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
