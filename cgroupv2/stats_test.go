package cgroupv2

import (
	"encoding/json"
	"fmt"
	"testing"

	gorunc "github.com/containerd/go-runc"
	"golang.org/x/sys/unix"
)

// Each answer of the kernel leads to its hint.
func TestHint(t *testing.T) {
	tests := []struct {
		file          string
		errno         unix.Errno
		missing, root bool
		want          string
	}{
		{"cpuset.cpus", unix.ENOENT, true, false, hintDelegate}, {"cpuset.cpus", unix.ENOENT, true, true, hintKernel},
		{"hugetlb", 0, true, false, hintUnmanaged}, {"hugetlb.2MB.max", unix.ENOENT, true, true, hintKernel + " " + hintUnmanaged},
		{"rdma.max", unix.ENOENT, true, false, hintUnmanaged}, {"misc", 0, true, false, hintUnmanaged}, {"dmem.max", 0, true, false, hintUnmanaged},
		{"cpuset", 0, true, false, hintDelegate}, {"cpuset", 0, true, true, hintKernel},
		{"memory.max", unix.EACCES, false, false, hintDelegate}, {"cgroup.subtree_control", unix.EBUSY, false, false, hintInner},
		{"io.max", unix.ENODEV, false, true, hintWholeDisk}, {"cpu.weight", unix.EINVAL, false, true, hintIdle},
		{"cpu.max", unix.EINVAL, false, true, hintQuota}, {"memory.max", unix.EINVAL, false, true, ""},
	}
	for _, tt := range tests {
		if got := (Refusal{tt.file, tt.errno, tt.missing, tt.root}).Hint(); got != tt.want {
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

func TestParseList(t *testing.T) {
	for text, want := range map[string]string{"0-2,7": "[0 1 2 7] true", "": "[] true", " 3\n": "[3] true", "3-1": "[] false", "a": "[] false", "0-99999": "[] false", "1,,2": "[] false"} {
		numbers, ok := ParseList(text)
		if got := fmt.Sprint(numbers, ok); got != want {
			t.Errorf("ParseList(%q) = %s", text, got)
		}
	}
}
