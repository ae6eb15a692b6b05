package bundle

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/fault"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// minimal returns a config that passes Check, with members added at the top,
// in process and in linux.
func minimal(top, process, linux string) []byte {
	return fmt.Appendf(nil, `{"ociVersion":"1.0.0","root":{"path":"rootfs"},"process":{"args":["sh"],"cwd":"/"%s},
"linux":{"namespaces":[{"type":"mount"},{"type":"uts"},{"type":"time"}]%s}%s}`, process, linux, top)
}

func TestCheckAccepts(t *testing.T) {
	documents := corpus(t)
	for i, parts := range [][3]string{
		{},
		{`,"hostname":"a","domainname":"b"`, `,"env":["NOEQUALS",""]`, `,"timeOffsets":{"monotonic":{"secs":-1},"boottime":{}}`},
		{`,"mounts":[{"destination":"relative/../x"}]`, `,"oomScoreAdj":-1000`, `,"rootfsPropagation":"rslave"`},
		{`,"hooks":{"poststop":[{"path":"/x","timeout":1}]}`, `,"rlimits":[{"type":"RLIMIT_CPU","soft":1,"hard":1},{"type":"RLIMIT_AS"}]`, `,"personality":{"domain":"LINUX32"}`},
		{"", `,"user":{"uid":2147483647,"gid":2147483647,"additionalGids":[0]}`, `,"sysctl":{"net.ipv4.ip_forward":"1","net/ipv4/conf/eth0.1/x":"","net.ipv4.conf.eth0/1.x":""}`},
		{"", "", `,"uidMappings":[{"size":1},{"containerID":1,"hostID":1,"size":4294967294}]`},
		{"", "", `,"uidMappings":[` + strings.TrimSuffix(mappings(340), ",") + `]`},
		{"", "", `,"resources":{"hugepageLimits":[{"pageSize":"2MB"},{"pageSize":"10GB"}],"unified":{"memory.high":"1"}}`},
		{"", "", `,"devices":[{"type":"p","path":"/x"},{"type":"u","path":"/y"}],"maskedPaths":["/x"]`},
	} {
		documents[fmt.Sprint("accepted ", i)] = minimal(parts[0], parts[1], parts[2])
	}
	for name, raw := range documents {
		b, err := Decode(raw)
		if err != nil {
			t.Fatal(name, err)
		}
		if warnings, err := b.Check(); err != nil || warnings != nil {
			t.Errorf("%s: %v %q", name, err, warnings)
		}
	}
}

func mappings(count int) string {
	var list strings.Builder
	for i := range count {
		fmt.Fprintf(&list, `{"containerID":%d,"hostID":%d,"size":1},`, i, i)
	}
	return list.String()
}

