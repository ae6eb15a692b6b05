package compile

import (
	"testing"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/host"
	"github.com/homerun-oci/homerun/netns"
	"github.com/homerun-oci/homerun/plan"
	"github.com/homerun-oci/homerun/userns"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestSummarize: each line says what is so of the container, also of one that exec
// joins, and of namespaces that are joined by path.
func TestSummarize(t *testing.T) {
	maps := &userns.Maps{UID: userns.Map{Mappings: []host.Mapping{{ContainerID: 0, HostID: 1000, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 65536}}},
		GID: userns.Map{Mappings: []host.Mapping{{ContainerID: 0, HostID: 50, Size: 1}}}}
	user := func(path string) []specs.LinuxNamespace {
		return []specs.LinuxNamespace{{Type: specs.UserNamespace, Path: path}}
	}
	choice := cgroupv2.Choice{Reason: "reason"}
	for name, test := range map[string]struct {
		uid        uint32
		readonly   bool
		namespaces []specs.LinuxNamespace
		mounts     []specs.Mount
		result     Result
		want       map[string]string
	}{
		"the host's ids": {want: map[string]string{"ids": "the program is 0:0, as outside", "root": "/srv, writable", "writable": "/", "cgroup": "reason; no limits",
			"network": "the host's", "privileges": "no capabilities", "program": "\"sh\" in /"}},
		"the caller's": {readonly: true, namespaces: user(""), result: Result{Maps: maps}, want: map[string]string{"root": "/srv, read-only", "writable": "nothing",
			"ids": "the program is 0:0 (outside 1000, who calls); users: 0 are 1000, 1-65536 are 100000-165535; groups: 0 are 50"}},
		"another's": {uid: 3, namespaces: user(""), result: Result{Maps: maps}, want: map[string]string{
			"ids": "the program is 3:0 (outside 100002); users: 0 are 1000, 1-65536 are 100000-165535; groups: 0 are 50"}},
		"joined by path": {namespaces: user("/proc/1/ns/user"), want: map[string]string{"ids": "the program is 0:0, as the user namespace maps it",
			"namespaces": "joined: user (/proc/1/ns/user); the host's: mount, pid, network, ipc, uts, cgroup, time"}},
		"exec": {namespaces: user(""), result: Result{Maps: maps, Joins: true}, want: map[string]string{"cgroup": "reason"}},
		"writable": {readonly: true, mounts: []specs.Mount{{Destination: "/a", Type: "tmpfs"}, {Destination: "/b", Source: "/src", Options: []string{"bind"}},
			{Destination: "/etc/hosts", Source: "/state/hosts", Options: []string{"bind"}},
			{Destination: "/c", Source: "/src", Options: []string{"bind", "ro"}}, {Destination: "/proc", Type: "proc"}, {Destination: "/sys", Type: "sysfs"},
			{Destination: "/q", Type: "mqueue"}, {Destination: "/pts", Type: "devpts"}, {Destination: "/cg", Type: "cgroup"},
			{Destination: "/ro", Type: "cgroup", Options: []string{"ro"}}}, result: Result{Copied: []string{"/state/hosts"}}, want: map[string]string{
			"writable": "/a (new, in memory), /b (from /src), /etc/hosts (its own, in memory), /q (new, in memory), /pts (new, in memory), /cg (its cgroup)"}},
	} {
		config := &specs.Spec{Root: &specs.Root{Path: "/srv", Readonly: test.readonly}, Mounts: test.mounts,
			Process: &specs.Process{Args: []string{"sh"}, Cwd: "/", User: specs.User{UID: test.uid}}, Linux: &specs.Linux{Namespaces: test.namespaces}}
		facts := &host.Facts{Rootfs: host.Source{Path: "/srv"}}
		facts.Process.UID = 1000
		test.result.Cgroup, test.result.Plan = choice, &plan.Plan{}
		lines := Summarize(config, facts, &test.result)
		if len(lines) != 8 {
			t.Errorf("%s: %d lines", name, len(lines))
		}
		for _, line := range lines {
			if want, ok := test.want[line.Subject]; ok && line.Text != want {
				t.Errorf("%s: %s: %q, want %q", name, line.Subject, line.Text, want)
			}
		}
	}
}

// TestSummarizeConnection: who connects a network is named, also before it is known which one is there.
func TestSummarizeConnection(t *testing.T) {
	for mode, want := range map[netns.Mode]string{netns.Auto: "pasta or slirp4netns", netns.Pasta: "pasta"} {
		if got := connected(&netns.Connection{Network: netns.Network{Mode: mode}}); got != "its own, connected by "+want {
			t.Errorf("%s: %q", mode, got)
		}
	}
}

// TestSummarizeFilter: of a filter that homerun's own init has, and the program's, the latter is told.
func TestSummarizeFilter(t *testing.T) {
	b := plan.NewBuilder(3)
	b.Do(plan.Prctl{Option: unix.PR_SET_DUMPABLE})
	b.Do(plan.Seccomp{Program: make([]byte, 8*10)})
	b.Do(plan.Seccomp{Program: make([]byte, 8*480)})
	b.Do(plan.ExitGroup{})
	p, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	if got := summarizePrivileges(&specs.Spec{Process: &specs.Process{}}, &Result{Plan: p}); got != "no capabilities, a seccomp filter of 480 instructions" {
		t.Error(got)
	}
}
