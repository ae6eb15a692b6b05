package systemd

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/limits"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestParsePath(t *testing.T) {
	tests := []struct{ path, slice, scope, err string }{
		{"", "user.slice", "homerun-web.scope", ""},
		{"user.slice:libpod:123", "user.slice", "libpod-123.scope", ""},
		{":libpod:123", "user.slice", "libpod-123.scope", ""},
		{"::123", "user.slice", "123.scope", ""},
		{"a-b.slice:123", "a-b.slice", "123.scope", ""},
		{"123", "user.slice", "123.scope", ""},
		{"/user.slice/user-1000.slice:cri:x", "user-1000.slice", "cri-x.scope", ""},
		{"a.slice/a-b.slice:cri:x", "a-b.slice", "cri-x.scope", ""},
		{"a/b.slice:x:y", "", "", `config.json: linux.cgroupsPath: "a/b.slice:x:y": "a/b.slice" is not where systemd has b.slice, which is "b.slice"`},
		{"a.slice/b.slice:x:y", "", "", `config.json: linux.cgroupsPath: "a.slice/b.slice:x:y": "a.slice/b.slice" is not where systemd has b.slice, which is "b.slice"`},
		{"../b.slice:x:y", "", "", `config.json: linux.cgroupsPath: "../b.slice:x:y": "../b.slice" is not where systemd has b.slice, which is "b.slice"`},
		{"b.slice/:x:y", "", "", `config.json: linux.cgroupsPath: "b.slice/:x:y": "b.slice/" is not where systemd has b.slice, which is "b.slice"`},
		{"user.slice::pod.slice", "user.slice", "pod.slice", ""},
		{"user.slice:libpod:pod.slice", "user.slice", "pod.slice", ""},
		{"-.slice::x", "-.slice", "x.scope", ""},
		{"a+b", "user.slice", `a\x2bb.scope`, ""},
		{"my-app_1.2", "user.slice", "my-app_1.2.scope", ""},
		{"a:b:c:d", "", "", `config.json: linux.cgroupsPath: "a:b:c:d": the systemd manager takes slice:prefix:name`},
		{"/a/b", "", "", `config.json: linux.cgroupsPath: "/a/b": is a path; the systemd manager takes slice:prefix:name`},
		{"user.slice:libpod:", "", "", `config.json: linux.cgroupsPath: "user.slice:libpod:": has no name for the scope`},
		{"user:libpod:x", "", "", `config.json: linux.cgroupsPath: "user:libpod:x": "user" is not the name of a slice`},
		{"a--b.slice:libpod:x", "", "", `config.json: linux.cgroupsPath: "a--b.slice:libpod:x": "a--b.slice" is not the name of a slice`},
	}
	for _, tt := range tests {
		slice, scope, err := ParsePath(tt.path, "web", true)
		if slice != tt.slice || scope != tt.scope || tt.err == "" && err != nil || tt.err != "" && fmt.Sprint(err) != tt.err {
			t.Errorf("ParsePath(%q) = %q, %q, %v", tt.path, slice, scope, err)
		}
	}
	// An id may end as a slice does.
	for id, want := range map[string]string{"web": "homerun-web.scope", "web.slice": "homerun-web.slice.scope", "x.scope": "homerun-x.scope.scope"} {
		if _, scope, err := ParsePath("", id, true); scope != want || err != nil {
			t.Errorf("the scope of %s is %q, %v", id, scope, err)
		}
	}
	if slice, _, _ := ParsePath("", "web", false); slice != "system.slice" {
		t.Errorf("root's default slice is %s", slice)
	}
}

func TestExpandSlice(t *testing.T) {
	for slice, want := range map[string]string{"a.slice": "a.slice", "a-b.slice": "a.slice/a-b.slice", "a-b-c.slice": "a.slice/a-b.slice/a-b-c.slice", "-.slice": "",
		"": "!", ".slice": "!", "a-.slice": "!", "-a.slice": "!", "a": "!", "a/b.slice": "!", "a b.slice": "!"} {
		got, err := ExpandSlice(slice)
		if err != nil {
			got = "!"
		}
		if got != want {
			t.Errorf("ExpandSlice(%q) = %q, %v", slice, got, err)
		}
	}
}

