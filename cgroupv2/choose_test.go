package cgroupv2

import (
	"fmt"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/fault"
	"github.com/homerun-oci/homerun/host"
)

func TestChoose(t *testing.T) {
	const (
		app  = "/user.slice/user-1000.slice/user@1000.service/app.slice"
		user = "/user.slice/user-1000.slice/user@1000.service"
	)
	at := func(p string) host.Cgroup {
		return host.Cgroup{Unified: true, MountPoint: "/sys/fs/cgroup", Path: p}
	}
	locked := at(app + "/y.service")
	locked.ReadOnly = true
	session := Delegation{Writable: app, Top: user}
	unit := Delegation{Unit: app + "/x.service", Writable: app, Top: user}
	tests := []struct {
		name string
		s    Situation
		want string
		base string
	}{
		{"disabled", Situation{Manager: None}, "disabled|||no cgroup: --cgroup-manager=disabled", ""},
		{"disabled with limits", Situation{Manager: None, Limits: true}, "error cgroupv2: config.json asks for limits, and --cgroup-manager=disabled forbids them", ""},
		{"systemd", Situation{Manager: Systemd, Bus: "/run/user/1000/bus", Cgroup: at("/")}, "systemd|||systemd scope: service manager at /run/user/1000/bus", ""},
		{"systemd without cgroup v2", Situation{Manager: Systemd}, "error cgroupv2: --cgroup-manager=systemd: this host has cgroup v1 (or none), homerun limits with cgroup v2 only", ""},
		{"systemd without bus", Situation{Manager: Systemd, NoBus: "no socket", Cgroup: at("/")}, "error cgroupv2: --cgroup-manager=systemd: no socket", ""},
		{"systemd on v1", Situation{Manager: Systemd, Bus: "b"}, "disabled|||no cgroup: cgroup: this host has cgroup v1 (or none), homerun limits with cgroup v2 only", ""},
		{"read-only", Situation{Bus: "b", Cgroup: locked, Delegation: session},
			"disabled|||no cgroup: cgroup: /sys/fs/cgroup is mounted read-only, as in a container or by ProtectControlGroups= of a systemd unit", ""},
		{"read-only for systemd, limits", Situation{Manager: Systemd, Bus: "b", Cgroup: locked, Limits: true},
			"error cgroupv2: cgroup: /sys/fs/cgroup is mounted read-only, as in a container or by ProtectControlGroups= of a systemd unit", ""},
		{"read-only for cgroupfs, limits", Situation{Manager: Cgroupfs, Cgroup: locked, Limits: true},
			"error cgroupv2: cgroup: /sys/fs/cgroup is mounted read-only, as in a container or by ProtectControlGroups= of a systemd unit", ""},
		{"auto on v1 with limits", Situation{Limits: true}, "error cgroupv2: cgroup: this host has cgroup v1 (or none), homerun limits with cgroup v2 only", ""},
		{"auto prefers systemd", Situation{Bus: "b", Cgroup: at(app + "/y.scope"), Delegation: session, ID: "web"}, "systemd|||systemd scope: service manager at b", ""},
		{"auto in a delegated unit", Situation{Bus: "b", Cgroup: at(app + "/x.service"), Delegation: unit, ID: "web"},
			"cgroupfs|" + app + "/x.service/homerun-web|" + app + "/x.service|cgroupfs: delegated cgroup " + app + "/x.service", ""},
		{"auto in its subgroup", Situation{Cgroup: at(app + "/x.service/runtime"), Delegation: unit, ID: "web"},
			"cgroupfs|" + app + "/x.service/homerun-web||cgroupfs: delegated cgroup " + app + "/x.service", ""},
		{"scope path in a delegated unit", Situation{Bus: "b", CgroupsPath: "user.slice:libpod:x", Cgroup: at(app + "/x.service"), Delegation: unit}, "systemd|||systemd scope: service manager at b", ""},
		{"scope path without bus", Situation{NoBus: "no socket", CgroupsPath: "user.slice:libpod:x", Cgroup: at(app + "/y"), Delegation: session, Limits: true}, `error cgroupv2: cgroupsPath "user.slice:libpod:x": no socket`, ""},
		{"no bus, writable ancestor", Situation{NoBus: "no socket", Cgroup: at(app + "/y.service"), Delegation: session, ID: "web"},
			"cgroupfs|" + app + "/homerun-web||cgroupfs: writable ancestor " + app, app + " true"},
		{"relative path", Situation{Manager: Cgroupfs, CgroupsPath: "a/b", Cgroup: at(app + "/y.service"), Delegation: session},
			"cgroupfs|" + app + "/a/b||cgroupfs: writable ancestor " + app, ""},
		{"absolute path", Situation{CgroupsPath: app + "/x.service/libpod-payload-1", Bus: "b", Cgroup: at(app + "/x.service/runtime"), Delegation: unit},
			"cgroupfs|" + app + "/x.service/libpod-payload-1||cgroupfs: cgroupsPath " + app + "/x.service/libpod-payload-1", ""},
		{"absolute path inside of what may be delegated", Situation{CgroupsPath: app + "/x.service/p", Cgroup: at(app + "/x.service"), Delegation: Delegation{Maybe: app + "/x.service", Writable: app, Top: user}},
			"cgroupfs|" + app + "/x.service/p|" + app + "/x.service|cgroupfs: cgroupsPath " + app + "/x.service/p", app + "/x.service false"},
		{"absolute path beside", Situation{CgroupsPath: user + "/other.slice/p", Cgroup: at(app + "/x.service"), Delegation: Delegation{Maybe: app + "/x.service", Writable: app, Top: user}},
			"cgroupfs|" + user + "/other.slice/p||cgroupfs: cgroupsPath " + user + "/other.slice/p", user + " true"},
		{"absolute path of others", Situation{CgroupsPath: "/libpod_parent/c", Cgroup: at(app + "/y.service"), Delegation: session},
			"disabled|||no cgroup: cgroup /libpod_parent/c: no cgroup above it is delegated to this user", ""},
		{"absolute path of others, limits", Situation{CgroupsPath: "/libpod_parent/c", Cgroup: at(app + "/y.service"), Delegation: session, Limits: true},
			"error cgroupv2: cgroup /libpod_parent/c: no cgroup above it is delegated to this user", ""},
		{"nothing", Situation{NoBus: "no socket", Cgroup: at("/user.slice/user-1000.slice/session-2.scope")},
			"disabled|||no cgroup: cgroup: no cgroup at or above /user.slice/user-1000.slice/session-2.scope is delegated to this user", ""},
		{"root", Situation{Manager: Cgroupfs, CgroupsPath: "/machine/c", Cgroup: at("/system.slice/x.service"), Delegation: Delegation{Writable: "/system.slice", Top: "/"}},
			"cgroupfs|/machine/c||cgroupfs: cgroupsPath /machine/c", "/ true"},
		{"root of a namespace", Situation{Cgroup: at("/"), ID: "web", Delegation: Delegation{Unit: "/", Top: "/"}}, "cgroupfs|/homerun-web|/|cgroupfs: delegated cgroup /", ""},
		{"escape", Situation{Manager: Cgroupfs, CgroupsPath: "/a/../b", Cgroup: at("/"), Delegation: Delegation{Top: "/"}}, `error config.json: linux.cgroupsPath: "/a/../b" has .. in it`, ""},
		{"root itself", Situation{Manager: Cgroupfs, CgroupsPath: "/", Cgroup: at("/"), Delegation: Delegation{Top: "/"}}, `error config.json: linux.cgroupsPath: is the root of the tree, which takes no container`, ""},
		{"unknown", Situation{Manager: "x"}, `error cgroupv2: manager "x" is none of auto, systemd, cgroupfs, disabled`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Choose(tt.s)
			got := strings.Join([]string{string(c.Manager), c.Path, c.Evacuate, c.Reason}, "|")
			if tt.base != "" && fmt.Sprint(c.Base, " ", c.Foreign) != tt.base {
				t.Errorf("base %s, foreign %v, want %s", c.Base, c.Foreign, tt.base)
			}
			if err != nil {
				got = "error " + err.Error()
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Hints and errors must not read as podman's and docker's triggers.
func TestHintsKeepClearOfTriggers(t *testing.T) {
	for _, text := range []string{hintDelegate, hintBus, hintUnified, hintInner, HintForeign, hintWholeDisk, hintAbsent, hintUnmanaged, hintIdle, hintQuota, HintInUse} {
		for _, trigger := range []string{"permission denied", "operation not permitted", "no such file", "not found", "\n"} {
			if strings.Contains(strings.ToLower(text), trigger) {
				t.Errorf("%q says %q", text, trigger)
			}
		}
	}
	if _, err := Choose(Situation{Manager: Systemd}); fault.Hint(err) == "" {
		t.Error("no hint")
	}
}
