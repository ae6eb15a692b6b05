package cgroupv2

import (
	"encoding/json"
	"strings"
	"testing"
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
		s.CPUSet.CPUs, _ = ParseList(text)
		if _, err := json.Marshal(&s); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if lines := strings.Count(text, "\n") + 1; len(values) > lines || len(s.Rdma) > lines || len(s.Blkio.IoServicedRecursive) > 3*lines {
			t.Errorf("%q has more values than lines", text)
		}
	})
}

// FuzzParseList: what is taken is a list of so many numbers at most, also when
// config.json repeats itself.
func FuzzParseList(f *testing.F) {
	for _, text := range []string{"", "0", "0-3,7", "3,1", " 1 , 2-2\n", "1-", "-1", "5-2", "16383", "16384", "0-0x1", strings.Repeat("0-16383,", 9) + "0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		numbers, ok := ParseList(text)
		if !ok && numbers != nil || len(numbers) > 2*maxListed {
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
