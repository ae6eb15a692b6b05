package limits

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// say prints limits by type, one per line, without the pointer that all of a
// test's have in common.
func say(set Set) string {
	var lines []string
	for _, l := range set {
		var text string
		switch l := l.(type) {
		case IOWeight:
			text = fmt.Sprintf("device %v weight %d bfq %d", l.Device, l.Weight, l.BFQ)
		case Rdma:
			text = l.Device + " " + fmt.Sprint(value(l.Handles), value(l.Objects))
		case Unified:
			text = fmt.Sprintf("%q means [%s]", l.Line, say(l.Means))
		default:
			text = strings.ReplaceAll(fmt.Sprintf("%+v", l), "Pointer:"+l.Place(), l.Place())
		}
		if l.Restricts() {
			text += " restricts"
		}
		lines = append(lines, fmt.Sprintf("%s %T %s", l.Name(), l, text))
	}
	return strings.ReplaceAll(strings.Join(lines, "\n"), "limits.", "")
}

// Every type of limit, from the field that asks for it.
func TestOf(t *testing.T) {
	for text, want := range map[string]string{
		`{}`: "",
		`{"memory":{"limit":5,"checkBeforeUpdate":false}}`:                        "memory.max Number {linux.resources.memory.limit Knob:memory.max Amount:5 Use:{Total:5 Check:2}} restricts",
		`{"memory":{"limit":-1,"swap":7}}`:                                        "memory.max Number {linux.resources.memory.limit Knob:memory.max Amount:max Use:{Total:0 Check:0}}\nmemory.swap.max Number {linux.resources.memory.swap Knob:memory.swap.max Amount:7 Use:{Total:7 Check:0}} restricts",
		`{"memory":{"limit":5,"swap":7,"checkBeforeUpdate":true}}`:                "memory.max Number {linux.resources.memory.limit Knob:memory.max Amount:5 Use:{Total:5 Check:1}} restricts\nmemory.swap.max Number {linux.resources.memory.swap Knob:memory.swap.max Amount:2 Use:{Total:7 Check:1}} restricts",
		`{"memory":{"reservation":5}}`:                                            "memory.low Number {linux.resources.memory.reservation Knob:memory.low Amount:5 Use:{Total:0 Check:0}} restricts",
		`{"pids":{"limit":0}}`:                                                    "pids.max Number {linux.resources.pids.limit Knob:pids.max Amount:1 Use:{Total:0 Check:0}} restricts",
		`{"cpu":{"idle":0,"shares":1024}}`:                                        "cpu.idle CPUIdle {linux.resources.cpu.idle Idle:false}\ncpu.weight Number {linux.resources.cpu.shares Knob:cpu.weight Amount:100 Use:{Total:0 Check:0}} restricts",
		`{"cpu":{"burst":7,"period":1000}}`:                                       "cpu.max.burst CPUBurst {linux.resources.cpu.burst Time:7} restricts\ncpu.max CPUTime {linux.resources.cpu.period Quota:max Period:1000}",
		`{"cpu":{"quota":5000}}`:                                                  "cpu.max CPUTime {linux.resources.cpu.quota Quota:5000 Period:100000} restricts",
		`{"cpu":{"cpus":" 0-1\n","mems":"?"}}`:                                    "cpuset.cpus CPUSet {linux.resources.cpu.cpus Knob:cpuset.cpus Text:0-1 Numbers:[0 1]} restricts\ncpuset.mems CPUSet {linux.resources.cpu.mems Knob:cpuset.mems Text:? Numbers:[]} restricts",
		`{"blockIO":{"weight":10}}`:                                               "io.weight IOWeight device <nil> weight 1 bfq 10 restricts",
		`{"blockIO":{"weightDevice":[{"major":8,"minor":1,"weight":1000}]}}`:      "io.weight IOWeight device 8:1 weight 10000 bfq 1000 restricts",
		`{"blockIO":{"throttleReadIOPSDevice":[{"major":8,"minor":1,"rate":0}]}}`: "io.max IORate {linux.resources.blockIO.throttleReadIOPSDevice[0] Device:8:1 Flow:riops Rate:max}",
		`{"hugepageLimits":[{"pageSize":"2MB","limit":0}]}`:                       "hugetlb.2MB.max Hugepages {linux.resources.hugepageLimits[0] Size:2MB Bytes:0} restricts",
		`{"rdma":{"a":{"hcaHandles":3},"b":{}}}`:                                  "rdma.max Rdma a 3 0 restricts",
	} {
		set, warnings, err := Of(resources(t, text))
		if got := say(set); got != want || warnings != nil || err != nil {
			t.Errorf("%s\n%s, %v, %v, want\n%s", text, got, warnings, err, want)
		}
	}
}

