package container

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/bundle"
	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/compile"
	"github.com/homerun-oci/homerun/host"
	specs "github.com/opencontainers/runtime-spec/specs-go"
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
		r := &Runtime{Options{Root: t.TempDir(), NotifySocket: test.socket, Manager: cgroupv2.None}}
		c, err := r.unmade("c")
		if err != nil {
			t.Fatal(err)
		}
		before := &specs.Spec{Process: &specs.Process{Cwd: "/", Env: test.env},
			Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace}}}}
		everyone := []host.Mapping{{Size: 1 << 31}}
		facts := &host.Facts{UserNamespace: host.UserNamespace{Initial: true, UIDMap: everyone, GIDMap: everyone}}
		r.surroundings(&Request{Bundle: &bundle.Bundle{Config: before}, Facts: facts}, &host.Needs{})
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
		r := &Runtime{Options{NotifySocket: live, Manager: cgroupv2.None}}
		r.surroundings(&Request{Bundle: &bundle.Bundle{Dir: "/", Config: s}, Facts: facts}, &host.Needs{})
		if given := facts.Notify.Trouble == ""; given != test.given {
			t.Errorf("%s: %q", name, facts.Notify.Trouble)
		}
	}
}