// Whatever comes in, a unit name comes out that systemd takes, or an error.
func FuzzParsePath(f *testing.F) {
	for _, seed := range []string{"", "a:b", "user.slice:libpod:x", "/a.slice/b.slice:c:d", "a+b", "x.slice", "a/b.slice:x:y"} {
		f.Add(seed, "id")
	}
	f.Add("", "web.slice")
	f.Fuzz(func(t *testing.T, path, id string) {
		slice, scope, err := ParsePath(path, id, true)
		if err != nil {
			return
		}
		name, isScope := strings.CutSuffix(scope, ".scope")
		name, isSlice := strings.CutSuffix(name, ".slice")
		if !isScope && !isSlice || name == "" && isScope || !validUnit(scope) || len(scope) > maxUnitName {
			t.Errorf("ParsePath(%q, %q): scope %q", path, id, scope)
		}
		if _, err := ExpandSlice(slice); err != nil {
			t.Errorf("ParsePath(%q, %q): slice %q: %v", path, id, slice, err)
		}
		if path == "" && !isScope {
			t.Errorf("the id %q makes the slice %q", id, scope)
		}
	})
}

func TestParseGVariant(t *testing.T) {
	tests := []struct {
		text string
		want any
	}{
		{"true", true}, {"false", false}, {"15", int32(15)}, {"-15", int32(-15)}, {"0x1f", int32(31)}, {" 7 ", int32(7)},
		{"uint64 10000000", uint64(10000000)}, {"int64 -5", int64(-5)}, {"uint32 5", uint32(5)}, {"byte 0xff", byte(255)},
		{"1.5", 1.5}, {"double 2", 2.0}, {"1e3", 1000.0}, {"'a b'", "a b"}, {`"a'b"`, "a'b"}, {`'a\'b\n'`, "a'b\n"}, {"''", ""},
		{"['a', 'b']", []string{"a", "b"}}, {"[1,2]", []int32{1, 2}}, {"[uint32 1, uint32 2]", []uint32{1, 2}}, {"@as []", []string{}},
		{"[byte 0x03, 4]", []byte{3, 4}}, {"[uint64 1, 2]", []uint64{1, 2}}, {"[byte 1, 256]", nil}, {"[byte 1, 'a']", nil},
		{strings.Repeat("[", 1<<20), nil}, // no stack is deep enough
		{"", nil}, {"x", nil}, {"1 2", nil}, {"'a", nil}, {`'\q'`, nil}, {"[", nil}, {"[]", nil}, {"[1,'a']", nil}, {"[1 2]", nil}, {"[1,", nil},
		{"byte 256", nil}, {"3000000000", nil}, {"uint64 -1", nil}, {"nan", nil}, {"inf", nil}, {"@x []", nil}, {"uint64", nil}, {"[['a']]", nil}, {"'a\x00'", nil},
	}
	for _, tt := range tests {
		got, err := ParseGVariant(tt.text)
		if (err != nil) != (tt.want == nil) || err == nil && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("ParseGVariant(%q) = %#v, %v, want %#v", tt.text, got, err, tt.want)
		}
		if err != nil && (strings.Contains(err.Error(), "\n") || len(err.Error()) > 500) {
			t.Errorf("%q: more than one line", err)
		}
	}
}

func FuzzParseGVariant(f *testing.F) {
	for _, seed := range []string{"true", "uint64 1", "['a','b']", `'\''`, "@as []", "1.5e3", "[[1]]", "[byte 1, 2]", "['crio.service']", "uint64 10000000"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := ParseGVariant(text)
		if (v == nil) != (err != nil) {
			t.Errorf("%#v, %v", v, err)
		}
	})
}

func request(t testing.TB, res string) Request {
	t.Helper()
	var r specs.LinuxResources
	if err := json.Unmarshal([]byte(res), &r); err != nil {
		t.Fatal(err)
	}
	return Resources(limitsOf(t, &r))
}