func TestCheckRejects(t *testing.T) {
	for _, test := range []struct{ top, process, linux, want string }{
		{`,"ociVersion":""`, "", "", "2:87: ociVersion: missing"},
		{`,"ociVersion":"2.0.0"`, "", "", `2:87: ociVersion: expected a version 1.x, found "2.0.0"`},
		{`,"root":null`, "", "", "2:81: root: missing"},
		{`,"root":{}`, "", "", "2:81: root.path: missing"},
		{`,"root":{"path":"\u0000"}`, "", "", `2:89: root.path: "\x00" contains a NUL byte`},
		{`,"process":{"cwd":"/"}`, "", "", "2:84: process.args: missing or empty"},
		{`,"hostname":"h\u0000"`, "", "", `2:85: hostname: "h\x00" contains a NUL byte`},
		{`,"domainname":"` + strings.Repeat("x", 65) + `"`, "", "", `2:87: domainname: "` + strings.Repeat("x", 65) + `" is longer than 64 bytes`},
		{`,"hostname":"h"`, "", `,"namespaces":[{"type":"mount"}]`, "2:117: hostname: needs a uts namespace"},
		{`,"root":{"path":"/","readonly":true}`, "", `,"namespaces":[]`, "2:120: root.readonly: needs a mount namespace"},
		{`,"mounts":[{"destination":""}]`, "", "", "2:99: mounts[0].destination: missing"},
		{`,"mounts":[{"destination":"/"},{"destination":"/a\u0000"}]`, "", "", `2:119: mounts[1].destination: "/a\x00" contains a NUL byte`},
		{`,"mounts":[{"destination":"/","options":["a","\u0000"]}]`, "", "", `2:118: mounts[0].options[1]: "\x00" contains a NUL byte`},
		{`,"mounts":[{"destination":"/","gidMappings":[{}]}]`, "", "", "2:118: mounts[0].gidMappings[0]: the size is 0"},
		{`,"hooks":{"createRuntime":[{"path":"x"}]}`, "", "", `2:108: hooks.createRuntime[0].path: expected an absolute path, found "x"`},
		{`,"hooks":{"poststop":[{"path":"/x"},{"path":"/x","timeout":0}]}`, "", "", "2:132: hooks.poststop[1].timeout: expected more than 0 seconds, found 0"},
		{`,"hooks":{"poststart":[{"path":"/x","args":["\u0000"]}]}`, "", "", `2:117: hooks.poststart[0].args[0]: "\x00" contains a NUL byte`},
		{"", `,"args":[]`, "", "1:90: process.args: missing or empty"},
		{"", `,"args":["a","b\u0000c"]`, "", `1:95: process.args[1]: "b\x00c" contains a NUL byte`},
		{"", `,"env":["A=\u0000"]`, "", `1:90: process.env[0]: contains a NUL byte`},
		{"", `,"cwd":"tmp"`, "", `1:89: process.cwd: expected an absolute path, found "tmp"`},
		{"", `,"selinuxLabel":"\u0000"`, "", `1:98: process.selinuxLabel: "\x00" contains a NUL byte`},
		{"", `,"user":{"uid":2147483648}`, "", "1:97: process.user.uid: 2147483648 is larger than 2147483647"},
		{"", `,"user":{"additionalGids":[1,4294967295]}`, "", "1:111: process.user.additionalGids[1]: 4294967295 is larger than 2147483647"},
		{"", `,"rlimits":[{"type":"nofile"}]`, "", `1:102: process.rlimits[0].type: unknown resource limit "nofile"`},
		{"", `,"rlimits":[{"type":"RLIMIT_CPU"},{"type":"RLIMIT_CPU"}]`, "", `1:124: process.rlimits[1].type: "RLIMIT_CPU" occurs twice`},
		{"", `,"rlimits":[{"type":"RLIMIT_CPU","soft":2,"hard":1}]`, "", "1:122: process.rlimits[0].soft: 2 is larger than the hard limit 1"},
		{"", `,"oomScoreAdj":1001`, "", "1:97: process.oomScoreAdj: expected -1000 to 1000, found 1001"},
		{"", "", `,"namespaces":[{"type":"net"}]`, `2:95: linux.namespaces[0].type: unknown namespace "net"`},
		{"", "", `,"namespaces":[{"type":"pid"},{"type":"pid"}]`, `2:110: linux.namespaces[1].type: "pid" occurs twice`},
		{"", "", `,"namespaces":[{"type":"pid","path":"x"}]`, `2:108: linux.namespaces[0].path: expected an absolute path, found "x"`},
		{"", "", `,"namespaces":[],"maskedPaths":["/x"]`, "2:103: linux.maskedPaths: needs a mount namespace"},
		{"", "", `,"namespaces":[],"readonlyPaths":["/x"]`, "2:105: linux.readonlyPaths: needs a mount namespace"},
		{"", "", `,"maskedPaths":["/","x"]`, `2:92: linux.maskedPaths[1]: expected an absolute path, found "x"`},
		{"", "", `,"uidMappings":[{"size":0}]`, "2:88: linux.uidMappings[0]: the size is 0"},
		{"", "", `,"uidMappings":[{"hostID":1,"size":4294967295}]`, "2:88: linux.uidMappings[0]: the range ends after 4294967294"},
		{"", "", `,"uidMappings":[{"size":2},{"containerID":1,"hostID":9,"size":1}]`, "2:99: linux.uidMappings[1]: the container ids overlap those of mapping 0"},
		{"", "", `,"gidMappings":[{"size":2},{"containerID":9,"hostID":1,"size":1}]`, "2:99: linux.gidMappings[1]: the host ids overlap those of mapping 0"},
		{"", "", `,"gidMappings":[` + strings.TrimSuffix(mappings(341), ",") + `]`, "2:87: linux.gidMappings: 341 mappings are more than 340"},
		{"", "", `,"timeOffsets":{"realtime":{}}`, `2:99: linux.timeOffsets.realtime: unknown clock "realtime"`},
		{"", "", `,"timeOffsets":{"boottime":{"nanosecs":1000000000}}`, "2:111: linux.timeOffsets.boottime.nanosecs: 1000000000 is a second or more"},
		{"", "", `,"namespaces":[{"type":"mount"}],"timeOffsets":{"boottime":{}}`, "2:119: linux.timeOffsets: needs a time namespace"},
		{"", "", `,"devices":[{"type":"a","path":"/x"}]`, `2:92: linux.devices[0].type: expected c, u, b or p, found "a"`},
		{"", "", `,"devices":[{"type":"c","path":"x"}]`, `2:103: linux.devices[0].path: expected an absolute path, found "x"`},
		{"", "", `,"sysctl":{"net/../kernel/x":"1"}`, `2:101: linux.sysctl["net/../kernel/x"]: "net/../kernel/x" is not the name of a sysctl`},
		{"", "", `,"sysctl":{"net.//.x":"1"}`, `2:94: linux.sysctl["net.//.x"]: "net.//.x" is not the name of a sysctl`},
		{"", "", `,"sysctl":{"a.b":"\u0000"}`, `2:89: linux.sysctl["a.b"]: "\x00" contains a NUL byte`},
		{"", "", `,"rootfsPropagation":"r"`, `2:93: linux.rootfsPropagation: unknown propagation "r"`},
		{"", "", `,"rootfsPropagation":"rrslave"`, `2:93: linux.rootfsPropagation: unknown propagation "rrslave"`},
		{"", "", `,"personality":{"domain":"BSD"}`, `2:97: linux.personality.domain: expected LINUX or LINUX32, found "BSD"`},
		{"", "", `,"cgroupsPath":"\u0000"`, `2:87: linux.cgroupsPath: "\x00" contains a NUL byte`},
		{"", "", `,"resources":{"unified":{"../x":"1"}}`, `2:104: linux.resources.unified["../x"]: "../x" is not the name of a cgroup file`},
		{"", "", `,"resources":{"hugepageLimits":[{"pageSize":"02MB"}]}`, `2:116: linux.resources.hugepageLimits[0].pageSize: expected a size such as 2MB, found "02MB"`},
	} {
		b, err := Decode(minimal(test.top, test.process, test.linux))
		if err != nil {
			t.Fatal(test, err)
		}
		if _, err = b.Check(); err == nil || err.Error() != test.want {
			t.Errorf("%.99s%.99s%.99s\n got %v\nwant %s", test.top, test.process, test.linux, err, test.want)
		}
	}
}

