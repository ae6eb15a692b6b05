package lint

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestUnknown: each misspelt member is found where it is, with what was meant.
func TestUnknown(t *testing.T) {
	for document, want := range map[string]string{
		`{"process":{"arg":["x"]}}`:                           "1:19: process.arg args?",
		`{"process":{"Args":["x"]}}`:                          "1:20: process.Args args?",
		`{"process":{"command":["x"]}}`:                       "1:23: process.command args?",
		`{"process":{"comand":["x"]}}`:                        "1:22: process.comand args?",
		`{"process":{"environment":["x"]}}`:                   "1:27: process.environment env?",
		`{"process":{"workingDir":"x"}}`:                      "1:26: process.workingDir cwd?",
		`{"noNewPrivileges":true}`:                            "1:20: noNewPrivileges process.noNewPrivileges?",
		`{"args":[]}`:                                         "1:9: args process.args?",
		`{"cmd":[]}`:                                          "1:8: cmd process.args?",
		`{"linux":{"maskPaths":[]}}`:                          "1:23: linux.maskPaths maskedPaths?",
		`{"linux":{"resources":{"memory":{"limits":1}}}}`:     "1:43: linux.resources.memory.limits limit?",
		`{"mounts":[{},{"src":"/x"}]}`:                        "1:22: mounts[1].src source?",
		`{"mounts":[{"destinatoin":"/x"}]}`:                   "1:27: mounts[0].destinatoin destination?",
		`{"xyzzy":{"args":1}}`:                                "1:10: xyzzy ",
		`{"linux":{"seccomp":{"syscalls":[{"name":["x"]}]}}}`: "1:42: linux.seccomp.syscalls[0].name names?",
		`{"hooks":{"preStart":[]}}`:                           "1:22: hooks.preStart prestart?",
		`{"linux":{"resources":{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":10,"wight":1}]}}}}`: "1:92: linux.resources.blockIO.weightDevice[0].wight weight?",
		// What is no member.
		`{"annotations":{"arg":"x"},"linux":{"sysctl":{"net.x":"1"},"resources":{"unified":{"a":"b"}}},"process":{"env":["A=b"]}}`: "",
		`{"linux":{"timeOffsets":{"boottime":{"secs":1}},"resources":{"rdma":{"mlx":{"hcaHandles":3}}}}}`:                          "",
		`{"process":null,"mounts":null,"windows":{"layerFolders":[]}}`:                                                             "",
		`{`: "", `[]`: "", ``: "",
	} {
		list := Unknown([]byte(document))
		Locate([]byte(document), list)
		got := ""
		for _, f := range list {
			_, meant, _ := strings.Cut(f.Message, "did you mean ")
			got += strings.TrimPrefix(strings.SplitN(f.In("config.json"), " error: ", 2)[0], "config.json:") + " " + f.Place + " " + meant
			if f.Kind != KindUnknown || !f.Kind.IsError() {
				t.Errorf("%s: %+v", document, f)
			}
		}
		if got != want {
			t.Errorf("%s:\n got %q\nwant %q", document, got, want)
		}
	}
}

// TestSeveral: findings come in the order of the document.
func TestSeveral(t *testing.T) {
	raw := []byte("{\n \"b\": 1,\n \"a\": 2\n}")
	list := append(Unknown(raw), Finding{Kind: KindUnsafe, Place: "linux", Message: "not there"}, Finding{Kind: KindIgnored, Message: "of the whole"})
	Locate(raw, list)
	var lines []string
	for _, f := range list {
		lines = append(lines, f.In("config.json"))
	}
	want := "config.json: warning: of the whole [ignored]\nconfig.json:1:1: warning: linux: not there [unsafe]\n" +
		"config.json:2:7: error: b: the specification has no such member, and it is ignored [unknown]\n" +
		"config.json:3:7: error: a: the specification has no such member, and it is ignored [unknown]"
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("%s", got)
	}
}