func limitsOf(t testing.TB, res *specs.LinuxResources) limits.Set {
	t.Helper()
	set, _, err := limits.Of(res)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func show(r Request) (properties, files string) {
	var p, f []string
	for _, one := range r.Properties {
		p = append(p, fmt.Sprintf("%s %T %v", one.Name, one.Value, one.Value))
	}
	for _, w := range cgroupv2.Files(r.Left) {
		f = append(f, w.File+"="+w.Value)
	}
	return strings.Join(p, "\n"), strings.Join(f, "\n")
}

func TestResources(t *testing.T) {
	const inf = "18446744073709551615"
	tests := []struct{ name, res, properties, files string }{
		{"nothing", `{}`, "", ""},
		{"memory", `{"memory":{"limit":1000,"reservation":500,"swap":1500}}`, "MemoryMax uint64 1000\nMemorySwapMax uint64 500\nMemoryLow uint64 500", ""},
		{"unlimited", `{"memory":{"limit":-1},"pids":{"limit":-1}}`, "MemoryMax uint64 " + inf + "\nMemorySwapMax uint64 " + inf + "\nTasksMax uint64 " + inf, ""},
		{"pids", `{"pids":{"limit":0}}`, "TasksMax uint64 1", ""},
		{"unified pids 0", `{"unified":{"pids.max":"0"}}`, "TasksMax uint64 1", ""},
		{"cpu", `{"cpu":{"shares":1024,"quota":50000,"period":100000,"cpus":"0,2-3,9"}}`,
			"CPUWeight uint64 100\nCPUQuotaPerSecUSec uint64 500000\nCPUQuotaPeriodUSec uint64 100000\nAllowedCPUs []uint8 [13 2]", ""},
		{"quota rounded up to a percent", `{"cpu":{"quota":33333,"period":100000}}`, "CPUQuotaPerSecUSec uint64 340000\nCPUQuotaPeriodUSec uint64 100000", "cpu.max=33333 100000"},
		{"quota off", `{"cpu":{"quota":-1}}`, "CPUQuotaPerSecUSec uint64 " + inf + "\nCPUQuotaPeriodUSec uint64 100000", ""},
		{"idle", `{"cpu":{"idle":1}}`, "CPUWeight uint64 0", ""},
		{"idle off", `{"cpu":{"idle":0}}`, "CPUWeight uint64 " + inf, ""},
		{"idle off with a weight", `{"cpu":{"idle":0,"shares":2}}`, "CPUWeight uint64 1", ""},
		{"mems and burst", `{"cpu":{"mems":"0","burst":7}}`, "AllowedMemoryNodes []uint8 [1]", "cpu.max.burst=7"},
		{"io", `{"blockIO":{"weight":500,"weightDevice":[{"major":8,"minor":0,"weight":10}],"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":5},{"major":8,"minor":16,"rate":0}],"throttleWriteIOPSDevice":[{"major":8,"minor":0,"rate":6}]}}`,
			"IOWeight uint64 4950\nIODeviceWeight []systemd.DeviceValue [{/dev/block/8:0 1}]\nIOReadBandwidthMax []systemd.DeviceValue [{/dev/block/8:0 5} {/dev/block/8:16 " + inf + "}]\nIOWriteIOPSMax []systemd.DeviceValue [{/dev/block/8:0 6}]", ""},
		{"files", `{"hugepageLimits":[{"pageSize":"2MB","limit":1}],"rdma":{"a":{"hcaHandles":1}}}`, "", "hugetlb.2MB.max=1\nhugetlb.2MB.rsvd.max=1\nrdma.max=a hca_handle=1"},
		{"unified", `{"unified":{"memory.high":"5","memory.min":"max","memory.zswap.max":"1","io.weight":"default 7","io.max":"8:0 rbps=1 wbps=max","memory.oom.group":"1","cpu.weight":"3","cpuset.cpus.partition":"root"}}`,
			"CPUWeight uint64 3\nIOReadBandwidthMax []systemd.DeviceValue [{/dev/block/8:0 1}]\nIOWriteBandwidthMax []systemd.DeviceValue [{/dev/block/8:0 " + inf + "}]\nIOWeight uint64 7\nMemoryHigh uint64 5\nMemoryMin uint64 " + inf + "\nOOMPolicy string kill\nMemoryZSwapMax uint64 1",
			"cpuset.cpus.partition=root\nmemory.oom.group=1"},
		{"unified wins", `{"memory":{"limit":5},"unified":{"memory.max":"6"}}`, "MemoryMax uint64 6", ""},
		{"unified nonsense goes to the file", `{"unified":{"memory.max":"6G","cpu.max":"a b c","io.max":"x","cpuset.cpus":"-"}}`, "", "cpu.max=a b c\ncpuset.cpus=-\nio.max=x\nmemory.max=6G"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			properties, files := show(request(t, tt.res))
			if properties != tt.properties {
				t.Errorf("properties\n%s\nwant\n%s", properties, tt.properties)
			}
			if files != tt.files {
				t.Errorf("files\n%s\nwant\n%s", files, tt.files)
			}
		})
	}
}

