package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/fault"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestNumber(t *testing.T) {
	for _, test := range []struct {
		text string
		size bool
		want int64
		bad  bool
	}{
		{text: "0", want: 0}, {text: "-1", want: -1}, {text: "50000", want: 50000},
		{text: "512m", size: true, want: 512 << 20}, {text: "512M", size: true, want: 512 << 20},
		{text: "1.5g", size: true, want: 3 << 29}, {text: "2KiB", size: true, want: 2048},
		{text: "2kb", size: true, want: 2048}, {text: "7b", size: true, want: 7}, {text: "1t", size: true, want: 1 << 40},
		{text: "512m", bad: true}, {text: "m", size: true, bad: true}, {text: "1q", size: true, bad: true},
		{text: "1ib", size: true, bad: true}, {text: "1mm", size: true, bad: true}, {text: "1.2.3k", size: true, bad: true},
		{text: "9999p", size: true, bad: true}, {text: "-1k", size: true, bad: true}, {text: "", size: true, bad: true},
	} {
		got, err := number(test.text, test.size)
		if got != test.want || (err != nil) != test.bad {
			t.Errorf("number(%q, %v) = %d, %v", test.text, test.size, got, err)
		}
	}
}

// parseUpdate parses a command line and reads it.
func parseUpdate(args ...string) (*specs.LinuxResources, error) {
	f := &updateFlags{numbers: map[string]*string{}}
	c := updateFlagSet(f)
	if err := c.Parse(args); err != nil {
		return nil, err
	}
	return f.read()
}

func TestUpdateFlags(t *testing.T) {
	n := func(n int64) *int64 { return &n }
	u := func(n uint64) *uint64 { return &n }
	for _, test := range []struct {
		args []string
		want specs.LinuxResources
	}{
		{nil, specs.LinuxResources{}},
		{[]string{"--memory", "1k", "--memory-swap=-1"}, specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: n(1024), Swap: n(-1)}}},
		{[]string{"--cpu-quota", "-1"}, specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: n(-1)}}},
		{[]string{"--cpuset-cpus", "0-1", "--cpu-share", "512", "--cpu-idle", "0"},
			specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0-1", Shares: u(512), Idle: n(0)}}},
		{[]string{"--pids-limit=0"}, specs.LinuxResources{Pids: &specs.LinuxPids{Limit: n(0)}}},
		{[]string{"-m", "1k", "-c", "512", "--cpuset-mems", "0"},
			specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: n(1024)}, CPU: &specs.LinuxCPU{Mems: "0", Shares: u(512)}}},
		{[]string{"--cpu-shares=256", "--cpus=1.5"}, specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: u(256), Quota: n(150000), Period: u(100000)}}},
		{[]string{"--cpus", "0"}, specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: n(-1)}}},
		{[]string{"--blkio-weight=0"}, specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: weight(0)}}},
		{[]string{"--blkio-weight=500"}, specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: weight(500)}}},
	} {
		got, err := parseUpdate(test.args...)
		if err != nil || !reflect.DeepEqual(*got, test.want) {
			t.Errorf("%q: %+v, %v", test.args, got, err)
		}
	}
	for _, other := range []string{"--cpu-quota=1000", "--cpu-period=1000"} {
		if got, err := parseUpdate("--cpus=1", other); err == nil || !strings.Contains(err.Error(), "leave out") {
			t.Errorf("--cpus with %s: %+v, %v", other, got, err)
		}
	}
	for _, args := range []string{"--blkio-weight=9", "--blkio-weight=66000", "--cpu-share=-2", "--memory=-2", "--memory=x",
		"--resources=/nowhere", "--memory=", "--cpus=-2", "--cpus=none", "--cpus=0.001"} {
		if got, err := parseUpdate(args); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %+v, %v", args, got, err)
		}
	}
}

func TestUpdateClassFlags(t *testing.T) {
	for _, test := range []struct {
		args []string
		want *specs.LinuxIntelRdt
	}{
		{nil, nil},
		{[]string{"--memory=1"}, nil},
		{[]string{"--l3-cache-schema=L3:0=f"}, &specs.LinuxIntelRdt{L3CacheSchema: "L3:0=f"}},
		{[]string{"--mem-bw-schema=MB:0=50", "--pids-limit=1"}, &specs.LinuxIntelRdt{MemBwSchema: "MB:0=50"}},
	} {
		f := &updateFlags{numbers: map[string]*string{}}
		if err := updateFlagSet(f).Parse(test.args); err != nil {
			t.Fatal(err)
		}
		if _, err := f.read(); err != nil || !reflect.DeepEqual(f.class(), test.want) {
			t.Errorf("%q: %+v, %v", test.args, f.class(), err)
		}
	}
}

// TestUpdateInFlags: an error speaks of the flag that was typed, and with a file of what
// stands there.
func TestUpdateInFlags(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--memory=64m"}, "--memory 64m: why"},
		{[]string{"--memory-swap=1"}, "config.json: linux.resources.memory.limit: why"},
		{[]string{"--memory=64m", "--resources=x"}, "config.json: linux.resources.memory.limit: why"},
	} {
		f := &updateFlags{numbers: map[string]*string{}}
		if err := updateFlagSet(f).Parse(test.args); err != nil {
			t.Fatal(err)
		}
		err := f.inFlags(&fault.Error{File: "config.json", Place: "linux.resources.memory.limit", Why: "why"}, nil)
		if err.Error() != test.want {
			t.Errorf("%q: %v, want %s", test.args, err, test.want)
		}
	}
	for place, args := range map[string]string{"cpu.quota": "--cpus=2", "cpu.cpus": "--cpuset-cpus=0", "cpu.mems": "--cpuset-mems=0", "pids.limit": "--pids-limit=2"} {
		f := &updateFlags{numbers: map[string]*string{}}
		if err := updateFlagSet(f).Parse([]string{args}); err != nil {
			t.Fatal(err)
		}
		if got := f.flagOf(place); got != strings.Replace(args, "=", " ", 1) {
			t.Errorf("%s: %q", args, got)
		}
	}
}
