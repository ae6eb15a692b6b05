package cgroupv2

import (
	"encoding/json"
	"math"
	"slices"
	"testing"

	gorunc "github.com/containerd/go-runc"
	"golang.org/x/sys/unix"
)

// Each answer of the kernel leads to its hint.
func TestHint(t *testing.T) {
	tests := []struct {
		file            string
		errno           unix.Errno
		missing, absent bool
		want            string
	}{
		{"cpuset.cpus", unix.ENOENT, true, false, hintDelegate}, {"cpuset.cpus", unix.ENOENT, true, true, hintAbsent},
		{"hugetlb", 0, true, false, hintUnmanaged}, {"hugetlb.2MB.max", unix.ENOENT, true, true, hintAbsent},
		{"rdma.max", unix.ENOENT, true, false, hintUnmanaged}, {"misc", 0, true, false, hintUnmanaged}, {"dmem.max", 0, true, false, hintUnmanaged},
		{"cpuset", 0, true, false, hintDelegate}, {"cpuset", 0, true, true, hintAbsent},
		{"cgroup.procs", unix.ENOENT, true, false, hintDelegate},
		{"memory.max", unix.EACCES, false, false, hintDelegate}, {"cgroup.subtree_control", unix.EBUSY, false, false, hintInner},
		{"io.max", unix.ENODEV, false, false, hintWholeDisk}, {"io.weight", unix.EOPNOTSUPP, false, false, hintScheduler}, {"cpu.weight", unix.EINVAL, false, false, hintIdle},
		{"cpu.max", unix.EINVAL, false, false, hintQuota}, {"memory.max", unix.EINVAL, false, false, ""},
	}
	for _, tt := range tests {
		if got := (Refusal{tt.file, tt.errno, tt.missing, tt.absent}).Hint(); got != tt.want {
			t.Errorf("%s %v: %q", tt.file, tt.errno, got)
		}
	}
}

func TestStatsJSON(t *testing.T) {
	var s Stats
	s.CPU.parse(ParseFields("usage_usec 7\nuser_usec 5\nsystem_usec 2\nnr_periods 1\nnr_throttled 1\nthrottled_usec 3\n"))
	s.CPU.PSI = parsePSI("some avg10=1.50 avg60=0.00 avg300=0.00 total=9\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n")
	s.Blkio.parse("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\nUnknown\n")
	s.Memory.Usage = MemoryEntry{Limit: 1, Usage: 2, Max: 3, Failcnt: 4}
	s.Hugetlb = map[string]HugetlbStats{"2MB": {Usage: 1, Max: 2}}
	s.Rdma = parseKeyed("mlx4_0 hca_handle=2 hca_object=max\n")
	s.NetworkInterfaces = []struct{}{}
	got, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"cpu":{"usage":{"total":7000,"kernel":2000,"user":5000},"throttling":{"periods":1,"throttledPeriods":1,"throttledTime":3000},` +
		`"psi":{"some":{"avg10":1.5,"avg60":0,"avg300":0,"total":9},"full":{"avg10":0,"avg60":0,"avg300":0,"total":1}}},"cpuset":{},` +
		`"memory":{"usage":{"limit":1,"usage":2,"max":3,"failcnt":4},"swap":{"limit":0,"failcnt":0},"kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0}},` +
		`"pids":{},"blkio":{"ioServiceBytesRecursive":[{"major":8,"op":"Read","value":1},{"major":8,"op":"Write","value":2},{"major":8,"op":"Discard","value":5}],` +
		`"ioServicedRecursive":[{"major":8,"op":"Read","value":3},{"major":8,"op":"Write","value":4},{"major":8,"op":"Discard","value":6}]},` +
		`"hugetlb":{"2MB":{"usage":1,"max":2,"failcnt":0}},"rdma":{"mlx4_0":{"hca_handle":2,"hca_object":18446744073709551615}},"intel_rdt":{},"network_interfaces":[]}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var runc gorunc.Stats
	if err := json.Unmarshal(got, &runc); err != nil || runc.Cpu.Usage.Total != 7000 || runc.Memory.Usage.Max != 3 || len(runc.Blkio.IoServiceBytesRecursive) != 3 {
		t.Errorf("go-runc reads %+v, %v", runc, err)
	}
}

// Each file leads to its numbers, and a missing one to none.
func TestParseStats(t *testing.T) {
	files := map[string]string{
		"cpu.stat": "usage_usec 7\n", "cpu.pressure": "some avg10=1.50 total=9\n", "cpuset.cpus.effective": "0-1\n", "cpuset.mems.effective": "0\n",
		"memory.current": "10\n", "memory.events": "max 3\noom_kill 2\n", "memory.stat": "file 4\nkernel 5\n", "memory.max": "20\n", "memory.peak": "15\n",
		"memory.swap.max": "7\n", "memory.swap.current": "1\n", "memory.swap.events": "max 6\n", "memory.pressure": "full avg60=2.00 total=1\n",
		"pids.current": "2\n", "pids.max": "9\n", "io.stat": "8:0 rbytes=1\n", "io.pressure": "", "rdma.current": "mlx4_0 hca_handle=2\n", "misc.current": "sev 3\n",
		"hugetlb.2MB.current": "1\n", "hugetlb.2MB.max": "max\n", "hugetlb.2MB.events": "max 8\n",
	}
	got, err := json.Marshal(ParseStats(files))
	want := `{"cpu":{"usage":{"total":7000,"kernel":0,"user":0},"throttling":{},"psi":{"some":{"avg10":1.5,"avg60":0,"avg300":0,"total":9},"full":{"avg10":0,"avg60":0,"avg300":0,"total":0}}},` +
		`"cpuset":{"cpus":[0,1],"mems":[0]},"memory":{"cache":4,"usage":{"limit":20,"usage":10,"max":15,"failcnt":3},"swap":{"limit":27,"usage":11,"failcnt":6},` +
		`"kernel":{"limit":0,"usage":5,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0},"raw":{"file":4,"kernel":5},"psi":{"some":{"avg10":0,"avg60":0,"avg300":0,"total":0},"full":{"avg10":0,"avg60":2,"avg300":0,"total":1}}},` +
		`"pids":{"current":2,"limit":9},"blkio":{"ioServiceBytesRecursive":[{"major":8,"op":"Read","value":1}],"psi":{"some":{"avg10":0,"avg60":0,"avg300":0,"total":0},"full":{"avg10":0,"avg60":0,"avg300":0,"total":0}}},` +
		`"hugetlb":{"2MB":{"usage":1,"max":18446744073709551615,"failcnt":8}},"rdma":{"mlx4_0":{"hca_handle":2}},"misc":{"sev":3},"intel_rdt":{},"network_interfaces":[],"oomKills":2}`
	if string(got) != want || err != nil {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	for name := range files {
		if !slices.Contains(StatsFiles([]string{"hugetlb.2MB.current", "hugetlb.2MB.rsvd.current", "hugetlb.2MB.max", "a.b"}), name) {
			t.Errorf("%s is not read", name)
		}
	}
	s := ParseStats(map[string]string{"memory.current": "0", "pids.max": "max"})
	if s.Memory.Usage.Limit != math.MaxUint64 || s.Memory.Swap.Limit != math.MaxUint64 || s.Pids.Limit != 0 || s.CPU.PSI != nil {
		t.Errorf("without limits: %+v", s)
	}
	if s := ParseStats(nil); s.Memory.Usage.Limit != 0 || s.Memory.Raw != nil || s.Hugetlb == nil {
		t.Errorf("without controllers: %+v", s)
	}
}