func TestQuotaPerSecond(t *testing.T) {
	for _, tt := range []struct {
		quota, period, want uint64
		exact, ok           bool
	}{
		{100000, 100000, 1000000, true, true}, {1000, 100000, 10000, true, true}, {1, 100000, 10000, false, true},
		{1500, 1000, 1500000, true, true}, {33333, 100000, 340000, false, true}, {Infinity, 5, Infinity, true, true},
		{Infinity - 1, 1, 0, false, false}, {Infinity / 2, 1000000, Infinity / 2 / 10000 * 10000, false, true},
	} {
		got, exact, ok := quotaPerSecond(tt.quota, tt.period)
		if ok != tt.ok || exact != tt.exact || ok && got != tt.want && tt.quota != Infinity/2 {
			t.Errorf("quotaPerSecond(%d, %d) = %d, %v, %v", tt.quota, tt.period, got, exact, ok)
		}
	}
}

// Each property that an annotation may set, and those it may not: those that
// confine are errors, all others are ignored, whoever invents them.
func TestAnnotations(t *testing.T) {
	const refused = ": an annotation cannot set this property; without it the container would be less confined"
	tests := []struct{ name, value, want string }{
		{"KillSignal", "15", "KillSignal int32 15"},
		{"TimeoutStopUSec", "uint64 10000000", "TimeoutStopUSec uint64 10000000"},
		{"TimeoutStopUSec", "5", "TimeoutStopUSec uint64 5"},
		{"TimeoutStopSec", "uint64 10", "TimeoutStopUSec uint64 10000000"},
		{"TimeoutStopSec", "1.5", "TimeoutStopUSec uint64 1500000"},
		{"CollectMode", "'inactive'", "CollectMode string inactive"},
		{"SendSIGHUP", "true", "SendSIGHUP bool true"},
		{"DefaultDependencies", "true", "DefaultDependencies bool true"},
		{"After", "['a.service']", "After []string [a.service]"},
		{"Before", "'a.service'", "Before []string [a.service]"},
		{"PartOf", "['a.service']", "PartOf []string [a.service]"},
		{"Requisite", "['a.service']", "Requisite []string [a.service]"},
		{"RequiresMountsFor", "['/var']", "RequiresMountsFor []string [/var]"},
		{"RefuseManualStop", "true", "RefuseManualStop bool true"},
		{"JobTimeoutSec", "5", "JobTimeoutUSec uint64 5000000"},
		{"CPUWeight", "uint64 50", "CPUWeight uint64 50"},
		{"IOWeight", "50", "IOWeight uint64 50"},
		{"MemoryHigh", "uint64 50", "MemoryHigh uint64 50 memory.high=50"},
		{"MemoryMax", "uint64 50", "MemoryMax uint64 50 memory.max=50"},
		{"MemorySwapMax", "uint64 0", "MemorySwapMax uint64 0 memory.swap.max=0"},
		{"MemoryMax", "uint64 18446744073709551615", "MemoryMax uint64 18446744073709551615"},
		{"TasksMax", "uint64 50", "TasksMax uint64 50 pids.max=50"},
		{"CPUQuotaPerSecUSec", "uint64 500000", "CPUQuotaPerSecUSec uint64 500000 cpu.max=50000 100000"},
		{"CPUQuotaPerSecUSec", "uint64 5000", "CPUQuotaPerSecUSec uint64 5000"}, // systemd chooses another period
		{"AllowedCPUs", "[byte 0x0d, 2]", "AllowedCPUs []uint8 [13 2] cpuset.cpus=0,2,3,9"},
		{"AllowedMemoryNodes", "[1]", "AllowedMemoryNodes []uint8 [1] cpuset.mems=0"},
		{"ManagedOOMMemoryPressureLimit", "uint32 7", "ManagedOOMMemoryPressureLimit uint32 7"},
		{"AllowedCPUs", "[256]", `error config.json: annotations["org.systemd.property.AllowedCPUs"]: "[256]" does not fit the property's type ay`},
		{"KillSignal", "'x'", `error config.json: annotations["org.systemd.property.KillSignal"]: "'x'" does not fit the property's type i`},
		{"KillSignal", "-1", `error config.json: annotations["org.systemd.property.KillSignal"]: "-1" does not fit the property's type i`},
		{"KillSignal", "x", `error config.json: annotations["org.systemd.property.KillSignal"]: "x" is not a GVariant text: "x" is not a number`},
		{"TimeoutStopSec", "-1.5", `error config.json: annotations["org.systemd.property.TimeoutStopSec"]: "-1.5" does not fit the property's type t`},
		{"Description", `'x\nOnFailure=evil.service'`, `error config.json: annotations["org.systemd.property.Description"]: it has control characters`},
		{"RequiresMountsFor", "['/a', '/b\r']", `error config.json: annotations["org.systemd.property.RequiresMountsFor"]: it has control characters`},
	}
	for _, name := range []string{"DeviceAllow", "DevicePolicy", "IPAddressDeny", "BPFProgram", "RestrictNetworkInterfaces", "SocketBindDeny", "IOReadBandwidthMax", "MemoryMaxScale"} {
		tests = append(tests, struct{ name, value, want string }{name, "'x'", fmt.Sprintf("error config.json: annotations[%q]", AnnotationPrefix+name) + refused})
	}
	for _, name := range []string{"FailureAction", "SuccessAction", "JobTimeoutAction", "StartLimitAction", "RebootArgument", "OnFailure", "OnSuccess",
		"Wants", "Requires", "BindsTo", "Upholds", "Conflicts", "PropagatesStopTo", "PropagatesReloadTo", "TriggeredBy", "JoinsNamespaceOf", "StopWhenUnneeded", "RefuseManualStart", "AllowIsolate",
		"ExecStart", "ExecStartPre", "User", "Group", "Environment", "Slice", "PIDs", "PIDFDs", "Delegate", "DisableControllers", "Controller", "CPUAccounting", "Transient", "after", "", "New Line\n"} {
		tests = append(tests, struct{ name, value, want string }{name, "'x'",
			fmt.Sprintf("ignored config.json: annotations[%q]: ignored: no property that an annotation may set", AnnotationPrefix+name)})
	}
	for _, tt := range tests {
		list, ignored, err := Annotations(map[string]string{AnnotationPrefix + tt.name: tt.value, "other": "x", "org.systemd.propertyX": "y"})
		got := fmt.Sprintf("error %v", err)
		if err == nil {
			got = strings.Join(ignored, "|")
			if got != "" {
				got = "ignored " + got
			}
		}
		for _, p := range list {
			got += fmt.Sprintf("%s %T %v", p.Name, p.Value, p.Value)
			for _, w := range cgroupv2.Files(p.Limits) {
				got += " " + w.File + "=" + w.Value
			}
		}
		if got != tt.want {
			t.Errorf("%s=%s\n%s, want\n%s", tt.name, tt.value, got, tt.want)
		}
	}
}

