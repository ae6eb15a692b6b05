package runflags

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/spec"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// base is a config that flags change.
func base(t *testing.T) *specs.Spec {
	t.Helper()
	s, err := spec.Rootfs{Path: "/", Args: []string{"true"}, Hostname: "homerun", Volumes: []string{"/srv:/data/sub"}}.Config()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// part is what a dotted path names in a value's JSON, as text.
func part(t *testing.T, v any, path string) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	for _, key := range strings.Split(path, "/") {
		object, ok := value.(map[string]any)
		if !ok {
			return "none"
		}
		if value, ok = object[key]; !ok {
			return "none"
		}
	}
	text, err = json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestGoodValues: each flag changes what it is about. A flag without a row here or
// among the others below is missed by TestAllFlags.
func TestGoodValues(t *testing.T) {
	for _, test := range []struct {
		flags, path, want string
	}{
		{"memory=512m", "linux/resources/memory", `{"limit":536870912,"swap":1073741824}`},
		{"memory=1k memory=1024", "linux/resources/memory/limit", "1024"},
		{"memory=9223372036854775807", "linux/resources/memory/swap", "none"}, // twice that is no number
		{"memory=1.5GiB", "linux/resources/memory/limit", "1610612736"},
		{"memory=64m memory-swap=64m", "linux/resources/memory/swap", "67108864"},
		{"memory=64m memory-swap=-1", "linux/resources/memory/swap", "-1"},
		{"memory-swap=-1", "linux/resources/memory/swap", "-1"},
		{"memory-swap=1g memory=64m", "linux/resources/memory/swap", "1073741824"},
		{"memory-reservation=32m", "linux/resources/memory/reservation", "33554432"},
		{"cpus=1.5", "linux/resources/cpu", `{"period":100000,"quota":150000}`},
		{"cpus=.01", "linux/resources/cpu/quota", "1000"},
		{"cpu-shares=2", "linux/resources/cpu/shares", "2"},
		{"cpuset-cpus=0-1,3", "linux/resources/cpu/cpus", `"0-1,3"`},
		{"cpuset-mems=0", "linux/resources/cpu/mems", `"0"`},
		{"pids-limit=10", "linux/resources/pids/limit", "10"},
		{"pids-limit=-1", "linux/resources/pids", "none"},
		{"pids-limit=0", "linux/resources/pids", "none"},
		{"ulimit=nofile=10:20", "process/rlimits", `[{"hard":20,"soft":10,"type":"RLIMIT_NOFILE"}]`},
		{"ulimit=core=0 ulimit=core=-1", "process/rlimits", `[{"hard":18446744073709552000,"soft":18446744073709552000,"type":"RLIMIT_CORE"}]`},
		{"ulimit=stack=unlimited ulimit=nproc=5", "process/rlimits", `[{"hard":18446744073709552000,"soft":18446744073709552000,"type":"RLIMIT_STACK"},{"hard":5,"soft":5,"type":"RLIMIT_NPROC"}]`},
		{"group-add=5 group-add=7", "process/user/additionalGids", "[5,7]"},
		{"group-add=keep-groups", "annotations", `{"run.oci.keep_original_groups":"1"}`},
		{"cap-drop=ALL", "process/capabilities", "{}"},
		{"cap-add=net_raw cap-drop=all", "process/capabilities/effective", `["CAP_NET_RAW"]`},
		{"cap-drop=ALL cap-add=CAP_NET_RAW,CHOWN", "process/capabilities/bounding", `["CAP_NET_RAW","CAP_CHOWN"]`},
		{"cap-drop=ALL cap-add=CHOWN", "process/capabilities/ambient", "none"},
		{"userns=private", "process/user/uid", "0"},
		{"userns=keep-id", "process/user/uid", "0"},
		{"read-only=true", "root/readonly", "true"},
		{"read-only=false", "root/readonly", "none"},
		{"sysctl=net.ipv4.ip_forward=1", "linux/sysctl", `{"net.ipv4.ip_forward":"1"}`},
		{"label=a=b=c label=d", "annotations", `{"a":"b=c","d":""}`},
		{"annotation=run.oci.x=1", "annotations", `{"run.oci.x":"1"}`},
		{"uts=host", "hostname", "none"},
		{"uts=private", "hostname", `"homerun"`},
	} {
		s := base(t)
		if err := Apply(s, values(test.flags), Host{Swap: true}); err != nil {
			t.Errorf("%s: %v", test.flags, err)
		} else if got := part(t, s, test.path); got != test.want {
			t.Errorf("%s: %s is %s, want %s", test.flags, test.path, got, test.want)
		}
	}
}

// values reads NAME=VALUE words.
func values(words string) Values {
	v := Values{}
	for _, w := range strings.Fields(words) {
		name, value, _ := strings.Cut(w, "=")
		v[name] = append(v[name], value)
	}
	return v
}

// TestBadValues: an error names the flag with its value, and what is wanted.
func TestBadValues(t *testing.T) {
	for _, test := range []struct {
		flags, want string
	}{
		{"memory=10x", `--memory "10x": it is not a size: want bytes, or a number with b, k, m, g, t or p, as 512m`},
		{"memory=0", `--memory "0": want more than 0 bytes`},
		{"memory=-1", `--memory "-1": want more than 0 bytes`},
		{"memory=", `--memory "": it is not a size: want bytes, or a number with b, k, m, g, t or p, as 512m`},
		{"memory=99999999999g", `--memory "99999999999g": it is not a size: want bytes, or a number with b, k, m, g, t or p, as 512m`},
		{"memory-swap=64m", `--memory-swap "64m": it is memory and swap together, so it needs --memory`},
		{"memory=64m memory-swap=32m", `--memory-swap "32m": it is memory and swap together, so want at least what --memory says`},
		{"memory=64m memory-reservation=65m", `--memory-reservation "65m": want at most what --memory says`},
		{"memory-reservation=no", `--memory-reservation "no": it is not a size: want bytes, or a number with b, k, m, g, t or p, as 512m`},
		{"cpus=0", `--cpus "0": want a number of CPUs more than 0, as 2 or 0.5`},
		{"cpus=1048576", `--cpus "1048576": want a number of CPUs more than 0, as 2 or 0.5`},
		{"cpus=two", `--cpus "two": want a number of CPUs more than 0, as 2 or 0.5`},
		{"cpus=NaN", `--cpus "NaN": want a number of CPUs more than 0, as 2 or 0.5`},
		{"cpus=inf", `--cpus "inf": want a number of CPUs more than 0, as 2 or 0.5`},
		{"cpus=0.001", `--cpus "0.001": the kernel gives no less than 0.01`},
		{"cpu-shares=1", `--cpu-shares "1": want a whole number from 2 to 262144; 1024 is what others have`},
		{"cpuset-cpus=a", `--cpuset-cpus "a": want CPUs, as 0-3,7`},
		{"cpuset-cpus=3-1", `--cpuset-cpus "3-1": want CPUs, as 0-3,7`},
		{"cpuset-cpus=", `--cpuset-cpus "": want CPUs, as 0-3,7`},
		{"cpuset-mems=0,", `--cpuset-mems "0,": want memory nodes, as 0-1`},
		{"pids-limit=many", `--pids-limit "many": want a whole number of processes, or -1 for no limit`},
		{"pids-limit=-2", `--pids-limit "-2": want a whole number of processes, or -1 for no limit`},
		{"pids-limit=4194305", `--pids-limit "4194305": the kernel counts to 4194304: -1 is for no limit`},
		{"ulimit=nofile", `--ulimit "nofile": want NAME=SOFT[:HARD] with numbers, or -1 for unlimited, as nofile=1024:4096`},
		{"ulimit=nofile=a", `--ulimit "nofile=a": want NAME=SOFT[:HARD] with numbers, or -1 for unlimited, as nofile=1024:4096`},
		{"ulimit=nofile=1:2:3", `--ulimit "nofile=1:2:3": want NAME=SOFT[:HARD] with numbers, or -1 for unlimited, as nofile=1024:4096`},
		{"ulimit=files=1", `--ulimit "files=1": unknown limit: want core, cpu, data, fsize, memlock, nofile, nproc, stack or another of getrlimit(2)`},
		{"ulimit=nofile=20:10", `--ulimit "nofile=20:10": the soft limit is above the hard one`},
		{"ulimit=nofile=-1:10", `--ulimit "nofile=-1:10": the soft limit is above the hard one`},
		{"shm-size=0", `--shm-size "0": want more than 0 bytes`},
		{"shm-size=1m ipc=host", `--shm-size "1m": the container has no /dev/shm of its own`},
		{"group-add=video", `--group-add "video": want a group's name or id, or keep-groups`},
		{"group-add=keep-groups group-add=5", `--group-add "keep-groups": it cannot be had together with other groups`},
		{"cap-add=NET_RAWW", `--cap-add "NET_RAWW": unknown capability: want a name of capabilities(7), as NET_RAW, or ALL`},
		{"cap-drop=", `--cap-drop "": unknown capability: want a name of capabilities(7), as NET_RAW, or ALL`},
		{"cap-drop=CHOWN cap-add=chown", `--cap-add "CAP_CHOWN": --cap-drop takes the same capability`},
		{"userns=auto", `--userns "auto": homerun keeps no account of which ids are taken: all of yours are mapped without it`},
		{"userns=nomap", `--userns "nomap": your own id is the container's root, or nothing could be made for it: want keep-id or private, or leave it out`},
		{"userns=keep-id:uid=5", `--userns "keep-id:uid=5": you have your own id in it, and no other: want keep-id alone`},
		{"userns=other", `--userns "other": want keep-id, private or, as root, host`},
		{"pid=container:web", `--pid "container:web": want private or host`},
		{"ipc=shareable", `--ipc "shareable": want private or host`},
		{"userns=", `--userns "": want keep-id, private or, as root, host`},
		{"pid=", `--pid "": want private or host`},
		{"uts=x", `--uts "x": want private or host`},
		{"read-only=maybe", `--read-only "maybe": want true or false, or no value`},
		{"tmpfs=cache", `--tmpfs "cache": want an absolute directory of the container, as /cache:size=64m`},
		{"sysctl=net.ipv4.ip_forward", `--sysctl "net.ipv4.ip_forward": want NAME=VALUE, as net.ipv4.ip_forward=1`},
		{"label==b", `--label "=b": want NAME[=VALUE]`},
		{"label=run.oci.handler=wasm", `--label "run.oci.handler=wasm": names with run.oci. are acted on: --annotation sets them`},
		{"label=run.homerun.net=host", `--label "run.homerun.net=host": names with run.homerun. are acted on: --annotation sets them`},
		{"annotation=a", `--annotation "a": want NAME=VALUE`},
		{"mount=", `--mount "": want KEY=VALUE,... as type=bind,src=/srv,dst=/srv`},
		{"mount=type=volume,dst=/x", `--mount "type=volume,dst=/x": homerun has no volumes: want type=bind with a directory of your own, or type=tmpfs`},
		{"mount=dst=/x", `--mount "dst=/x": want type=bind or type=tmpfs`},
		{"mount=type=bind,dst=/x", `--mount "type=bind,dst=/x": want source=PATH, what is to be seen in the container`},
		{"mount=type=bind,src=~/x,dst=/x", `--mount "type=bind,src=~/x,dst=/x": ~ is for the shell, which leaves it alone here: want $HOME, or ./~ for a file of that name`},
		{"mount=type=bind,src=/x", `--mount "type=bind,src=/x": want target=DIR, absolute, in the container`},
		{"mount=type=bind,src=/x,dst=x", `--mount "type=bind,src=/x,dst=x": want target=DIR, absolute, in the container`},
		{"mount=type=tmpfs,src=/x,dst=/x", `--mount "type=tmpfs,src=/x,dst=/x": a tmpfs has no source`},
		{"mount=type=bind,src=/x,dst=/y,tmpfs-size=1m", `--mount "type=bind,src=/x,dst=/y,tmpfs-size=1m": tmpfs-size and tmpfs-mode go with type=tmpfs`},
		{"mount=type=tmpfs,dst=/x,tmpfs-size=x", `--mount "type=tmpfs,dst=/x,tmpfs-size=x": tmpfs-size: want bytes, or a number with b, k, m, g, t or p, as 512m`},
		{"mount=type=tmpfs,dst=/x,tmpfs-mode=9", `--mount "type=tmpfs,dst=/x,tmpfs-mode=9": tmpfs-mode: want an octal mode, as 1777`},
		{"mount=type=bind,src=/x,dst=/y,ro=perhaps", `--mount "type=bind,src=/x,dst=/y,ro=perhaps": ro: want true or false, or no value`},
		{"mount=type=bind,bind-propagation=all", `--mount "type=bind,bind-propagation=all": bind-propagation: want private, slave or shared, or one of these with an r before it`},
		{"mount=type=bind,src=/x,dst=/y,nosuid=true", `--mount "type=bind,src=/x,dst=/y,nosuid=true": nosuid: it has no value`},
		{"mount=type=bind,relabel=shared", `--mount "type=bind,relabel=shared": relabel: homerun changes no SELinux labels; chcon does`},
		{"mount=type=bind,size=1", `--mount "type=bind,size=1": unknown key size: want type, source, target, readonly, nosuid, nodev, noexec, bind-propagation, bind-nonrecursive, tmpfs-size or tmpfs-mode`},
		{`mount=type=bind,"src=/a`, `--mount "type=bind,\"src=/a": a double quote is left open`},
		{"device=fuse", `--device "fuse": want PATH[:PATH[:rwm]] with absolute paths, as /dev/fuse`},
		{"device=/dev/fuse:/dev/x:rwx", `--device "/dev/fuse:/dev/x:rwx": want PATH[:PATH[:rwm]] with absolute paths, as /dev/fuse`},
		{"device=/dev/fuse:r", `--device "/dev/fuse:r": without root nobody can be let read a device and not write it, or the reverse: want rw or rwm`},
		{"device=vendor.com/gpu=0", `--device "vendor.com/gpu=0": homerun does not read CDI: want a path, as /dev/fuse`},
	} {
		if err := Apply(base(t), values(test.flags), Host{}); err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", test.flags, err, test.want)
		}
	}
}

