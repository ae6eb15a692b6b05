package cgroupv2

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/homerun-oci/homerun/limits"
)

// FuzzStats: what a cgroup's files say never ends in a panic, nor in statistics
// that JSON cannot have.
func FuzzStats(f *testing.F) {
	for _, text := range []string{"", "max", "5\n", "usage_usec 12\nuser_usec 3\n", "8:0 rbytes=1 wbytes=max rios=3\n",
		"some avg10=0.12 avg60=0.00 avg300=0.00 total=7\nfull avg10=NaN avg60=Inf avg300=-1 total=0\n", "0-3,7", "mlx5_0 hca_handle=2",
		"18446744073709551616 x", ":: =\n", "8: rbytes=\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s Stats
		values := ParseFields(text)
		s.CPU.parse(values)
		s.CPU.PSI = parsePSI(text)
		s.Memory.Raw, s.Misc = values, values
		s.Rdma = parseKeyed(text)
		s.Blkio.parse(text)
		s.Pids.Limit = parseLimit(text)
		s.CPUSet.CPUs, _ = limits.ParseList(text)
		if _, err := json.Marshal(&s); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if lines := strings.Count(text, "\n") + 1; len(values) > lines || len(s.Rdma) > lines || len(s.Blkio.IoServicedRecursive) > 3*lines {
			t.Errorf("%q has more values than lines", text)
		}
	})
}