func TestAnnotatedQuota(t *testing.T) {
	for period, want := range map[string]string{"10000": "5000 10000", "uint64 18446744073709551615": "50000 100000", "1": "error", "90000000": "500000 1000000"} {
		list, _, err := Annotations(map[string]string{AnnotationPrefix + "CPUQuotaPerSecUSec": "500000", AnnotationPrefix + "CPUQuotaPeriodUSec": period})
		if err != nil || len(list) != 2 {
			t.Fatal(list, err)
		}
		got := "error"
		if writes := cgroupv2.Files(list[0].Limits); len(writes) == 1 {
			got = writes[0].Value
		}
		if got != want {
			t.Errorf("period %s: %s, want %s", period, got, want)
		}
	}
}

// FuzzAnnotations: whatever comes in, only settable properties go out, of their
// types, in strings that a unit file has on one line; messages are one line too.
func FuzzAnnotations(f *testing.F) {
	for _, seed := range [][2]string{{"DefaultDependencies", "true"}, {"After", "['crio.service']"}, {"TimeoutStopUSec", "uint64 10000000"},
		{"Description", `'a\nOnFailure=b'`}, {"AllowedCPUs", "[byte 1, 2]"}, {"CPUQuotaPerSecUSec", "18446744073709551615"}, {"ExecStart", "'x'"}, {"TimeoutStopSec", "1.5"}} {
		f.Add(seed[0], seed[1])
	}
	types := map[string]any{"as": []string{}, "s": "", "b": true, "i": int32(0), "u": uint32(0), "t": uint64(0), "ay": []byte{}}
	f.Fuzz(func(t *testing.T, name, value string) {
		list, ignored, err := Annotations(map[string]string{AnnotationPrefix + name: value})
		if err != nil {
			ignored = []string{err.Error()}
		}
		if len(list)+len(ignored) != 1 {
			t.Errorf("%v, %q", list, ignored)
		}
		for _, line := range ignored {
			if strings.ContainsFunc(line, unicode.IsControl) || len(line) > 2000 {
				t.Errorf("the message is %q", line)
			}
		}
		for _, p := range list {
			if kind := settable(p.Name); reflect.TypeOf(p.Value) != reflect.TypeOf(types[kind]) {
				t.Errorf("%s is %T, not %q", p.Name, p.Value, kind)
			}
			if !isOneLine(p.Value) {
				t.Errorf("%v has several lines", p)
			}
			for _, w := range cgroupv2.Files(p.Limits) {
				if w.File == "" || w.Value == "" || w.Pointer == "" {
					t.Errorf("%v writes %+v", p, w)
				}
			}
		}
	})
}