// TestAllFlags: each flag has a row above, and each row a flag. Those without a
// function of their own are read elsewhere: --user, --env-file, --stop-signal and --stop-timeout
// by the command.
func TestAllFlags(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Flags() {
		if seen[f.Name] || f.Usage == "" || (f.Value == "") != (f.Kind == Switch) {
			t.Errorf("--%s: twice, or without a usage or a value", f.Name)
		}
		seen[f.Name] = true
		if f.apply == nil && !slices.Contains([]string{"user", "env-file", "cap-add", "cap-drop", "stop-signal", "stop-timeout"}, f.Name) {
			t.Errorf("--%s does nothing", f.Name)
		}
	}
}

// TestNoFlags: a config that no flag changes is as it was.
func TestNoFlags(t *testing.T) {
	s := base(t)
	if err := Apply(s, Values{}, Host{Swap: true}); err != nil || !reflect.DeepEqual(s, base(t)) {
		t.Errorf("%v, changed", err)
	}
}

// TestNoSwap: where the kernel has none there is nothing to limit, and a limit that
// nobody asked for would be an error.
func TestNoSwap(t *testing.T) {
	s := base(t)
	if err := Apply(s, values("memory=64m"), Host{}); err != nil || s.Linux.Resources.Memory.Swap != nil {
		t.Errorf("%v, %v", err, s.Linux.Resources.Memory)
	}
}

