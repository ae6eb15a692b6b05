package bus

import (
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/host"
)

func TestCandidates(t *testing.T) {
	tests := []struct {
		name  string
		place Place
		want  string
	}{
		{"root", Place{System: true}, "/run/dbus/system_bus_socket /run/systemd/private*"},
		{"session", Place{UID: 1000, HostUID: 1000, SessionAddress: "unix:path=/a%20b,guid=1;unix:abstract=/x", RuntimeDir: "/run/user/1000"},
			"/a b @/x /run/user/1000/bus /run/user/1000/systemd/private*"},
		{"only XDG_RUNTIME_DIR elsewhere", Place{UID: 1000, HostUID: 1000, RuntimeDir: "/tmp/r/"},
			"/tmp/r/bus /run/user/1000/bus /tmp/r/systemd/private* /run/user/1000/systemd/private*"},
		{"nothing set", Place{UID: 1000, HostUID: 1000}, "/run/user/1000/bus /run/user/1000/systemd/private*"},
		{"in a user namespace", Place{UID: 0, HostUID: 1000}, "/run/user/1000/bus /run/user/1000/systemd/private* /run/dbus/system_bus_socket"},
		{"no programs", Place{UID: 1000, HostUID: 1000, SessionAddress: "unixexec:path=/bin/sh;autolaunch:;unix:path=x;unix:runtime=yes", RuntimeDir: "/run/user/1000"},
			"/run/user/1000/bus /run/user/1000/systemd/private* | DBUS_SESSION_BUS_ADDRESS: transport \"unixexec\" is not used DBUS_SESSION_BUS_ADDRESS: transport \"autolaunch\" is not used DBUS_SESSION_BUS_ADDRESS: names no socket"},
	}
	for _, tt := range tests {
		list, notes := tt.place.candidates()
		var names []string
		for _, c := range list {
			name := c.path
			if c.private {
				name += "*"
			}
			names = append(names, name)
		}
		got := strings.Join(names, " ")
		if len(notes) > 0 {
			got += " | " + strings.Join(notes, " ")
		}
		if got != tt.want {
			t.Errorf("%s:\n%s, want\n%s", tt.name, got, tt.want)
		}
	}
}

func TestNewPlace(t *testing.T) {
	facts := &host.Facts{UserNamespace: host.UserNamespace{OwnerUID: 1000}}
	got := NewPlace(facts, func(name string) string { return "<" + name + ">" })
	want := Place{HostUID: 1000, SessionAddress: "<DBUS_SESSION_BUS_ADDRESS>", RuntimeDir: "<XDG_RUNTIME_DIR>"}
	if got != want {
		t.Errorf("got %+v", got)
	}
}
