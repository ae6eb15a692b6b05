package cgroupv2

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/limits"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// render prints writes one per line, with what makes them special.
func render(writes []Write) string {
	var b strings.Builder
	for _, w := range writes {
		fmt.Fprintf(&b, "%s=%s", w.File, w.Value)
		if len(w.Tolerate) > 0 {
			fmt.Fprintf(&b, " ?%v", unix.ErrnoName(w.Tolerate[0]))
		}
		if w.Retry {
			b.WriteString(" retry")
		}
		if w.Else != nil {
			word := "else"
			if w.Both {
				word = "and"
			}
			fmt.Fprintf(&b, " %s %s=%s", word, w.Else.File, w.Else.Value)
		}
		if w.Check != nil {
			fmt.Fprintf(&b, " above %v", w.Check.Files)
		}
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func resources(t testing.TB, text string) *specs.LinuxResources {
	t.Helper()
	var res specs.LinuxResources
	if err := json.Unmarshal([]byte(text), &res); err != nil {
		t.Fatal(err)
	}
	return &res
}

func TestFiles(t *testing.T) {
	tests := []struct{ name, res, want, warn, err string }{
		{name: "nothing", res: `{}`},
		{name: "zeros are not asked for", res: `{"memory":{"limit":0,"swap":0,"reservation":0},"cpu":{"shares":0,"quota":0,"period":0},"blockIO":{"weight":0}}`},
		{name: "memory", res: `{"memory":{"limit":1048576,"reservation":4096}}`, want: "memory.max=1048576\nmemory.low=4096"},
		{name: "unlimited memory frees swap too", res: `{"memory":{"limit":-1}}`, want: "memory.max=max\nmemory.swap.max=max ?ENOENT"},
		{name: "no swap", res: `{"memory":{"limit":100,"swap":100}}`, want: "memory.max=100\nmemory.swap.max=0 ?ENOENT"},
		{name: "swap", res: `{"memory":{"limit":100,"swap":150}}`, want: "memory.max=100\nmemory.swap.max=50"},
		{name: "swap below limit", res: `{"memory":{"limit":100,"swap":50}}`, err: "config.json: linux.resources.memory.swap: 50 (memory and swap together) is below memory.limit 100"},
		{name: "swap alone", res: `{"memory":{"swap":50}}`, err: "config.json: linux.resources.memory.swap: is memory and swap together, so memory.limit must be set too"},
		{name: "negative", res: `{"memory":{"limit":-2}}`, err: "config.json: linux.resources.memory.limit: -2 is negative; only -1 (unlimited) may be"},
		{name: "check", res: `{"memory":{"limit":100,"swap":150,"checkBeforeUpdate":true}}`,
			want: "memory.max=100 above [memory.current]\nmemory.swap.max=50 above [memory.current memory.swap.current]"},
		{name: "v1 fields that ask for nothing", res: `{"memory":{"kernel":-1,"kernelTCP":0,"disableOOMKiller":false,"useHierarchy":true},"cpu":{"realtimeRuntime":0,"realtimePeriod":0},"blockIO":{"leafWeight":0},"network":{"classID":0,"priorities":[]}}`},
		{name: "pids", res: `{"pids":{"limit":7}}`, want: "pids.max=7"},
		{name: "pids none", res: `{"pids":{"limit":0}}`, want: "pids.max=1"},
		{name: "pids unlimited", res: `{"pids":{"limit":-1}}`, want: "pids.max=max"},
		{name: "pids unset", res: `{"pids":{}}`},
		{name: "pids negative", res: `{"pids":{"limit":-7}}`, err: "config.json: linux.resources.pids.limit: -7 is negative; only -1 (unlimited) may be"},
		{name: "cpu", res: `{"cpu":{"shares":1024,"quota":50000,"period":200000,"burst":1000,"cpus":"0-1","mems":" 0\n"}}`,
			want: "cpu.weight=100\ncpu.max.burst=1000 retry\ncpu.max=50000 200000\ncpuset.cpus=0-1\ncpuset.mems=0"},
		{name: "quota alone", res: `{"cpu":{"quota":50000}}`, want: "cpu.max=50000 100000"},
		{name: "no quota", res: `{"cpu":{"quota":-1}}`, want: "cpu.max=max 100000"},
		{name: "period alone", res: `{"cpu":{"period":50000}}`, want: "cpu.max=max 50000"},
		{name: "least quota and period", res: `{"cpu":{"quota":1000,"period":1000}}`, want: "cpu.max=1000 1000"},
		{name: "quota too small", res: `{"cpu":{"quota":999}}`, err: "config.json: linux.resources.cpu.quota: 999 is below 1000 microseconds, the kernel's least; a longer period with a quota in proportion gives the same share"},
		{name: "period too short", res: `{"cpu":{"quota":5000,"period":999}}`, err: "config.json: linux.resources.cpu.period: 999 is not from 1000 to 1000000 microseconds, which the kernel takes"},
		{name: "period too long", res: `{"cpu":{"period":1000001}}`, err: "config.json: linux.resources.cpu.period: 1000001 is not from 1000 to 1000000 microseconds, which the kernel takes"},
		{name: "idle outweighs", res: `{"cpu":{"shares":512,"idle":1}}`, want: "cpu.idle=1"},
		{name: "idle off, then weight", res: `{"cpu":{"shares":512,"idle":0}}`, want: "cpu.idle=0\ncpu.weight=59"},
		{name: "idle wrong", res: `{"cpu":{"idle":2}}`, err: "config.json: linux.resources.cpu.idle: 2 is neither 0 nor 1"},
		{name: "io", res: `{"blockIO":{"weight":500,"weightDevice":[{"major":8,"minor":0,"weight":10}],"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1024}],"throttleWriteIOPSDevice":[{"major":8,"minor":16,"rate":0}]}}`,
			want: "io.bfq.weight=500 and io.weight=4950\nio.bfq.weight=8:0 10 else io.weight=8:0 1\nio.max=8:0 rbps=1024\nio.max=8:16 wiops=max"},
		{name: "io clamped", res: `{"blockIO":{"weight":2000}}`, want: "io.bfq.weight=1000 and io.weight=10000",
			warn: "linux.resources.blockIO.weight: 2000 is outside of 10 to 1000, 1000 is used"},
		{name: "hugetlb", res: `{"hugepageLimits":[{"pageSize":"2MB","limit":0}]}`, want: "hugetlb.2MB.max=0\nhugetlb.2MB.rsvd.max=0 ?ENOENT"},
		{name: "hugetlb path", res: `{"hugepageLimits":[{"pageSize":"../../x","limit":0}]}`, err: `config.json: linux.resources.hugepageLimits[0].pageSize: "../../x" is not like 2MB (a number, then KB, MB or GB)`},
		{name: "rdma", res: `{"rdma":{"mlx5_1":{"hcaHandles":3,"hcaObjects":100},"a":{"hcaObjects":1},"b":{}}}`, want: "rdma.max=a hca_object=1\nrdma.max=mlx5_1 hca_handle=3 hca_object=100"},
		{name: "rdma name", res: `{"rdma":{"a b":{"hcaObjects":1}}}`, err: `config.json: linux.resources.rdma["a b"]: "a b" is not a device name`},
		{name: "unified last", res: `{"unified":{"memory.high":"100","io.max":"8:0 rbps=1\n8:16 rbps=2\n","cgroup.max.depth":"3","cpu.max.burst":"5"},"pids":{"limit":1}}`,
			want: "pids.max=1\ncgroup.max.depth=3\ncpu.max.burst=5 retry\nio.max=8:0 rbps=1\nio.max=8:16 rbps=2\nmemory.high=100"},
		{name: "unified path", res: `{"unified":{"../x.y":"1"}}`, err: `config.json: linux.resources.unified["../x.y"]: "../x.y" is a path; it must be the plain name of a file`},
		{name: "unified dots", res: `{"unified":{"..":"1"}}`, err: `config.json: linux.resources.unified[".."]: ".." is not the name of a controller's file, like memory.high`},
		{name: "unified processes", res: `{"unified":{"cgroup.procs":"1"}}`, err: `config.json: linux.resources.unified["cgroup.procs"]: "cgroup.procs" does not limit anything`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, warnings, err := limits.Of(resources(t, tt.res))
			writes := Files(set)
			if got := fmt.Sprint(err); tt.err != "" && got != tt.err || tt.err == "" && err != nil {
				t.Errorf("error\n%v, want\n%v", got, tt.err)
			}
			if got := render(writes); got != tt.want {
				t.Errorf("writes\n%s\nwant\n%s", got, tt.want)
			}
			if got := strings.Join(warnings, "\n"); got != tt.warn {
				t.Errorf("warnings\n%s\nwant\n%s", got, tt.warn)
			}
		})
	}
}

// Every write must lead back to config.json and stay a plain file name.
func FuzzFiles(f *testing.F) {
	f.Add(`{"memory":{"limit":1},"unified":{"a.b":"c"},"hugepageLimits":[{"pageSize":"1GB","limit":3}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		var res specs.LinuxResources
		if json.Unmarshal([]byte(text), &res) != nil {
			t.Skip()
		}
		set, _, err := limits.Of(&res)
		writes := Files(set)
		if err != nil && len(writes) > 0 {
			t.Error("writes beside an error")
		}
		for _, w := range writes {
			if strings.ContainsAny(w.File, "/\x00") || !strings.HasPrefix(w.Pointer, "linux.resources.") || w.Value == "" {
				t.Errorf("bad write %+v", w)
			}
		}
	})
}

// What linux.resources has no field for, and a list of which only the numbers are
// known.
func TestFilesOfOthers(t *testing.T) {
	set := limits.Set{
		limits.CPUSet{Pointer: "a", Knob: limits.MemoryNodes, Numbers: []uint16{0, 2, 3}}, limits.OOMGroup{Pointer: "b", Kill: true},
		limits.Number{Pointer: "c", Knob: limits.MemoryHigh, Amount: 7}, limits.IOWeight{Pointer: "d", Device: &limits.Device{Major: 8}, Weight: 5},
	}
	want := "cpuset.mems=0,2,3\nmemory.oom.group=1\nmemory.high=7\nio.weight=8:0 5"
	if got := render(Files(set)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What update compares, by what checkBeforeUpdate says.
func TestChecks(t *testing.T) {
	for text, want := range map[string]string{
		`{"memory":{"limit":5,"swap":7}}`:                           "[{5 [memory.current] linux.resources.memory.limit} {7 [memory.current memory.swap.current] linux.resources.memory.swap}] false",
		`{"memory":{"limit":5,"checkBeforeUpdate":true}}`:           "[{5 [memory.current] linux.resources.memory.limit}] true",
		`{"memory":{"limit":5,"swap":5,"checkBeforeUpdate":false}}`: "[] false",
		`{"memory":{"limit":-1,"reservation":5}}`:                   "[] false",
		`{"pids":{"limit":5},"unified":{"memory.max":"5"}}`:         "[] false",
	} {
		set, _, err := limits.Of(resources(t, text))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(Checks(set)); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