// TestUsersCapabilities: execve leaves a user but the ambient ones, so what was added
// is among those, and nothing that was not.
func TestUsersCapabilities(t *testing.T) {
	s := base(t)
	s.Process.User.UID = 7
	if err := Apply(s, values("cap-add=NET_RAW"), Host{}); err != nil {
		t.Fatal(err)
	}
	want := []string{"CAP_NET_RAW"}
	c := s.Process.Capabilities
	if !slices.Equal(c.Ambient, want) || !slices.Equal(c.Inheritable, want) || !slices.Equal(c.Effective, want) || !slices.Equal(c.Permitted, want) {
		t.Errorf("%+v", c)
	}
	if !slices.Contains(c.Bounding, "CAP_NET_RAW") || !slices.Contains(c.Bounding, "CAP_CHOWN") {
		t.Errorf("bounding: %q", c.Bounding)
	}
}

// TestEveryCapability: ALL are those that capabilities(7) has, and a dropped one is
// not among them.
func TestEveryCapability(t *testing.T) {
	s := base(t)
	if err := Apply(s, values("cap-add=ALL cap-drop=SYS_ADMIN"), Host{}); err != nil {
		t.Fatal(err)
	}
	list := s.Process.Capabilities.Permitted
	if len(list) != 40 || slices.Contains(list, "CAP_SYS_ADMIN") || !slices.Contains(list, "CAP_BPF") {
		t.Errorf("%d: %q", len(list), list)
	}
}

