package limits

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

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

func TestCPUWeight(t *testing.T) {
	for shares, want := range map[uint64]Amount{0: 0, 1: 1, 2: 1, 3: 2, 100: 17, 512: 59, 1024: 100, 2048: 174, 10240: 639, 65536: 3023, 262143: 10000, 262144: 10000, 1 << 40: 10000} {
		if got := weightOfShares(shares); got != want {
			t.Errorf("weightOfShares(%d) = %d, want %d", shares, got, want)
		}
	}
}

func TestIOWeight(t *testing.T) {
	for weight, want := range map[uint16]uint64{0: 0, 1: 1, 10: 1, 100: 910, 500: 4950, 1000: 10000, 65535: 10000} {
		set, _, err := Of(&specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: &weight}})
		var got uint64
		for _, l := range set {
			got = l.(IOWeight).Weight
		}
		if got != want || err != nil {
			t.Errorf("blockIO.weight %d is io.weight %d, %v, want %d", weight, got, err, want)
		}
	}
}

// The rules are runc's (opencontainers/cgroups, ConvertMemorySwapToCgroupV2Value).
func TestSwapMax(t *testing.T) {
	tests := []struct {
		swap, limit int64
		want        string
		bad         bool
	}{
		{0, 0, "", false}, {0, -1, "max", false}, {0, 100, "", false},
		{-1, 0, "max", false}, {-1, -1, "max", false}, {-1, 100, "max", false},
		{100, -1, "100", false}, {100, 0, "", true}, {100, 100, "0", false},
		{100, 99, "1", false}, {99, 100, "", true}, {-2, 100, "", true},
	}
	for _, tt := range tests {
		set, _, err := Of(&specs.LinuxResources{Memory: &specs.LinuxMemory{Swap: &tt.swap, Limit: &tt.limit}})
		got := ""
		for _, l := range set {
			if l.Name() == SwapMax {
				got = l.(Number).Amount.String()
			}
		}
		if got != tt.want || (err != nil) != tt.bad {
			t.Errorf("swap %d and limit %d are memory.swap.max %q, %v, want %q", tt.swap, tt.limit, got, err, tt.want)
		}
	}
}

func TestPageSize(t *testing.T) {
	for text, want := range map[string]bool{"2MB": true, "64KB": true, "1GB": true, "1024MB": true, "": false, "B": false, "MB": false, "0MB": false, "2M": false, "2TB": false, "2 MB": false, "../1KB": false, "2MB\n": false, "-2MB": false} {
		if got := pageSize(text); got != want {
			t.Errorf("pageSize(%q) = %v", text, got)
		}
	}
}

func TestControllers(t *testing.T) {
	set, _, err := Of(resources(t, `{"memory":{"limit":1},"pids":{"limit":1},"unified":{"memory.high":"1","cgroup.max.depth":"1","cpuset.cpus":"0"}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := set.Controllers(); !slices.Equal(got, []string{"memory", "pids", "cpuset"}) {
		t.Errorf("got %v", got)
	}
}

func TestParseList(t *testing.T) {
	for text, want := range map[string]string{"0-2,7": "[0 1 2 7] true", "": "[] true", " 3\n": "[3] true", "3-1": "[] false", "a": "[] false", "0-99999": "[] false", "1,,2": "[] false"} {
		numbers, ok := ParseList(text)
		if got := fmt.Sprint(numbers, ok); got != want {
			t.Errorf("ParseList(%q) = %s", text, got)
		}
	}
}

// FuzzParseList: what is taken is a list of so many numbers at most, also when
// config.json repeats itself.
func FuzzParseList(f *testing.F) {
	for _, text := range []string{"", "0", "0-3,7", "3,1", " 1 , 2-2\n", "1-", "-1", "5-2", "16383", "16384", "0-0x1", strings.Repeat("0-16383,", 9) + "0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		numbers, ok := ParseList(text)
		if !ok && numbers != nil || len(numbers) > maxListed {
			t.Fatalf("%q: %d numbers, %v", text, len(numbers), ok)
		}
		if ok && (len(numbers) > 0) != (strings.TrimSpace(text) != "") {
			t.Errorf("%q: %d numbers", text, len(numbers))
		}
		for _, n := range numbers {
			if n >= maxListed {
				t.Errorf("%q: %d", text, n)
			}
		}
	})
}

// What only cgroup v1 has is an error that names it, as with crun; runc drops it
// without a word. All fields of linux.resources of which v2 has no file.
func TestOnlyV1(t *testing.T) {
	for field, text := range map[string]string{
		"memory.kernel":                      `{"memory":{"kernel":1}}`,
		"memory.kernelTCP":                   `{"memory":{"kernelTCP":1}}`,
		"memory.swappiness":                  `{"memory":{"swappiness":0}}`,
		"memory.disableOOMKiller":            `{"memory":{"disableOOMKiller":true}}`,
		"memory.useHierarchy":                `{"memory":{"useHierarchy":false}}`,
		"cpu.realtimeRuntime":                `{"cpu":{"realtimeRuntime":5}}`,
		"cpu.realtimePeriod":                 `{"cpu":{"realtimePeriod":5}}`,
		"blockIO.leafWeight":                 `{"blockIO":{"leafWeight":3}}`,
		"blockIO.weightDevice[1].leafWeight": `{"blockIO":{"weightDevice":[{"major":8,"minor":0,"weight":10},{"major":8,"minor":1,"leafWeight":10}]}}`,
		"network.classID":                    `{"network":{"classID":1}}`,
		"network.priorities":                 `{"network":{"priorities":[{"name":"eth0","priority":1}]}}`,
	} {
		set, warnings, err := Of(resources(t, text))
		want := "config.json: linux.resources." + field + ": only cgroup v1 has this, and homerun limits with cgroup v2"
		if fmt.Sprint(err) != want || set != nil || warnings != nil {
			t.Errorf("%s: %v, %v, %v", text, set, warnings, err)
		}
	}
}