// What config.json's resources say, no annotation changes, be it a property or a
// file; what they do not say, it may.
func TestAnnotationsAndResources(t *testing.T) {
	var res specs.LinuxResources
	if err := json.Unmarshal([]byte(`{"memory":{"limit":100},"pids":{"limit":5},"cpu":{"idle":1},
		"unified":{"memory.high":"7K","memory.oom.group":"1"}}`), &res); err != nil {
		t.Fatal(err)
	}
	annotations := map[string]string{}
	for name, value := range map[string]string{"MemoryMax": "uint64 1000", "TasksMax": "5", "CPUWeight": "100", "MemoryHigh": "9", "OOMPolicy": "'continue'",
		"MemoryLow": "uint64 50", "TimeoutStopSec": "3", "DefaultDependencies": "true", "Slice": "'x.slice'"} {
		annotations[AnnotationPrefix+name] = value
	}
	r, err := Properties(Scope{Unit: "a.scope", Slice: "b.slice"}, limitsOf(t, &res), annotations)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := show(r)
	for _, want := range []string{"MemoryMax uint64 100", "TasksMax uint64 5", "CPUWeight uint64 0", "OOMPolicy string kill", "MemoryLow uint64 50",
		"TimeoutStopUSec uint64 3000000", "DefaultDependencies bool true", "Slice string b.slice"} {
		if !slices.Contains(strings.Split(got, "\n"), want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if strings.Contains(got, "MemoryHigh") || strings.Contains(got, "continue") {
		t.Errorf("an annotation undid a limit:\n%s", got)
	}
	if writes := cgroupv2.Files(r.Limits); len(writes) != 1 || writes[0].File != "memory.low" || writes[0].Value != "50" {
		t.Errorf("the limits to prove are %+v", r.Limits)
	}
	ignored := strings.Join(r.Ignored, "\n")
	for _, name := range []string{"MemoryMax", "CPUWeight", "MemoryHigh", "OOMPolicy", "Slice"} {
		if !strings.Contains(ignored, name+`"]: ignored`) {
			t.Errorf("no word of %s in\n%s", name, ignored)
		}
	}
	if len(r.Ignored) != 5 {
		t.Errorf("ignored:\n%s", ignored)
	}
}

func TestProperties(t *testing.T) {
	limit := int64(5)
	r, err := Properties(Scope{Unit: "libpod-1.scope", Slice: "user.slice", Description: "homerun container 1", PIDs: []uint32{42}},
		limitsOf(t, &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}), map[string]string{AnnotationPrefix + "CollectMode": "'inactive'"})
	if err != nil {
		t.Fatal(err)
	}
	got, _ := show(r)
	want := strings.Join([]string{"Description string homerun container 1", "DefaultDependencies bool false", "CollectMode string inactive",
		"CPUAccounting bool true", "MemoryAccounting bool true", "IOAccounting bool true", "TasksAccounting bool true",
		"Slice string user.slice", "Delegate bool true", "PIDs []uint32 [42]", "TasksMax uint64 5"}, "\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	r, err = Properties(Scope{Unit: "pod.slice", Slice: "user.slice"}, nil, nil)
	if got, _ := show(r); err != nil || strings.Contains(got, "PIDs") || !strings.Contains(got, "Wants []string [user.slice]") {
		t.Errorf("slice:\n%s, %v", got, err)
	}
}
