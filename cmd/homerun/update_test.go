package main

import (
	"reflect"
	"strings"
	"testing"

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
		{[]string{"--blkio-weight=500"}, specs.LinuxResources{BlockIO: &specs.LinuxBlockIO{Weight: weight(500)}}},
	} {
		got, err := parseUpdate(test.args...)
		if err != nil || !reflect.DeepEqual(*got, test.want) {
			t.Errorf("%q: %+v, %v", test.args, got, err)
		}
	}
	for _, args := range []string{"--blkio-weight=9", "--blkio-weight=66000", "--cpu-share=-2", "--memory=-2", "--memory=x",
		"--resources=/nowhere"} {
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