// TestNamespaces: host takes the namespace away, with what would need one of its own.
func TestNamespaces(t *testing.T) {
	for flags, want := range map[string]struct {
		kind    specs.LinuxNamespaceType
		mounted string
	}{
		"pid=host":    {specs.PIDNamespace, "/proc bind /proc, /dev/shm tmpfs shm, /dev/mqueue mqueue mqueue"},
		"ipc=host":    {specs.IPCNamespace, "/proc proc proc, /dev/shm bind /dev/shm, /dev/mqueue bind /dev/mqueue"},
		"uts=host":    {specs.UTSNamespace, "/proc proc proc, /dev/shm tmpfs shm, /dev/mqueue mqueue mqueue"},
		"userns=host": {specs.UserNamespace, "/proc proc proc, /dev/shm tmpfs shm, /dev/mqueue mqueue mqueue"},
	} {
		s := base(t)
		before := len(s.Linux.Namespaces)
		if err := Apply(s, values(flags), Host{Queues: true}); err != nil {
			t.Fatal(err)
		}
		gone := !slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == want.kind })
		if !gone || len(s.Linux.Namespaces) != before-1 {
			t.Errorf("%s: %v", flags, s.Linux.Namespaces)
		}
		var mounted []string
		for _, m := range s.Mounts {
			if m.Destination == "/proc" || m.Destination == "/dev/shm" || m.Destination == "/dev/mqueue" {
				mounted = append(mounted, m.Destination+" "+m.Type+" "+m.Source)
			}
		}
		if got := strings.Join(mounted, ", "); got != want.mounted {
			t.Errorf("%s: %s, want %s", flags, got, want.mounted)
		}
	}
}