// What a line of unified means, and that one which is not understood restricts.
func TestMeans(t *testing.T) {
	number := func(amount string) string {
		return "Number {linux.resources.unified[] Knob: Amount:" + amount + " Use:{Total:0 Check:0}}"
	}
	tests := []struct{ key, line, want string }{
		{"memory.high", " 5 ", number("5") + " restricts"}, {"pids.max", "max", number("max")}, {"memory.min", "0", number("0")},
		{"memory.max", "5G", ""}, {"memory.max", "", ""}, {"memory.max", "-1", ""}, {"cgroup.max.depth", "max", number("max")},
		{"memory.new", "max", ""}, {"cgroup.pressure", "0", ""}, {"cpu.weight", "100", number("100") + " restricts"},
		{"cpu.idle", "1", "CPUIdle {linux.resources.unified[] Idle:true} restricts"}, {"cpu.idle", "2", ""},
		{"memory.oom.group", "0", "OOMGroup {linux.resources.unified[] Kill:false}"}, {"memory.oom.group", "yes", ""},
		{"cpu.max.burst", "0", "CPUBurst {linux.resources.unified[] Time:0}"}, {"cpu.max.burst", "max", ""},
		{"cpu.max", "max", "CPUTime {linux.resources.unified[] Quota:max Period:100000}"},
		{"cpu.max", "5\t7", "CPUTime {linux.resources.unified[] Quota:5 Period:7} restricts"},
		{"cpu.max", "5 0", ""}, {"cpu.max", "5 max", ""}, {"cpu.max", "x 5", ""}, {"cpu.max", "1 2 3", ""},
		{"cpuset.cpus", "0,2", "CPUSet {linux.resources.unified[] Knob: Text:0,2 Numbers:[0 2]} restricts"}, {"cpuset.mems", "x", ""},
		{"io.weight", "7", "IOWeight device <nil> weight 7 bfq 0 restricts"}, {"io.weight", "default 7", "IOWeight device <nil> weight 7 bfq 0 restricts"},
		{"io.weight", "8:1 7", "IOWeight device 8:1 weight 7 bfq 0 restricts"}, {"io.weight", "sda 7", ""}, {"io.weight", "default x", ""},
		{"io.max", "8:1 wiops=max rbps=5", "IORate {linux.resources.unified[] Device:8:1 Flow:rbps Rate:5} restricts\nIORate {linux.resources.unified[] Device:8:1 Flow:wiops Rate:max}"},
		{"io.max", "8:1", ""}, {"io.max", "8:1 x=5", ""}, {"io.max", "8:1 rbps=x", ""}, {"io.max", "8 rbps=1", ""}, {"io.max", "8:-1 rbps=1", ""},
	}
	for _, tt := range tests {
		set := means("linux.resources.unified[]", Knob(tt.key), tt.line)
		got := strings.NewReplacer("Knob:"+tt.key, "Knob:", tt.key+" ", "").Replace(say(set))
		if got != tt.want {
			t.Errorf("%s=%q means\n%s, want\n%s", tt.key, tt.line, got, tt.want)
		}
		if u := (Unified{Key: Knob(tt.key), Line: tt.line, Means: set}); u.Restricts() != (tt.want == "" || strings.Contains(tt.want, " restricts")) {
			t.Errorf("%s=%q: restricts %v", tt.key, tt.line, u.Restricts())
		}
	}
}

func TestUnified(t *testing.T) {
	set, _, err := Of(resources(t, `{"pids":{"limit":1},"unified":{"io.latency":"8:0 target=5\n\n 8:1 target=6\n","cgroup.max.depth":"max"}}`))
	want := "pids.max Number {linux.resources.pids.limit Knob:pids.max Amount:1 Use:{Total:0 Check:0}} restricts\n" +
		`cgroup.max.depth Unified "max" means [cgroup.max.depth Number {linux.resources.unified["cgroup.max.depth"] Knob:cgroup.max.depth Amount:max Use:{Total:0 Check:0}}]` + "\n" +
		`io.latency Unified "8:0 target=5" means [] restricts` + "\n" + `io.latency Unified " 8:1 target=6" means [] restricts`
	if got := say(set); got != want || err != nil {
		t.Errorf("%s, %v, want\n%s", got, err, want)
	}
	if got := strings.Join(set.Controllers(), " "); got != "pids io" {
		t.Errorf("needs %s", got)
	}
}

// FuzzOf: whatever the text, a limit leads back to config.json and its knob is
// the plain name of a file; what a line of unified means is about the same knob;
// and an error comes alone, in one line.
func FuzzOf(f *testing.F) {
	f.Add(`{"memory":{"limit":1,"swap":-1},"cpu":{"cpus":"0-3","quota":5000},"unified":{"io.max":"8:0 rbps=1","cpu.max":"max"},"hugepageLimits":[{"pageSize":"1GB","limit":3}]}`)
	f.Add(`{"unified":{"a\nb.c":"d"},"rdma":{"\u0000":{"hcaHandles":1}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var res specs.LinuxResources
		if json.Unmarshal([]byte(text), &res) != nil {
			t.Skip()
		}
		set, warnings, err := Of(&res)
		if err != nil && (set != nil || warnings != nil || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%v, %v beside %q", set, warnings, err)
		}
		for _, l := range set {
			if strings.ContainsAny(string(l.Name()), "/\x00\n") || !strings.HasPrefix(l.Place(), "linux.resources.") || l.Name().Controller() == "" {
				t.Errorf("bad limit %#v", l)
			}
			u, _ := l.(Unified)
			for _, m := range u.Means {
				if m.Name() != u.Key || m.Place() != u.Place() {
					t.Errorf("%#v means %#v", u, m)
				}
			}
		}
	})
}