func TestCheckReportsAll(t *testing.T) {
	_, err := Check(&specs.Spec{Hostname: "a"})
	want := "ociVersion: missing\nroot: missing\nhostname: needs a uts namespace"
	var first *fault.Error
	if err == nil || err.Error() != want || !errors.As(err, &first) || first.Place != "ociVersion" {
		t.Errorf("got %v", err)
	}
	_, err = Check(&specs.Spec{Mounts: make([]specs.Mount, 100)})
	if list := err.(Errors); len(list) != maxErrors {
		t.Errorf("%d errors", len(list))
	}
}

func TestCheckWarns(t *testing.T) {
	warnings, err := Check(&specs.Spec{Version: "1.0.0", Root: &specs.Root{Path: "/"}, Process: &specs.Process{Args: []string{"sh"}, Cwd: "/"},
		Linux: &specs.Linux{Personality: &specs.LinuxPersonality{Domain: specs.PerLinux, Flags: []specs.LinuxPersonalityFlag{"A", "B"}}}})
	want := []string{
		`linux.personality.flags[0]: unknown flag "A" is ignored`,
		`linux.personality.flags[1]: unknown flag "B" is ignored`,
	}
	if err != nil || !slices.Equal(warnings, want) {
		t.Errorf("got %q, %v", warnings, err)
	}
}

func TestCheckParts(t *testing.T) {
	if _, err := CheckProcess(new(specs.Process)); err == nil || !strings.HasPrefix(err.Error(), "args: missing or empty\ncwd: ") {
		t.Error(err)
	}
}

func TestVersions(t *testing.T) {
	for version, want := range map[string]bool{
		"1.0.0": true, "1.2.1+dev": true, "1.0.2-dev": true, "1.0": true, "1.3.0-rc.1": true, "1.99.0": true,
		"1": false, "1.": false, "1.0.": false, "1.0.0.0": false, "2.0.0": false, "0.9.0": false, "v1.0.0": false,
		"10.0.0": false, "1.x.0": false, "1.-1": false, "1.+1.0": false,
	} {
		if isVersion1(version) != want {
			t.Errorf("%q: want %t", version, want)
		}
	}
}

func TestTablesAreSorted(t *testing.T) {
	if !slices.IsSorted(rlimitTypes[:]) {
		t.Error("a table is out of order or incomplete")
	}
}

func BenchmarkCheck(b *testing.B) {
	bundle, err := Decode(corpus(b)["testdata/podman.json"])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bundle.Check(); err != nil {
			b.Fatal(err)
		}
	}
}

// TestCheckTolerates: what other runtimes take and the specification does not
// forbid. The tests of scheduler and bind mount are in process and rootfs.
func TestCheckTolerates(t *testing.T) {
	for _, test := range []struct {
		top, linux string
		want       []string
	}{
		{`,"process":null`, "", nil}, // a container to create; start fails
		{"", `,"resources":{"devices":[{"allow":false,"access":"rwm"},{"allow":true,"access":"rwa"},{"access":"a"},{"access":"mr"}]}`, []string{
			`linux.resources.devices[1].access: letters of "rwa" other than r, w and m are ignored`,
			`linux.resources.devices[2].access: letters of "a" other than r, w and m are ignored`}},
	} {
		b, err := Decode(minimal(test.top, "", test.linux))
		if err != nil {
			t.Fatal(err)
		}
		if warnings, err := b.Check(); err != nil || !slices.Equal(warnings, test.want) {
			t.Errorf("%s%s: %v %q", test.top, test.linux, err, warnings)
		}
	}
}
