package limits_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/cgroupv2"
	"github.com/homerun-oci/homerun/limits"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func resources(t testing.TB, text string) *specs.LinuxResources {
	t.Helper()
	var res specs.LinuxResources
	if err := json.Unmarshal([]byte(text), &res); err != nil {
		t.Fatal(err)
	}
	return &res
}

// written prints what resources write, one per line.
func written(t testing.TB, res *specs.LinuxResources) string {
	t.Helper()
	set, _, err := limits.Of(res)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, w := range cgroupv2.Files(set) {
		line := w.File + "=" + w.Value
		if w.Check != nil {
			line += fmt.Sprintf(" above %v", w.Check.Files)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestMerge(t *testing.T) {
	tests := []struct{ name, stored, update, merged, touched string }{
		{"nothing", `{"memory":{"limit":100,"swap":200}}`, `{}`, "memory.max=100\nmemory.swap.max=100", ""},
		{"limit recalculates swap", `{"memory":{"limit":100,"swap":200,"reservation":5}}`, `{"memory":{"limit":150}}`,
			"memory.max=150\nmemory.swap.max=50\nmemory.low=5", "memory.max=150\nmemory.swap.max=50"},
		{"swap alone", `{"memory":{"limit":100}}`, `{"memory":{"swap":150}}`, "memory.max=100\nmemory.swap.max=50", "memory.max=100\nmemory.swap.max=50"},
		{"memory without a limit is swap without one", `{"memory":{"limit":100,"swap":200}}`, `{"memory":{"limit":-1}}`,
			"memory.max=max\nmemory.swap.max=max", "memory.max=max\nmemory.swap.max=max"},
		{"and with one that is asked for", `{"memory":{"limit":100,"swap":200}}`, `{"memory":{"limit":-1,"swap":150}}`,
			"memory.max=max\nmemory.swap.max=150", "memory.max=max\nmemory.swap.max=150"},
		{"reservation leaves limit alone", `{"memory":{"limit":100}}`, `{"memory":{"reservation":7}}`, "memory.max=100\nmemory.low=7", "memory.low=7"},
		{"period keeps quota", `{"cpu":{"quota":5000,"period":10000,"shares":1024}}`, `{"cpu":{"period":20000}}`,
			"cpu.weight=100\ncpu.max=5000 20000", "cpu.max=5000 20000"},
		{"quota off", `{"cpu":{"quota":5000}}`, `{"cpu":{"quota":-1}}`, "cpu.max=max 100000", "cpu.max=max 100000"},
		{"idle off brings the weight back", `{"cpu":{"shares":2048,"idle":1}}`, `{"cpu":{"idle":0}}`,
			"cpu.idle=0\ncpu.weight=174", "cpu.idle=0\ncpu.weight=174"},
		{"podman's zeros", `{"memory":{"limit":100},"cpu":{"quota":5000,"shares":2}}`, `{"memory":{"limit":0},"cpu":{"shares":0,"quota":0,"cpus":""}}`,
			"memory.max=100\ncpu.weight=1\ncpu.max=5000 100000", ""},
		{"pids", `{"pids":{"limit":5}}`, `{"pids":{"limit":-1}}`, "pids.max=max", "pids.max=max"},
		{"throttles by device", `{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1},{"major":8,"minor":1,"rate":1}]}}`,
			`{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":2}]}}`,
			"io.max=8:1 rbps=1\nio.max=8:0 rbps=2", "io.max=8:0 rbps=2"},
		{"unified", `{"unified":{"memory.high":"1","memory.min":"2"}}`, `{"unified":{"memory.high":"3"}}`,
			"memory.high=3\nmemory.min=2", "memory.high=3"},
		{"check carries over", `{"memory":{"limit":9,"checkBeforeUpdate":true}}`, `{"memory":{"limit":8}}`,
			"memory.max=8 above [memory.current]", "memory.max=8 above [memory.current]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stored := resources(t, tt.stored)
			merged, touched := limits.Merge(stored, resources(t, tt.update))
			for _, c := range []struct {
				name string
				res  *specs.LinuxResources
				want string
			}{{"merged", merged, tt.merged}, {"touched", touched, tt.touched}, {"stored", stored, written(t, resources(t, tt.stored))}} {
				if got := written(t, c.res); got != c.want {
					t.Errorf("%s\n%s\nwant\n%s", c.name, got, c.want)
				}
			}
		})
	}
}
