package main

import (
	"os/exec"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	s := newSamples()
	for _, ms := range []int64{1, 2, 3, 4, 100} {
		s.add("run", "crun", sample{nanoseconds: 2 * ms * 1e6, kilobytes: 300})
		s.add("run", "homerun", sample{nanoseconds: ms * 1e6, kilobytes: 200 + ms})
		s.add("run", floorName, sample{nanoseconds: ms * 5e5})
	}
	var out strings.Builder
	if err := report(&out, options{rounds: 5, runtimes: []string{"homerun", "/usr/bin/crun"}}, s); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(out.String()), " ")
	want := "| run | floor | 1.50 | 0.50 | 2.00 | 0.25 | 1.00 | 0 | " +
		"| run | homerun | 3.00 | 1.00 | 4.00 | 0.50 | 2.00 | 300 | " +
		"| run | crun | 6.00 | 2.00 | 8.00 | 1.00 | 4.00 | 300 |"
	if !strings.Contains(got, want) {
		t.Errorf("table:\n%s\nlacks\n%s", out.String(), want)
	}
}

func TestSumAddsTimesAndKeepsThePeak(t *testing.T) {
	s := newSamples()
	s.add("create", "crun", sample{nanoseconds: 3, kilobytes: 10})
	s.add("start", "crun", sample{nanoseconds: 4, kilobytes: 20})
	s.sum("both", "crun", "create", "start")
	if got := s.find("both", "crun").runs[0]; got != (sample{nanoseconds: 7, kilobytes: 20}) {
		t.Errorf("sum is %+v", got)
	}
}

func TestParseReport(t *testing.T) {
	got, status, err := parseReport("1500000 3388 137 52\n")
	if err != nil || got != (sample{1500000, 3388, 52}) || status != 137 {
		t.Errorf("got %+v, %d, %v", got, status, err)
	}
	if _, _, err := parseReport(""); err == nil {
		t.Error("an empty report is no error")
	}
}

// TestMeasure runs the floor for real, and a runtime that cannot do anything.
func TestMeasure(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip("no gcc")
	}
	b, err := prepare(t.TempDir(), []contender{{name: "broken", path: "/bin/false"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.spawn(b.file("floor"), b.file("rootfs")); err != nil {
		t.Skip("no user namespaces: ", err)
	}
	s := newSamples()
	if err := b.measure(options{rounds: 3, verbs: []string{"run", "lifecycle", "state"}}, s); err != nil {
		t.Fatal(err)
	}
	if x := s.find("run", floorName); x == nil || len(x.runs) != 3 || x.peak() == 0 || x.percentile(50) <= 0 {
		t.Errorf("floor: %+v", x)
	}
	if x := s.find("run", "broken"); x != nil {
		t.Errorf("a runtime that failed is in the table: %+v", x)
	}
}