// tame is a config with nothing to say about.
func tame() Subject {
	return Subject{Seccomp: true, Home: "/home/u", Config: &specs.Spec{
		Process: &specs.Process{NoNewPrivileges: true, Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN"}}},
		Mounts:  []specs.Mount{{Destination: "/proc", Type: "proc"}, {Destination: "/sys", Type: "sysfs", Options: []string{"ro"}}},
		Linux: &specs.Linux{
			Namespaces:  []specs.LinuxNamespace{{Type: "mount"}, {Type: "pid"}, {Type: "network"}, {Type: "ipc"}, {Type: "user"}, {Type: "cgroup"}},
			MaskedPaths: []string{"/proc/kcore", "/proc/keys"}, ReadonlyPaths: []string{"/proc/sys", "/proc/sysrq-trigger"}}}}
}

func bound(source string, options ...string) func(*Subject) {
	return func(s *Subject) {
		s.Config.Mounts = append(s.Config.Mounts, specs.Mount{Destination: "/x", Type: "bind", Source: source, Options: options})
	}
}

func without(kind specs.LinuxNamespaceType, path string) func(*Subject) {
	return func(s *Subject) {
		for i := range s.Config.Linux.Namespaces {
			if n := &s.Config.Linux.Namespaces[i]; n.Type == kind {
				if n.Path = path; path == "" {
					n.Type = "uts"
				}
			}
		}
	}
}

// TestUnsafe makes one thing each unsafe, and wants that said, and nothing else.
func TestUnsafe(t *testing.T) {
	if list := Unsafe(tame()); len(list) > 0 {
		t.Errorf("%+v", list)
	}
	for want, change := range map[string]func(*Subject){
		"process.noNewPrivileges: setuid":                                               func(s *Subject) { s.Config.Process.NoNewPrivileges = false },
		"linux.seccomp: there is no":                                                    func(s *Subject) { s.Seccomp = false },
		"process.capabilities.bounding[0]: with CAP_SYS_ADMIN":                          func(s *Subject) { s.Config.Process.Capabilities.Bounding[0] = "CAP_SYS_ADMIN" },
		"process.capabilities.ambient[0]: with CAP_SYS_MODULE":                          func(s *Subject) { s.Config.Process.Capabilities.Ambient = []string{"CAP_SYS_MODULE"} },
		"linux.namespaces: the container shares the host's pid":                         without("pid", ""),
		"linux.namespaces: the container shares the host's network":                     without("network", ""),
		"linux.namespaces: the container shares the host's ipc":                         without("ipc", ""),
		"linux.namespaces: the container shares the host's mount":                       without("mount", ""),
		"linux.namespaces: the container joins the network namespace of /proc/1/ns/net": without("network", "/proc/1/ns/net"),
		"linux.namespaces: without a user namespace root":                               func(s *Subject) { s.HostRoot = true; without("user", "")(s) },
		"linux.rootfsPropagation: what the container":                                   func(s *Subject) { s.Config.Linux.RootfsPropagation = "rshared" },
		"linux.uidMappings[0]: the host's id 0": func(s *Subject) {
			s.HostRoot, s.Config.Linux.UIDMappings = true, []specs.LinuxIDMapping{{Size: 1}}
		},
		"linux.gidMappings[1]: the host's id 0": func(s *Subject) {
			s.HostRoot, s.Config.Linux.GIDMappings = true, []specs.LinuxIDMapping{{HostID: 5, Size: 1}, {ContainerID: 1, Size: 1}}
		},
		"mounts[2].source: who talks to /var/run/docker.sock":        bound("/var/run/docker.sock", "ro"),
		"mounts[2].source: who talks to /run/user/1/systemd/private": bound("/run/user/1/systemd/private"),
		"mounts[2]: the host's /etc can be written":                  bound("/etc/", "rbind"),
		"mounts[2]: your home /home/u can be written":                bound("/home/u/", "rbind"),
		"root: the root is the host's":                               func(s *Subject) { s.Config.Root = &specs.Root{Path: "/"} },
		"mounts[2].options: rshared":                                 bound("/srv", "rshared"),
		"mounts[1]: /sys can be written":                             func(s *Subject) { s.Config.Mounts[1].Options = nil },
		"mounts[2]: the host's cgroups can be written": func(s *Subject) {
			without("cgroup", "")(s)
			s.Config.Mounts = append(s.Config.Mounts, specs.Mount{Type: "cgroup"})
		},
		"linux.readonlyPaths: /proc/sys can be written": func(s *Subject) { s.Config.Linux.ReadonlyPaths = s.Config.Linux.ReadonlyPaths[1:] },
		"linux.maskedPaths: /proc/kcore shows":          func(s *Subject) { s.Config.Linux.MaskedPaths = s.Config.Linux.MaskedPaths[1:] },
		"linux.devices[0]: /dev/sda is a disk":          func(s *Subject) { s.Config.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/sda", Type: "b"}} },
		"root.path: /r can be written":                  func(s *Subject) { s.Open = []OpenPath{{"root.path", "/r"}} },
	} {
		s := tame()
		change(&s)
		list := Unsafe(s)
		if len(list) != 1 || !strings.HasPrefix(list[0].Place+": "+list[0].Message, want) || list[0].Kind.IsError() {
			t.Errorf("want %q: %+v", want, list)
		}
	}
}

// TestSockets: each socket by which one has an engine run something is named, wherever it lies.
func TestSockets(t *testing.T) {
	for _, name := range []string{"docker.sock", "podman.sock", "containerd.sock", "crio.sock", "buildkitd.sock", "cri-dockerd.sock", "system_bus_socket"} {
		s := tame()
		bound("/srv/"+name, "ro")(&s)
		if list := Unsafe(s); len(list) != 1 || !strings.Contains(list[0].Message, "who talks to /srv/"+name) {
			t.Errorf("%s: %+v", name, list)
		}
	}
}

// TestOwnIDs: the host's id 0 is nobody's to map but root's of the machine: another's is that
// of the namespace that homerun is in.
func TestOwnIDs(t *testing.T) {
	s := tame()
	s.Config.Linux.UIDMappings = []specs.LinuxIDMapping{{Size: 1}}
	if list := Unsafe(s); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

// TestUnsafeDevices: all devices matter to who is root of the machine alone.
func TestUnsafeDevices(t *testing.T) {
	s := tame()
	s.Config.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}}
	if list := Unsafe(s); len(list) > 0 {
		t.Errorf("%+v", list)
	}
	s.HostRoot = true
	without("user", "")(&s)
	if list := Unsafe(s); len(list) != 2 || list[1].Place != "linux.resources.devices[0]" {
		t.Errorf("%+v", list)
	}
}

// TestSafeCgroups: the host's cgroups that can only be read.
func TestSafeCgroups(t *testing.T) {
	s := tame()
	without("cgroup", "")(&s)
	s.Config.Mounts = append(s.Config.Mounts, specs.Mount{Type: "cgroup", Options: []string{"ro"}})
	if list := Unsafe(s); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

// TestUnsafeNothing: a config without any part.
func TestUnsafeNothing(t *testing.T) {
	if list := Unsafe(Subject{Config: &specs.Spec{}}); len(list) != 4 {
		t.Errorf("%+v", list)
	}
}

// TestAnnotations: what run would refuse, and what it would pass over.
func TestAnnotations(t *testing.T) {
	for _, test := range []struct {
		name, value string
		kind        Kind
		words       string
	}{
		{"run.homerun.net", "pasta", "", ""},
		{"run.homerun.net", "auto", "", ""},
		{"run.homerun.net", "pastaa", KindInvalid, "unknown network"},
		{"run.homerun.ports", "8080:80,53:53/udp", "", ""},
		{"run.homerun.ports", "", "", ""},
		{"run.homerun.ports", "8080:80,80", KindInvalid, "no host port"},
		{"run.homerun.prots", "80:80", KindIgnored, "did you mean run.homerun.ports?"},
		{"run.homerun.frobnicate", "", KindIgnored, "homerun has no such annotation"},
		{"run.homerun.stop-signal", "INT", "", ""},
		{"org.other", "x", "", ""},
	} {
		list := Annotations(&specs.Spec{Annotations: map[string]string{test.name: test.value}})
		if test.kind == "" && len(list) == 0 {
			continue
		}
		if len(list) != 1 || list[0].Kind != test.kind || !strings.Contains(list[0].Message, test.words) || !strings.Contains(list[0].Place, test.name) {
			t.Errorf("%s=%s: %+v", test.name, test.value, list)
		}
	}
}

// TestTwice: a member that is there more than once is said once.
func TestTwice(t *testing.T) {
	for document, want := range map[string]string{
		`{"a":1,"b":{"a":2},"c":[{"a":3},{"a":4}]}`:        "",
		`{"a":{"x":1},"b":2,"a":3,"a":4}`:                  "a",
		`{"c":[1,{"x":[],"y":{"z":1,"z":2},"x":0}],"d":0}`: "c[1].y.z c[1].x",
		`{"a":`: "",
		`5`:     "",
	} {
		var places []string
		for _, f := range Twice([]byte(document)) {
			places = append(places, f.Place)
		}
		if got := strings.Join(places, " "); got != want {
			t.Errorf("%s: %s, want %s", document, got, want)
		}
	}
}
