package main

import (
	"math"
	"strings"
	"testing"
)

func TestGrowthTable(t *testing.T) {
	var points []point
	for _, size := range []int{1000, 10, 100} {
		p := point{size: size, times: newSamples(), calls: map[string]map[string]int{"homerun": {"run": 50 + 3*size}}}
		n := int64(size)
		p.times.add(plainScene(), "run", "homerun", sample{nanoseconds: 1e6 + 2000*n, kilobytes: 3000, faults: 400 + n})
		p.times.add(plainScene(), "run", "crun", sample{nanoseconds: 2e6 + 4000*n, kilobytes: 4000 + 2*n, faults: 500})
		points = append(points, p)
	}
	var out strings.Builder
	table := newGrowthTable(&out, []contender{{name: "homerun"}, {name: "crun"}})
	table.add(&growth{name: "mounts", verbs: []string{"run", "exec"}}, points)
	if err := table.flush(); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"| 1000 mounts | run | 3.00 | 6.00 | 0.50 | 2.00 | 4.00 | 3.00 | | 1.00 | 0 | 0 | 2048.00 |",
		"| 1000 mounts | exec | | | | | | | | | | | |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("table:\n%s\nlacks\n%s", out.String(), want)
		}
	}
}

func TestTotalCalls(t *testing.T) {
	for text, want := range map[string]string{
		"100.00    0.001234           5       231        12 total\n":                                       "231",
		"100.00    0.000100           2        20           total\n":                                       "20",
		"100.00    0.000100           2        20           read\n------\n100.00    0.000100 2 21 total\n": "21",
	} {
		if found := totalCalls.FindStringSubmatch(text); found == nil || found[1] != want {
			t.Errorf("%q: found %v", text, found)
		}
	}
	if !math.IsNaN(new(point).systemCalls("run", "crun")) {
		t.Error("a count that nobody made is a number")
	}
}
